//! What good policies mean.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::Memory;
use dockfw_policy::Strictness;
use dockfw_policy::address::AddressSet;
use dockfw_policy::engine::EngineName;
use dockfw_policy::policy::{AllowRule, Backend, Echo, Policy, Source, Target};
use dockfw_policy::service::Services;

fn shown(addresses: &AddressSet) -> Vec<String> {
    addresses.ranges().map(|range| range.to_string()).collect()
}

fn services(services: &Services) -> String {
    let ports = services.ports().flat_map(|(transport, ranges)| {
        ranges.iter().map(move |range| format!("{range}/{}", transport.name())).collect::<Vec<_>>()
    });
    ports
        .chain(services.protocols().iter().map(|number| format!("ip/{number}")))
        .collect::<Vec<_>>()
        .join(" ")
}

fn rule<'a>(policy: &'a Policy, name: &str) -> &'a AllowRule {
    policy.allow.iter().find(|rule| rule.name == name).unwrap()
}

fn sources(rule: &AllowRule) -> (bool, Vec<String>) {
    match &rule.from {
        Source::Everyone => (true, vec!["everyone".into()]),
        Source::These { containers, .. } => {
            (*containers, rule.from.ranges().map(|range| range.to_string()).collect())
        }
    }
}

/// Every key there is.
const FULL: &str = r#"
trusted = ["203.0.113.7", "198.51.100.0/24", "2001:db8:10::/48", "office"]
blocked = ["192.0.2.200-192.0.2.210"]

[groups]
office = ["192.0.2.0/25", "file:lists/vpn.txt", "branch"]
branch = ["10.1.0.0/16"]

[[allow]]
name = "ssh"
in = ["wg*", "eth1"]
ports = ["22/tcp"]
to = "host"
only = true

[[allow]]
name = "web"
ports = ["443/udp", "80/tcp", "443/tcp", "esp"]

[[allow]]
name = "postgres for the office"
from = ["branch", "192.0.2.77", "containers"]
ports = ["5432/tcp"]
to = "docker"

[[allow]]
name = "metrics"
from = ["containers"]
ports = ["9100-9110/tcp"]
to = "container"

[interfaces]
filtered = ["eth*", "ens3"]
exempt = ["wg0"]
docker = ["docker0", "br-*"]

[icmp]
echo = "trusted"

[swarm]
peers = ["10.9.0.1", "10.9.0.2"]
data_path_port = 7789

[log]
drops = true
rate = "5/minute"

[engine]
backend = "iptables"
prefilter = false
"#;

fn full() -> Policy {
    let vpn = "\u{feff}# the VPN\r\n10.8.0.0/24   # all of it\r\n\r\n\t10.8.1.1\r\n2001:db8::1-2001:db8::9";
    Memory::of(&[("dockfw.toml", FULL), ("lists/vpn.txt", vpn)]).policy()
}

