#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use dockfw_policy::compile::compile;
use dockfw_policy::policy::Policy;

use dockfw_policy::address::Family;

use super::*;
use crate::filters::live::Others;
use crate::fixtures::network;
use crate::foreign::{Tables, listing};
use crate::host::docker::{Backend, Behaviour, Container, Published};
use crate::host::links::Link;
use crate::host::listeners::Listener;
use crate::host::routes::AddressType;

mod names;
mod reason;

const OUTSIDE: u32 = 2;
const DOCKER0: u32 = 3;
const OTHER: u32 = 4;

/// The host that is asked.
struct Looks;

impl Asks for Looks {
    fn route(&self, to: IpAddr, _: Option<u32>) -> Option<Route> {
        let (interface, source) = match to.to_string().as_str() {
            text if text.starts_with("172.17.") => (DOCKER0, [172, 17, 0, 1]),
            text if text.starts_with("172.18.") => (OTHER, [172, 18, 0, 1]),
            // There is no route to it.
            text if text.starts_with("198.51.100.") => return None,
            _ => (OUTSIDE, [192, 0, 2, 1]),
        };
        let leads_to = if to == IpAddr::from(source) { AddressType::Local } else { AddressType::Unicast };
        Some(Route { leads_to, interface, source: Some(source.into()) })
    }

    fn set_has(&self, set: &str, _: IpAddr) -> Option<bool> {
        (set != "unreadable").then_some(set == "all")
    }
}

fn policy() -> Policy {
    rules("")
}

/// Returns a policy with these rules.
fn rules(rules: &str) -> Policy {
    crate::fixtures::policy(&format!("trusted = [\"192.0.2.10\"]\n{rules}"))
}

