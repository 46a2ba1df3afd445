//! Whole imports, from strings in memory.

use std::path::Path;

use dockfw_policy::policy::{Echo, Policy, Source, Target};
use dockfw_policy::{FilesInMemory, Loaded, Rejected, Strictness, load};
use proptest::prelude::*;

use super::*;

fn inputs(texts: &[(&str, &str)]) -> Vec<Input> {
    texts.iter().map(|(name, text)| Input { name: (*name).into(), bytes: text.as_bytes().into() }).collect()
}

fn done(texts: &[(&str, &str)], lenient: bool) -> Result<Imported, Findings> {
    import(&inputs(texts), Options { lenient, files: false })
}

/// Returns the policy, and all notes as one string.
fn imported(texts: &[(&str, &str)]) -> (Policy, String) {
    let imported = done(texts, false).unwrap_or_else(|findings| panic!("{}", words(&findings)));
    (policy(&imported.written.policy), imported.notes.join("\n"))
}

fn loaded(text: &str) -> Result<Loaded, Rejected> {
    load(Path::new("/dockfw.toml"), &FilesInMemory::new([("/dockfw.toml", text)]), Strictness::Strict)
}

fn policy(text: &str) -> Policy {
    let loaded = loaded(text);
    loaded.unwrap_or_else(|rejected| panic!("{rejected}\n{text}")).policy
}

fn words(findings: &Findings) -> String {
    findings
        .faults
        .iter()
        .map(|fault| format!("{}: {}\n  {}\n", fault.place, fault.what, fault.help))
        .collect()
}

/// Returns all that is wrong, as one string.
fn refused(texts: &[(&str, &str)], lenient: bool) -> String {
    match done(texts, lenient) {
        Ok(imported) => panic!("imported: {imported:?}"),
        Err(findings) => words(&findings),
    }
}

fn set(lines: &str) -> String {
    format!("create ip_allow hash:ip family inet\n{lines}\n")
}

fn rules(docker: &str, host: &str) -> String {
    let gate = |chain: &str| format!("-A {chain} -m set ! --match-set ip_allow src -j DROP\n");
    let lines = |chain: &str, lines: &str| {
        lines.lines().map(|line| format!("-A {chain} {line}\n")).collect::<String>()
    };
    let (docker_gate, host_gate) = (gate("DOCKER-USER"), gate("FILTERS"));
    let (docker, host) = (lines("DOCKER-USER", docker), lines("FILTERS", host));
    format!("*filter\n:FILTERS - [0:0]\n{docker}{docker_gate}{host}{host_gate}COMMIT\n")
}

fn trusted(policy: &Policy) -> Vec<String> {
    policy.trusted.ranges().map(|range| range.to_string()).collect()
}

#[test]
fn sets_are_read_as_ipset_reads_them() {
    let text = "# x\r\ncreate -exist other hash:ip\r\nadd other 10.9.9.9\r\n\r\nadd ip_allow 10.0.0.9\r\nflush\r\n\
        add ip_allow 10.0.0.1 comment \"the \\\"office\\\"\" \r\nadd -exist ip_allow 10.1.2.3/16\r\n\
        add ip_allow 10.0.0.2-10.0.0.4 packets 3 bytes 180\r\nadd ip_allow 10.0.0.1 timeout 0\r\n";
    let (policy, notes) = imported(&[("a.set", text)]);
    assert_eq!(trusted(&policy), ["10.0.0.1", "10.0.0.2-10.0.0.4", "10.1.0.0/16"]);
    assert!(notes.contains("a.set:2: the set \"other\" is not asked"), "{notes}");
    assert!(notes.contains("no rules were read"), "{notes}");
}

#[test]
fn a_set_of_any_name_is_taken_where_the_rules_ask_it() {
    let rules = rules("", "").replace("ip_allow", "office");
    let sets =
        "create office hash:net\nadd office 10.0.0.0/8\ncreate f2b hash:ip,port\nadd f2b 10.0.0.1,tcp:22\n";
    let (policy, notes) = imported(&[("rules", &rules), ("sets", sets)]);
    assert_eq!(trusted(&policy), ["10.0.0.0/8"]);
    assert!(notes.contains("\"f2b\""), "{notes}");
    assert!(refused(&[("sets", &sets.replace("hash:ip,port", "hash:ip"))], true).contains("several sets"));
    let (policy, notes) = imported(&[("rules", &rules)]);
    assert!(trusted(&policy).is_empty() && notes.contains("the set \"office\" was not read"), "{notes}");
}