#[test]
fn every_key_is_understood() {
    let policy = full();
    let office = ["10.1.0.0/16", "10.8.0.0/24", "10.8.1.1", "192.0.2.0/25"];
    let typed = ["198.51.100.0/24", "203.0.113.7"];
    let v6 = ["2001:db8::1-2001:db8::9", "2001:db8:10::/48"];
    assert_eq!(shown(&policy.trusted), [&office[..], &typed[..], &v6[..]].concat());
    assert_eq!(shown(&policy.blocked), ["192.0.2.200-192.0.2.210"]);
    assert_eq!(format!("{:?}", policy.interfaces.filtered), r#"[Prefix("eth"), Name("ens3")]"#);
    assert_eq!(format!("{:?}", policy.interfaces.exempt), r#"[Name("wg0")]"#);
    assert_eq!(format!("{:?}", policy.interfaces.docker), r#"[Name("docker0"), Prefix("br-")]"#);
    assert_eq!(policy.echo, Echo::Trusted);
    assert_eq!((shown(&policy.swarm.peers).len(), policy.swarm.data_path_port), (2, 7789));
    assert_eq!((policy.log.drops, policy.log.rate.to_string().as_str()), (true, "5/minute"));
    assert_eq!(
        (policy.engine.backend, policy.engine.prefilter),
        (Backend::Named(EngineName::Iptables), false)
    );
}

#[test]
fn rules_keep_their_order_and_their_place() {
    let policy = full();
    let rules = policy.allow.iter().map(|rule| (rule.name.as_str(), rule.to, rule.place.line));
    let expected = [
        ("ssh", Target::Host, 9),
        ("web", Target::Any, 16),
        ("postgres for the office", Target::Docker, 20),
        ("metrics", Target::Container, 26),
    ];
    assert_eq!(rules.collect::<Vec<_>>(), expected);
    assert_eq!(rule(&policy, "ssh").place.to_string(), "/etc/dockfw/dockfw.toml:9");
    assert_eq!(rule(&policy, "ssh").from, Source::Everyone);
    assert_eq!(format!("{:?}", rule(&policy, "ssh").incoming), r#"[Prefix("wg"), Name("eth1")]"#);
    assert_eq!(policy.allow.iter().map(|rule| rule.only).collect::<Vec<_>>(), [true, false, false, false]);
    assert!(rule(&policy, "web").incoming.is_empty());
    assert_eq!(services(&rule(&policy, "web").services), "80/tcp 443/tcp 443/udp ip/50");
    let postgres = sources(rule(&policy, "postgres for the office"));
    assert_eq!(postgres, (true, vec!["192.0.2.77".into(), "10.1.0.0/16".into()]));
    assert_eq!(sources(rule(&policy, "metrics")), (true, vec![]));
}

#[test]
fn defaults() {
    let policy = Memory::main("trusted = [\"203.0.113.7\"]").policy();
    assert_eq!((shown(&policy.trusted), policy.blocked.len()), (vec!["203.0.113.7".into()], 0));
    assert_eq!(format!("{:?}", policy.interfaces.filtered), r#"[Prefix("")]"#);
    assert!(policy.interfaces.exempt.is_empty() && policy.allow.is_empty());
    let docker = r#"[Name("docker0"), Name("docker_gwbridge"), Prefix("br-")]"#;
    assert_eq!(format!("{:?}", policy.interfaces.docker), docker);
    assert_eq!(policy.echo, Echo::Accept);
    assert_eq!((policy.swarm.peers.len(), policy.swarm.data_path_port), (0, 4789));
    assert_eq!((policy.log.drops, policy.log.rate.to_string().as_str()), (false, "10/second"));
    assert_eq!((policy.engine.backend, policy.engine.prefilter), (Backend::Auto, true));
}

#[test]
fn files_in_conf_d_add_to_the_main_file_in_the_order_of_their_names() {
    let rule = |name: &str| format!("[[allow]]\nname = \"{name}\"\nports = [\"80/tcp\"]\n");
    let first = format!("trusted = [\"10.0.0.1\", \"file:near.txt\"]\n{}", rule("main"));
    let policy = Memory::of(&[
        ("dockfw.toml", first.as_str()),
        (
            "conf.d/20.toml",
            &format!("trusted = [\"10.0.0.3\"]\n{}[interfaces]\nexempt = [\"wg1\"]", rule("20")),
        ),
        ("conf.d/10.toml", &format!("trusted = [\"file:near.txt\", \"office\"]\n{}", rule("10"))),
        (
            "conf.d/30.toml",
            "[groups]\noffice = [\"10.0.0.2\"]\n[log]\ndrops = true\n[interfaces]\nexempt = [\"wg0\"]",
        ),
        ("conf.d/.10.toml.swp", "no policy"),
        ("conf.d/.40.toml", "no policy"),
        ("conf.d/README", "no policy"),
        ("near.txt", "10.0.1.1"),
        ("conf.d/near.txt", "10.0.1.2"),
    ])
    .policy();
    assert_eq!(shown(&policy.trusted), ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1", "10.0.1.2"]);
    let rules: Vec<_> = policy.allow.iter().map(|rule| rule.place.to_string()).collect();
    let expected = ["dockfw.toml:2", "conf.d/10.toml:2", "conf.d/20.toml:2"];
    assert_eq!(rules, expected.map(|place| format!("/etc/dockfw/{place}")));
    assert_eq!(format!("{:?}", policy.interfaces.exempt), r#"[Name("wg1"), Name("wg0")]"#);
    assert!(policy.log.drops);
}

#[test]
fn a_policy_may_be_in_conf_d_alone() {
    let policy = Memory::of(&[("dockfw.toml", "# see conf.d"), ("conf.d/a.toml", "trusted = []")]).policy();
    assert!(policy.trusted.is_empty());
}

#[test]
fn everyone_may_be_trusted_by_force() {
    let all = Memory::main(r#"trusted = ["0.0.0.0/0", "::/0"]"#);
    let forced = all.load_with(Strictness::Forced).unwrap();
    assert_eq!(forced.policy.trusted.len(), 2);
    let blocked = Memory::main(r#"blocked = ["0.0.0.0/0"]"#).policy();
    assert_eq!(shown(&blocked.blocked), ["0.0.0.0/0"]);
}

#[test]
fn lines_of_a_feed_that_can_not_be_read_are_skipped_and_counted() {
    let feed = "; a feed\n192.0.2.1 ; SBL1\nhome.example.net\n192.0.2.9\t3\n{\"cidr\":\"198.51.100.0/24\"}\n10.0.0.9/8\n";
    let files = Memory::of(&[("dockfw.toml", "blocked = [\"feed:f.txt\"]"), ("f.txt", feed)]);
    assert_eq!(shown(&files.policy().blocked), ["192.0.2.1", "192.0.2.9", "198.51.100.0/24"]);
    let warnings = files.warnings();
    assert!(warnings.contains("2 of 5 lines of `/etc/dockfw/f.txt` can't be read"), "{warnings}");
    assert!(warnings.contains("f.txt:3:1") && warnings.contains("`home.example.net`"), "{warnings}");
    let strict = Memory::of(&[("dockfw.toml", "blocked = [\"file:f.txt\"]"), ("f.txt", feed)]);
    assert!(strict.errors().contains("host names are not looked up"));
    let page = "<html>\n<p>gone</p>\n192.0.2.1\n";
    let page = Memory::of(&[("dockfw.toml", "blocked = [\"feed:f.txt\"]"), ("f.txt", page)]).errors();
    assert!(page.contains("2 of 3 lines") && page.contains("no list of addresses"), "{page}");
}

/// A group of this name was fine before it was built in.
#[test]
fn what_was_confirmed_means_what_it_meant_then() {
    let text = "trusted = [\"0.0.0.0/0\"]\n[groups]\ninside = [\"192.0.2.0/24\"]\n\
                [[allow]]\nname = \"a\"\nfrom = [\"inside\"]\nports = [\"80/tcp\"]\n";
    let files = Memory::main(text);
    assert!(files.load().is_err());
    let loaded = files.load_with(Strictness::Confirmed).unwrap();
    assert_eq!(loaded.warnings.diagnostics().iter().count(), 2);
    let Source::These { inside: false, lists, .. } = &loaded.policy.allow[0].from else { panic!() };
    assert_eq!(shown(&lists[0].addresses), ["192.0.2.0/24"]);
}

#[test]
fn a_source_that_holds_nobody_never_becomes_everyone() {
    let text = "trusted = [\"10.0.0.1\"]\n[[allow]]\nname = \"a\"\nfrom = [\"office\"]\nports = [\"80/tcp\"]\n\
                [groups]\noffice = [\"file:list.txt\"]\n";
    let files = Memory::of(&[("dockfw.toml", text), ("list.txt", "# nobody today\n")]);
    assert_eq!(files.policy().allow, []);
    let warnings = files.warnings();
    assert!(warnings.contains("warning: the lists in `from` hold no address"), "{warnings}");
    assert!(warnings.contains("`/etc/dockfw/list.txt` holds no address"), "{warnings}");
}

#[test]
fn a_good_policy_has_no_warnings_and_a_doubtful_one_has() {
    assert_eq!(Memory::main("trusted = [\"10.0.0.0/8\"]\nblocked = [\"10.0.1.0/24\"]").warnings(), "");
    let warnings = Memory::main("trusted = [\"10.0.0.1\"]\nblocked = [\"10.0.0.0/8\"]").warnings();
    assert!(warnings.contains("10.0.0.1 is trusted, but 10.0.0.0/8 is blocked"), "{warnings}");
    assert!(warnings.contains("reaches nothing") && warnings.contains("dockfw.toml:2:11"), "{warnings}");
    let interfaces = "[interfaces]\nfiltered = [\"eth0\"]\nexempt = [\"eth*\"]";
    let warnings = Memory::main(interfaces).warnings();
    assert!(warnings.contains("`eth0` in `filtered` is never reached"), "{warnings}");
}

#[test]
fn a_chain_of_groups_may_be_long() {
    let chain: String = (0..50_000).map(|n| format!("g{n} = [\"g{}\"]\n", n + 1)).collect();
    let text = format!("trusted = [\"g0\"]\n[groups]\n{chain}g50000 = [\"10.0.0.1\"]\n");
    assert_eq!(shown(&Memory::main(text).policy().trusted), ["10.0.0.1"]);
}

#[test]
fn inline_tables_and_dotted_keys_are_as_good() {
    let text = "allow = [{ name = \"a\", ports = [\"80/tcp\"] },\n{ name = \"b\", ports = [\"81/tcp\"] }]\nlog.drops = true";
    let policy = Memory::main(text).policy();
    assert_eq!(policy.allow.iter().map(|rule| rule.place.line).collect::<Vec<_>>(), [1, 2]);
    assert!(policy.log.drops);
}