/// Returns these rules as those of a policy without lists.
fn under(rules: Rules<'_>) -> Basis<'_> {
    static NONE: std::sync::LazyLock<Lists> = std::sync::LazyLock::new(Lists::default);
    Basis { rules, lists: &NONE }
}

fn link(index: u32, name: &str, kind: &str) -> Link {
    let (controller, networks) = (None, vec![]);
    Link {
        index,
        name: name.into(),
        kind: Some(kind.into()),
        controller,
        is_up: true,
        addresses: vec![],
        networks,
        has_default_route: false,
    }
}

/// Returns a container at 172.17.0.2, whose port 80 is published as 8080.
fn facts() -> Facts {
    let published = Published {
        transport: dockfw_policy::service::Transport::Tcp,
        port: 8080,
        address: [0, 0, 0, 0].into(),
        container_port: 80,
        container: "web".into(),
        targets: vec![[172, 17, 0, 2].into()],
        is_meshed: false,
    };
    let web = Container {
        id: "ab".into(),
        name: "web".into(),
        on_host_network: false,
        addresses: vec![("bridge".into(), [172, 17, 0, 2].into())],
        published: vec![published.clone()],
    };
    Facts {
        links: vec![
            link(OUTSIDE, "eth0", "veth"),
            link(DOCKER0, "docker0", "bridge"),
            link(OTHER, "br-1", "bridge"),
        ],
        containers: vec![web],
        published: vec![published],
        networks: vec![network("bridge", "docker0"), network("other", "br-1")],
        ..Facts::default()
    }
}

/// Returns the facts with the rules of others, as iptables writes them.
fn with_rules(facts: Facts, saved: &str) -> Facts {
    let tables = Tables::new(listing::tables(saved, Family::Ipv4, "iptables-nft"));
    Facts { others: Others { tables, ..Others::default() }, ..facts }
}

/// Docker 28's rules for what is published, and without its `-i docker0 -j RETURN`, those of Docker 29.
const DOCKERS: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n\
    -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A DOCKER -i docker0 -j RETURN\n-A DOCKER -i br-1 -j RETURN\n\
    -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n\
    *raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP\nCOMMIT\n\
    *filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n:DOCKER-FORWARD - [0:0]\n-A FORWARD -j DOCKER-FORWARD\n\
    -A DOCKER-FORWARD -o docker0 -j DOCKER\n-A DOCKER-FORWARD -i docker0 -j ACCEPT\n\
    -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT\n\
    -A DOCKER ! -i docker0 -o docker0 -j DROP\nCOMMIT\n";

/// Explains what becomes of a connection of the trusted source, or of a container at br-1.
fn explained(facts: &Facts, to: [u8; 4], port: &str, incoming: &str) -> Explanation {
    let ruleset = compile(&policy());
    let rules = Rules { ruleset: &ruleset, by_name_alone: false };
    let question = Question {
        from: [192, 0, 2, 10].into(),
        service: port.parse().unwrap(),
        incoming: Some(incoming.into()),
        to: Some(to.into()),
    };
    explain(under(rules), facts, &Looks, &question).unwrap()
}

/// Returns what others have against a packet that dockfw lets through.
fn objections(explained: &Explanation) -> Vec<(&str, bool)> {
    assert_eq!(explained.verdict, Verdict::Pass);
    explained.others.iter().map(|one| (one.why.as_str(), one.is_certain)).collect()
}

#[test]
fn a_published_port_leads_to_its_container() {
    let facts = with_rules(facts(), DOCKERS);
    let to_host = explained(&facts, [192, 0, 2, 1], "8080/tcp", "eth0");
    assert_eq!((to_host.target.kind, to_host.target.container.as_deref()), (Kind::Published, Some("web")));
    assert_eq!(
        (to_host.target.address, to_host.target.container_port),
        (Some([172, 17, 0, 2].into()), Some(80))
    );
    assert_eq!(to_host.packet.outgoing.as_deref(), Some("docker0"));
    assert_eq!((objections(&to_host), to_host.is_certain), (vec![], true));
    let other = explained(&facts, [192, 0, 2, 1], "8080/udp", "eth0");
    assert_eq!((other.target.kind, other.packet.outgoing), (Kind::Nothing, None));
}

/// The live rules show whom docker-proxy answers, whatever Docker's version is.
#[test]
fn docker_proxy_answers_whom_no_rule_leads_on() {
    let proxy = Listener {
        transport: dockfw_policy::service::Transport::Tcp,
        address: [0, 0, 0, 0].into(),
        port: 8080,
        takes_ipv4: false,
        interface: None,
        holder: None,
    };
    let leads_on = |rules: &str, incoming| {
        let facts = with_rules(Facts { listeners: vec![proxy.clone()], ..facts() }, rules);
        explained(&facts, [192, 0, 2, 1], "8080/tcp", incoming).packet.outgoing.is_some()
    };
    let of_29: String =
        DOCKERS.lines().filter(|line| !line.ends_with("RETURN")).map(|line| format!("{line}\n")).collect();
    let without_proxy =
        of_29.replace("! -i docker0 -p tcp -m tcp --dport 8080", "-p tcp -m tcp --dport 8080");
    for (rules, expected) in
        [(DOCKERS, [false, false, true]), (&of_29, [true, false, true]), (&without_proxy, [true, true, true])]
    {
        assert_eq!(["br-1", "docker0", "eth0"].map(|incoming| leads_on(rules, incoming)), expected);
    }
}

#[test]
fn what_docker_drops_is_told_with_the_rule_that_does() {
    let facts = with_rules(facts(), DOCKERS);
    let direct = explained(&facts, [172, 17, 0, 2], "80/tcp", "eth0");
    let [(why, true)] = objections(&direct)[..] else { panic!("{:?}", direct.others) };
    assert_eq!(why, "-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP");
    assert_eq!(direct.others[0].source, "chain PREROUTING of table raw of iptables-nft");
    let no_raw = DOCKERS.replace("! -i docker0 -j DROP\nCOMMIT\n*filter", "-i lo -j DROP\nCOMMIT\n*filter");
    let no_raw = with_rules(super::tests::facts(), &no_raw);
    assert_eq!(objections(&explained(&no_raw, [172, 17, 0, 2], "80/tcp", "eth0")), [], "routed, or allowed");
    let closed = explained(&no_raw, [172, 17, 0, 2], "90/tcp", "eth0");
    assert_eq!(objections(&closed), [("-A DOCKER ! -i docker0 -o docker0 -j DROP", true)]);
}

/// Docker gives the bridge of an isolated network no address, and routing bypasses it.
#[test]
fn a_container_to_which_no_route_leads_is_not_there() {
    let mut facts = with_rules(facts(), DOCKERS);
    facts.containers[0].addresses.push(("isolated".into(), [203, 0, 113, 7].into()));
    facts.networks.push(network("isolated", "br-2"));
    let past = explained(&facts, [203, 0, 113, 7], "80/tcp", "docker0");
    assert_eq!((past.target.kind, past.packet.outgoing.as_deref()), (Kind::Elsewhere, Some("eth0")));
}

/// Frames between containers on one bridge are not routed, whatever routes the host has.
#[test]
fn a_neighbour_on_an_isolated_network_is_reached_by_its_bridge() {
    let mut facts = with_rules(facts(), DOCKERS);
    facts.containers[0].addresses.push(("isolated".into(), [198, 51, 100, 7].into()));
    facts.networks.push(network("isolated", "br-2"));
    facts.links.push(link(9, "br-2", "bridge"));
    let beside = explained(&facts, [198, 51, 100, 7], "80/tcp", "br-2");
    assert_eq!((beside.target.kind, beside.packet.outgoing.as_deref()), (Kind::Container, Some("br-2")));
}

#[test]
fn a_policy_of_drop_is_told_as_far_as_no_rule_accepts_before() {
    let facts = with_rules(facts(), DOCKERS);
    let elsewhere = explained(&facts, [203, 0, 113, 1], "80/tcp", "br-1");
    assert_eq!(objections(&elsewhere), [("the policy of chain FORWARD", true)]);
    let accepted = explained(&facts, [203, 0, 113, 1], "80/tcp", "docker0");
    assert_eq!(objections(&accepted), []);
}

#[test]
fn what_depends_on_something_unknown_is_not_certain() {
    let drops = |condition: &str| {
        let rules = format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {condition} -j DROP\nCOMMIT\n");
        let explained = explained(&with_rules(facts(), &rules), [192, 0, 2, 1], "22/tcp", "eth0");
        objections(&explained).first().map(|(_, is_certain)| *is_certain)
    };
    assert_eq!(drops("-m limit --limit 1/sec"), Some(false));
    assert_eq!(drops("-m set --match-set unreadable src"), Some(false));
    assert_eq!(
        [drops("-m set --match-set all src"), drops("-m set --match-set none src")],
        [Some(true), None]
    );
    assert_eq!([drops("-s 192.0.2.10/32"), drops("! -s 192.0.2.10/32")], [Some(true), None]);
}

#[test]
fn where_it_is_not_known_whether_a_packet_is_led_the_verdict_is_not_certain() {
    let rule = "-p tcp -m tcp --dport 2222 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 203.0.113.9:22";
    let rules = format!("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {rule}\nCOMMIT\n");
    let ruleset = compile(&policy());
    let rules_of = Rules { ruleset: &ruleset, by_name_alone: false };
    let facts = with_rules(facts(), &rules);
    let ask = |from: [u8; 4]| {
        let question = Question {
            from: from.into(),
            service: "2222/tcp".parse().unwrap(),
            incoming: Some("eth0".into()),
            to: Some([192, 0, 2, 1].into()),
        };
        explain(under(rules_of), &facts, &Looks, &question).unwrap()
    };
    let trusted = ask([192, 0, 2, 10]);
    assert_eq!((trusted.ways.len(), trusted.is_certain), (2, true), "dockfw decides the same on both");
    assert_eq!(trusted.ways[0].to, Some("203.0.113.9:22".parse().unwrap()));
    assert_eq!(trusted.target.kind, Kind::Translated);
}

/// Returns what becomes of a question to an open DNS server of the host, if a rule of others in table raw is for it.
fn dns_behind(rule: &str) -> Explanation {
    let raw =
        format!("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p udp -m udp --dport 53 {rule}\nCOMMIT\n");
    let ruleset = compile(&rules("[[allow]]\nname = \"dns\"\nports = [\"53/udp\"]\n"));
    let question = Question {
        from: [192, 0, 2, 20].into(),
        service: "53/udp".parse().unwrap(),
        incoming: Some("eth0".into()),
        to: Some([192, 0, 2, 1].into()),
    };
    let of = Rules { ruleset: &ruleset, by_name_alone: false };
    explain(under(of), &with_rules(facts(), &raw), &Looks, &question).unwrap()
}

/// dockfw's own rules ask for the port that was dialled, which is unknown for a packet that connection tracking skips.
#[test]
fn what_is_not_tracked_is_let_in_by_no_rule_about_ports() {
    let none = dns_behind("-j ACCEPT");
    assert_eq!((none.verdict, none.is_certain, none.ways[0].is_tracked), (Verdict::Pass, true, true));
    let all = dns_behind("-j CT --notrack");
    assert_eq!((all.verdict, all.is_certain, all.ways[0].is_tracked), (Verdict::Drop, true, false));
    assert!(all.ways[0].rule.as_ref().is_some_and(|rule| rule.ends_with("--notrack")), "{:?}", all.ways);
    let some = dns_behind("-m limit --limit 1/sec -j CT --notrack");
    let verdicts: Vec<_> = some.ways.iter().map(|way| (way.is_tracked, way.verdict)).collect();
    assert_eq!(verdicts, [(true, Verdict::Pass), (false, Verdict::Drop)]);
    assert!(!some.is_certain);
}

#[test]
fn a_way_that_leads_nowhere_leaves_nothing_certain() {
    let rule = "-p tcp -m tcp --dport 2222 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 198.51.100.9:22";
    let rules = format!("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {rule}\nCOMMIT\n");
    let explained = explained(&with_rules(facts(), &rules), [192, 0, 2, 1], "2222/tcp", "eth0");
    assert_eq!((explained.ways.len(), explained.is_certain), (1, false));
}

#[test]
fn rules_that_can_not_be_read_leave_nothing_certain() {
    let others = Others { unreadable: vec!["no rights".into()], ..Others::default() };
    let facts = Facts { others, ..facts() };
    assert!(!explained(&facts, [192, 0, 2, 1], "22/tcp", "eth0").is_certain);
}

#[test]
fn chains_that_are_not_looked_at_leave_nothing_certain() {
    let mut facts = with_rules(facts(), DOCKERS);
    facts.others.unseen = ["chain early of table netdev guard".to_owned()].into();
    let direct = explained(&facts, [172, 17, 0, 2], "80/tcp", "eth0");
    assert!(!direct.is_certain);
    assert_eq!(objections(&direct), [("-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP", false)]);
}

/// Docker lists a port of a routed network without a port of the host, published or not.
#[test]
fn without_rules_a_port_of_a_routed_network_is_not_called_closed() {
    let others = Others { unreadable: vec!["no rights".into()], ..Others::default() };
    let docker = Behaviour::of(&[29, 0], Backend::Iptables);
    let mut facts = Facts { others, docker, published: vec![], ..facts() };
    facts.containers[0].published.clear();
    let why = |facts: &Facts| {
        let explained = explained(facts, [172, 17, 0, 2], "80/tcp", "eth0");
        let [(why, false)] = objections(&explained)[..] else { panic!("{:?}", explained.others) };
        why.contains("but for published ports")
    };
    assert!(!why(&facts), "nobody reaches a network that is translated");
    facts.networks[0].gateway_modes[0] = Some("routed".into());
    assert!(why(&facts));
}

#[test]
fn what_is_dropped_by_dockfw_has_no_other_objections() {
    let question = Question {
        from: [192, 0, 2, 20].into(),
        service: "80/tcp".parse().unwrap(),
        incoming: None,
        to: Some([172, 17, 0, 2].into()),
    };
    let ruleset = compile(&policy());
    let rules = Rules { ruleset: &ruleset, by_name_alone: false };
    let explained = explain(under(rules), &with_rules(facts(), DOCKERS), &Looks, &question).unwrap();
    assert_eq!((explained.verdict, explained.packet.incoming.as_str()), (Verdict::Drop, "eth0"));
    assert_eq!(explained.others, []);
}