#[test]
fn junk_is_named_and_left_out_only_with_lenient() {
    for (line, what, help) in [
        (
            "ad ip_allow 10.0.0.1",
            "a.set:3: \"ad ip_allow 10.0.0.1\" is not a line of a set",
            "add SET ADDRESS",
        ),
        (
            "add ip_allow host.example",
            "a.set:3: \"host.example\": ",
            "write an address, as in \"203.0.113.7\"",
        ),
        ("add ip_allow 10.0.0.0/33", "a.set:3: \"10.0.0.0/33\": ", "from 0 to 32"),
        ("add ip_allow 10.0.0.2 timeout 60", "a.set:3: \"10.0.0.2\" has a timeout", "remove the line"),
        ("del ip_allow 10.0.0.1", "a.set:3: \"del ip_allow 10.0.0.1\"", "add SET ADDRESS"),
        ("a\u{1b}[31mb", "a.set:3: a control character in \"a[31mb\"", "remove it"),
    ] {
        let text = set(&format!("add ip_allow 10.0.0.1\n{line}\nadd ip_allow 10.0.0.3"));
        let said = refused(&[("a.set", &text)], false);
        assert!(said.contains(what) && said.contains(help), "{line}: {said}");
        let imported = done(&[("a.set", &text)], true).unwrap();
        assert_eq!(trusted(&policy(&imported.written.policy)), ["10.0.0.1", "10.0.0.3"], "{line}");
        assert!(imported.notes.join("\n").contains("left out a.set:3"), "{line}");
    }
}

#[test]
fn what_would_let_more_in_is_never_left_out() {
    let allow = set("add ip_allow 10.0.0.0/8");
    for (texts, what) in [
        (
            vec![(
                "s",
                "create ip_allow hash:net\nadd ip_allow 10.0.0.0/8\nadd ip_allow 10.1.0.0/16 nomatch\n",
            )],
            "s:3: ",
        ),
        (vec![("s", "create ip_allow hash:ip netmask 24\nadd ip_allow 10.0.0.0\n")], "s:1: with `netmask`"),
        (vec![("s", "create ip_allow hash:ip,port\nadd ip_allow 10.0.0.1,22\n")], "s:1: a set of the type"),
        (vec![("s", "add ip_allow 0.0.0.0/0\n")], "s:1: 0.0.0.0/0 is everyone"),
        (vec![("r", &*rules("", "-p tcp --dport 25 -j DROP")), ("s", &*allow)], "r:4: \"-A FILTERS -p tcp"),
        (vec![("r", &*rules("", "-j ban")), ("s", &*allow)], "drops what the policy may let in"),
        (
            vec![("r", &*rules("", "-i eth9 -m set ! --match-set other src -j DROP")), ("s", &*allow)],
            "the rules ask the set",
        ),
        (vec![("r", "*filter\n-A FILTERS -j RETURN\nCOMMIT\n")], "drops who is not in a set"),
    ] {
        let said = refused(&texts, true);
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn rules_become_what_they_meant() {
    let text = rules(
        "-m state --state RELATED,ESTABLISHED -j RETURN\n-i docker_gwbridge -j RETURN\n-i brapp -j RETURN\n\
         -s 172.18.0.0/16 -j RETURN\n-p tcp -m multiport --dports 80,7000:7002 -j RETURN\n-s 10.6.6.6 -j DROP",
        "-i lo -j ACCEPT\n-p udp --dport 53 -j ACCEPT\n-s 10.7.0.0/16 -j ACCEPT",
    );
    let (policy, notes) = imported(&[("r", &text), ("s", &set("add ip_allow 10.0.0.1"))]);
    assert_eq!(trusted(&policy), ["10.0.0.1"]);
    assert_eq!(policy.blocked.ranges().map(|range| range.to_string()).collect::<Vec<_>>(), ["10.6.6.6"]);
    let allowed: Vec<_> =
        policy.allow.iter().map(|rule| (rule.to, rule.from.clone(), rule.services.ports().count())).collect();
    assert_eq!(allowed, [(Target::Host, Source::Everyone, 1), (Target::Container, Source::Everyone, 1)]);
    let bridges: Vec<_> = policy.interfaces.docker.iter().map(ToString::to_string).collect();
    assert_eq!(bridges, ["docker0", "docker_gwbridge", "br-*", "brapp"]);
    assert_eq!(policy.echo, Echo::Trusted, "there is no rule for ICMP");
    for part in ["172.18.0.0/16", "IPv6 was not filtered", "10.7.0.0/16", "br-*) could not connect"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}

#[test]
fn rules_are_read_in_their_order() {
    let text = "-N FILTERS\n-A FILTERS -p udp --dport 1 -j ACCEPT\n-F FILTERS\n\
        -A FILTERS -m set ! --match-set ip_allow src -j DROP\n-A FILTERS -p tcp --dport 2 -j ACCEPT\n\
        [3:180] -I FILTERS -p tcp --dport 3 -j ACCEPT\n-I FILTERS 2 -p icmp -j ACCEPT\n\
        *nat\n-A FILTERS -j DNAT\nCOMMIT\n";
    let (policy, notes) = imported(&[("r", text), ("s", &set("add ip_allow 10.0.0.1"))]);
    let ports: Vec<_> = policy.allow[0].services.ports().collect();
    assert_eq!(format!("{ports:?}"), "[(Tcp, [PortRange { first: 3, last: 3 }])]");
    assert_eq!(policy.echo, Echo::Accept);
    assert!(notes.contains("r:5: ") && notes.contains("was never reached"), "{notes}");
    assert!(notes.contains("containers were open to everyone"), "{notes}");
}

#[test]
fn filtered_interfaces_are_those_of_both_chains() {
    let gates = |host: &str, docker: &str| {
        format!(
            "-A FILTERS{host} -m set ! --match-set ip_allow src -j DROP\n\
             -A DOCKER-USER{docker} -m set ! --match-set ip_allow src -j DROP\n"
        )
    };
    let allow = set("add ip_allow 10.0.0.1");
    for (host, docker, filtered, open) in [
        ("", "", "*", false),
        (" -i eth+", " -i eth+", "eth*", true),
        (" -i eth0", " -i wlan0", "eth0 wlan0", true),
        (" -i eth0", "", "*", true),
        ("", " -i eth0", "*", false),
        (" -i eth0.100:1", " -i eth0", "*", false),
        (" -i +", " -i eth0", "*", false),
        (" -i docker0", " -i docker0", "*", false),
    ] {
        let (policy, notes) = imported(&[("r", &gates(host, docker)), ("s", &allow)]);
        let patterns: Vec<_> = policy.interfaces.filtered.iter().map(ToString::to_string).collect();
        assert_eq!(patterns.join(" "), filtered, "{host} {docker}: {notes}");
        let is_open =
            policy.allow.iter().any(|rule| matches!(rule.from, Source::These { containers: true, .. }));
        assert_eq!(is_open, open, "{host} {docker}");
        assert_eq!(notes.contains("different interfaces"), host != docker, "{host} {docker}");
    }
}

#[test]
fn variables_are_found_wherever_they_stand() {
    let text = "- hosts: all\n  vars:\n    iptables_docker_server_ip_allow_set: [10.0.0.1]\n    other: {a: [b, {c: d}]}\n    \
        iptables_docker_ip_allow_set:\n      - 10.1.0.0/16   # office\n    \
        iptables_docker_swarm_ports_allow_tcp: 8000\n    iptables_docker_global_ports_allow_tcp: []\n";
    let (policy, notes) = imported(&[("play.yml", text)]);
    assert_eq!(trusted(&policy), ["10.0.0.1", "10.1.0.0/16"]);
    assert_eq!(policy.allow.len(), 1, "22 is not open where the variable says so");
    assert_eq!(policy.allow[0].to, Target::Container);
    assert!(!notes.contains("server_ip_allow_set"), "{notes}");
}

#[test]
fn what_is_not_set_is_as_the_role_has_it() {
    let (policy, notes) = imported(&[("v.yml", "iptables_docker_ip_allow_set:\n  - 10.0.0.1\n")]);
    assert_eq!(policy.allow[0].services, ["22/tcp".parse().unwrap()].into_iter().collect());
    assert_eq!(policy.echo, Echo::Accept);
    assert!(notes.contains("server_ip_allow_set is not set") && notes.contains("172.17.0.0/16"), "{notes}");
    // With the rules of a host, these are what it has.
    let (policy, _) = imported(&[
        ("v.yml", "iptables_docker_ip_allow_set: [10.0.0.1]\n"),
        ("r", &rules("", "-p icmp -j ACCEPT")),
        ("s", &set("add ip_allow 10.0.0.2")),
    ]);
    assert!(policy.allow.is_empty());
    assert_eq!(trusted(&policy), ["10.0.0.1", "10.0.0.2"]);
}

#[test]
fn templates_and_oddities_are_named() {
    let text = "iptables_docker_server_ip_allow_set: \"{{ groups['x'] }}\"\n\
        iptables_docker_external_network_adapter: [\"{{ nic }}\"]\n\
        iptables_docker_global_ports_allow_udp: [\"{{ port }}\", 53]\niptables_docker_future: 1\n\
        iptables_docker_ip_allow_set: [10.0.0.1]\n";
    let (policy, notes) = imported(&[("v.yml", text)]);
    assert_eq!(trusted(&policy), ["10.0.0.1"]);
    assert!(policy.interfaces.filtered[0].is_any(), "what can't be read filters everything");
    assert_eq!(policy.allow.len(), 1, "only the default: {:?}", policy.allow);
    for part in ["v.yml:1", "v.yml:2", "v.yml:3", "v.yml:4: \"iptables_docker_future\" is not a variable"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    for (text, what) in [
        ("iptables_docker_ip_allow_set: [host.example]\n", "v.yml:1: \"host.example\""),
        ("iptables_docker_ip_allow_set:\n  - a: b\n", "v.yml:1: iptables_docker_ip_allow_set is not a list"),
        (
            "iptables_docker_ip_allow_set: [[10.0.0.1]]\n",
            "v.yml:1: iptables_docker_ip_allow_set is not a list",
        ),
        (
            "x: &a 1\niptables_docker_ip_allow_set: *a\n",
            "v.yml:2: iptables_docker_ip_allow_set is not a list",
        ),
        ("iptables_docker_global_ports_allow_tcp: [70000]\n", "v.yml:1: \"70000\" is not a port"),
        ("iptables_docker_ip_allow_set: [\n", "this is not YAML"),
        ("iptables_docker_ip_allow_set: {{ x }}\n  y", "v.yml:"),
    ] {
        assert!(
            refused(&[("v.yml", text)], false).contains(what),
            "{text}: {}",
            refused(&[("v.yml", text)], false)
        );
    }
}

#[test]
fn the_last_text_that_sets_a_variable_decides() {
    let set = |address: &str| format!("iptables_docker_ip_allow_set: [{address}]\n");
    let (policy, notes) = imported(&[("all.yml", &set("10.0.0.1")), ("host.yml", &set("10.0.0.2"))]);
    assert_eq!(trusted(&policy), ["10.0.0.2"]);
    assert!(notes.contains("host.yml:1 counts, and not all.yml:1"), "{notes}");
}

#[test]
fn long_lists_get_a_file_of_their_own_where_there_may_be_files() {
    let lines: Vec<_> = (0..60_000_u32)
        .map(|n| format!("add ip_allow {}", std::net::Ipv4Addr::from(0x0a00_0000 + 2 * n)))
        .collect();
    let inputs = inputs(&[("a.set", &set(&lines.join("\r\n")))]);
    let Imported { written, .. } = import(&inputs, Options { lenient: false, files: true }).unwrap();
    assert!(written.policy.contains("trusted = [\"file:lists/trusted.txt\"]"), "{}", written.policy);
    let (name, list) = &written.lists[0];
    assert_eq!((name.as_str(), list.lines().count()), ("lists/trusted.txt", 60_000));
    assert!(list.starts_with("10.0.0.0  # a.set:2\n"));
    let Imported { written, .. } = import(&inputs, Options::default()).unwrap();
    assert!(written.lists.is_empty());
    assert_eq!(policy(&written.policy).trusted.len(), 60_000);
}

#[test]
fn names_of_files_can_hold_anything() {
    let name = format!("\u{1b}[31m\n\"x\"\u{202e}{}", "y".repeat(5000));
    let text = set("add ip_allow 10.0.0.1");
    let imported = import(&inputs(&[(&name, &text)]), Options::default()).unwrap();
    assert_eq!(trusted(&policy(&imported.written.policy)), ["10.0.0.1"]);
}

/// Parts of all kinds of files, and of none.
const PIECES: &str = "(\\*filter\n|:FILTERS - \\[0:0\\]\n|-A FILTERS |-A DOCKER-USER |-I FILTERS 9 |-F FILTERS\n|-i eth\\+ |-s 10.0.0.0/8 |\
    -p tcp |--dports 22,80:90 |-m set ! --match-set ip_allow src |-j DROP\n|-j RETURN\n|-j ACCEPT\n|COMMIT\n|\
    create ip_allow hash:ip\n|add ip_allow |flush\n|10\\.0\\.0\\.[0-9]{1,3}|/[0-9]{1,2}|nomatch\n|timeout 5\n|\
    iptables_docker_ip_allow_set: |iptables_docker_global_ports_allow_tcp:\n|iptables_docker_bridge_name: |  - |\\[|\\]|\\{|\\}|&a |\\*a |\
    \\{\\{ x \\}\\}|\"|'|: |---\n|\\| |#|\r\n|\t|\\PC|\n){0,40}";

proptest! {
    /// Whatever is read, nothing panics, and what is written is a policy.
    #[test]
    fn no_text_is_too_odd(first in PIECES, second in PIECES, lenient: bool) {
        if let Ok(imported) = done(&[("first", &first), ("second", &second)], lenient) {
            let loaded = loaded(&imported.written.policy);
            prop_assert!(loaded.is_ok(), "{loaded:?}\n{}", imported.written.policy);
        }
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200), start in "(add |\\*filter\n|iptables_docker_)?") {
        let bytes = [start.as_bytes(), &bytes].concat();
        drop(import(&[Input { name: "x".into(), bytes }], Options::default()));
    }
}
