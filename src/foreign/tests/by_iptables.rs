//! Rules of iptables.

use proptest::prelude::*;

use super::super::listing;
use super::*;

/// Returns a table of IPv4 with these lines.
fn table(name: &str, lines: &str) -> Tables {
    of(Family::Ipv4, name, lines)
}

fn of(family: Family, name: &str, lines: &str) -> Tables {
    let builtin =
        "PREROUTING INPUT FORWARD POSTROUTING".split(' ').map(|chain| format!(":{chain} ACCEPT [0:0]\n"));
    let saved = format!("*{name}\n{}{lines}\nCOMMIT\n", builtin.collect::<String>());
    Tables::new(listing::tables(&saved, family, "iptables-legacy"))
}

#[test]
fn dnat_leads_to_the_address_and_the_port_that_it_names() {
    let to = |rule: &str| led(&table("nat", &format!("-A PREROUTING {rule}")), "* eth0 192.0.2.1:8080 tcp");
    let dnat = |to: &str| format!("-p tcp -m tcp --dport 8080 -j DNAT --to-destination {to}");
    assert_eq!(to(&dnat("10.0.0.1:80")), ["10.0.0.1:80"]);
    assert_eq!(to(&dnat("10.0.0.1")), ["10.0.0.1:8080"]);
    assert_eq!(to(&dnat(":90")), ["192.0.2.1:90"]);
    assert_eq!(to(&dnat("10.0.0.1-10.0.0.2:80")), ["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(to(&dnat("10.0.0.1-10.0.0.3:80")), ["10.0.0.1:80", "10.0.0.3:80", "?"]);
    assert_eq!(to(&dnat("10.0.0.1:80-90")), ["10.0.0.1:80", "10.0.0.1:90", "?"]);
    assert_eq!(to(&dnat("10.0.0.1:80-90/8080")), ["-", "?"], "shifted");
    assert_eq!(
        to("-p tcp -m multiport --dports 22,8000:8100 -j DNAT --to-destination 10.0.0.1"),
        ["10.0.0.1:8080"]
    );
    assert_eq!(to("-p udp -m udp --dport 8080 -j DNAT --to-destination 10.0.0.1"), ["-"]);
    assert_eq!(to("-d 192.0.2.0/24 -j NETMAP --to 10.7.0.0/24"), ["10.7.0.1:8080"]);
    assert_eq!(to("-j DNAT --to-destination nowhere"), ["-", "?"]);
}

#[test]
fn redirect_leads_to_the_interfaces_own_address() {
    let redirect = |ports| format!("-A PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT{ports}");
    let to = |text| led(&table("nat", &redirect(" --to-ports 90")), text);
    assert_eq!(to("* eth0 192.0.2.1:8080 tcp"), ["192.0.2.1:90"]);
    assert_eq!(to("* eth0 192.0.2.2:8080 tcp"), ["192.0.2.1:90"], "the first");
    assert_eq!(to("* eth0 198.51.100.7:8080 tcp"), ["192.0.2.1:90"], "whosever address was dialled");
    assert_eq!(to("172.17.0.2 docker0 198.51.100.7:8080 tcp"), ["172.17.0.1:90"]);
    let nowhere = "* br-1 198.51.100.7:8080 tcp";
    assert_eq!(to(nowhere), ["-"]);
    let rule = redirect(" --to-ports 90");
    assert_eq!(objections(&table("nat", &rule), nowhere, None), [rule], "there is none to lead to");
    assert_eq!(led(&table("nat", &redirect("")), "* eth0 198.51.100.7:8080 tcp"), ["192.0.2.1:8080"]);
    let v6 = of(Family::Ipv6, "nat", &redirect(""));
    assert_eq!(led(&v6, "* eth0 [2001:db8:1::7]:8080 tcp"), ["[2001:db8::1]:8080"]);
    let either = ["[2001:db8::1]:8080", "[fe80::2]:8080"];
    assert_eq!(led(&v6, "* eth0 [fe80::2]:8080 tcp"), either, "it depends on the kernel");
}

#[test]
fn the_first_rule_that_leads_decides_and_accept_leaves_it_as_it_was() {
    let rules = "-A PREROUTING -d 192.0.2.2/32 -j ACCEPT\n-A PREROUTING -i docker0 -j RETURN\n-A PREROUTING -j FIRST\n\
                 -A PREROUTING -j DNAT --to-destination 10.0.0.2\n:FIRST - [0:0]\n\
                 -A FIRST -p tcp -m tcp --dport 80 -g SECOND\n-A FIRST -p tcp -j DNAT --to-destination 10.0.0.9\n:SECOND - [0:0]\n\
                 -A SECOND -s 192.0.2.9/32 -j DNAT --to-destination 10.0.0.1\n";
    let led = |text| led(&table("nat", rules), text);
    assert_eq!(led("192.0.2.9 eth0 192.0.2.1:80 tcp"), ["10.0.0.1:80"]);
    assert_eq!(
        led("192.0.2.8 eth0 192.0.2.1:80 tcp"),
        ["10.0.0.2:80"],
        "behind a goto, the chain before goes on"
    );
    assert_eq!(led("192.0.2.8 eth0 192.0.2.1:81 tcp"), ["10.0.0.9:81"]);
    assert_eq!(led("* eth0 192.0.2.1:80 tcp"), ["10.0.0.1:80", "10.0.0.2:80"], "depends on who it is");
    assert_eq!([led("* eth0 192.0.2.2:80 tcp"), led("* docker0 192.0.2.1:80 tcp")], [["-"], ["-"]]);
}

#[test]
fn docker_leaves_link_local_sources_to_its_proxy() {
    let rules = "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n:DOCKER - [0:0]\n\
                 -A DOCKER ! -s fe80::/10 ! -i docker0 -p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00::2]:8080\n";
    let tables = of(Family::Ipv6, "nat", rules);
    assert_eq!(led(&tables, "* eth0 [2001:db8::1]:80 tcp"), ["[fd00::2]:8080"]);
    assert_eq!(led(&tables, "fe80::9 eth0 [2001:db8::1]:80 tcp"), ["-"]);
    assert_eq!(led(&tables, "* eth0 [2001:db8::7]:80 tcp"), ["-"], "not the host's own");
}

/// As portmap, of nerdctl and k3s, does it: marks for what is masqueraded, and chains for each container.
#[test]
fn port_maps_of_cni_are_followed() {
    let rules = "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n:CNI-HOSTPORT-DNAT - [0:0]\n\
                 -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment \"dnat name: \\\"x\\\" -j DROP\" -m multiport --dports 8090 -j CNI-DN-1\n\
                 :CNI-DN-1 - [0:0]\n-A CNI-DN-1 -s 10.4.0.0/24 -p tcp -m tcp --dport 8090 -j CNI-HOSTPORT-SETMARK\n\
                 -A CNI-DN-1 -s 127.0.0.1/32 -p tcp -m tcp --dport 8090 -j CNI-HOSTPORT-SETMARK\n\
                 -A CNI-DN-1 -p tcp -m tcp --dport 8090 -j DNAT --to-destination 10.4.0.5:80\n:CNI-HOSTPORT-SETMARK - [0:0]\n\
                 -A CNI-HOSTPORT-SETMARK -m comment --comment \"CNI portfwd masquerade mark\" -j MARK --set-xmark 0x2000/0x2000\n";
    assert_eq!(led(&table("nat", rules), "* eth0 192.0.2.1:8090 tcp"), ["10.4.0.5:80"]);
}

#[test]
fn a_balancer_may_lead_to_each_of_its_backends() {
    let rules = "-A PREROUTING -p tcp -m tcp --dport 30080 -j SVC\n:SVC - [0:0]\n\
                 -A SVC -m statistic --mode random --probability 0.50000000000 -j DNAT --to-destination 10.42.0.5:80\n\
                 -A SVC -j DNAT --to-destination 10.42.0.6:80\n";
    assert_eq!(led(&table("nat", rules), "* eth0 192.0.2.1:30080 tcp"), ["10.42.0.5:80", "10.42.0.6:80"]);
}

/// Tables raw, mangle, nat and filter with these lines.
fn tables(raw: &str, mangle: &str, nat: &str, filter: &str) -> Tables {
    let all = [("raw", raw), ("mangle", mangle), ("nat", nat), ("filter", filter)];
    let saved = all.map(|(name, lines)| {
        format!("*{name}\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n{lines}\nCOMMIT\n")
    });
    Tables::new(listing::tables(&saved.concat(), Family::Ipv4, "iptables-nft"))
}

#[test]
fn untracked_packets_are_led_nowhere() {
    let raw = "-A PREROUTING -p udp -m udp --dport 53 -j CT --notrack";
    let tables = tables(raw, "", "-A PREROUTING -j DNAT --to-destination 10.0.0.1", "");
    assert_eq!(led(&tables, "* eth0 192.0.2.1:53 udp"), ["untracked"]);
    assert_eq!(led(&tables, "* eth0 192.0.2.1:53 tcp"), ["10.0.0.1:53"]);
}

/// The effect of a rule is only as certain as the walk to it.
#[test]
fn who_may_be_untracked_may_be_led() {
    let led = |raw: &str| {
        let tables = tables(raw, "", "-A PREROUTING -j DNAT --to-destination 10.0.0.1", "");
        led(&tables, "* eth0 192.0.2.1:53 udp")
    };
    let (both, never) = (["10.0.0.1:53", "untracked"], ["10.0.0.1:53"]);
    assert_eq!(led("-A PREROUTING -s 10.0.0.0/8 -j ACCEPT\n-A PREROUTING -j NOTRACK"), both);
    assert_eq!(led("-A PREROUTING -s 10.0.0.0/8 -j RETURN\n-A PREROUTING -j NOTRACK"), both);
    assert_eq!(led(":N - [0:0]\n-A PREROUTING -s 10.0.0.0/8 -j N\n-A N -j NOTRACK"), both);
    assert_eq!(led(":N - [0:0]\n-A PREROUTING -s 10.0.0.0/8 -g N\n-A PREROUTING -j NOTRACK"), both);
    let returns = ":N - [0:0]\n-A PREROUTING -j N\n-A N -s 10.0.0.0/8 -j RETURN\n";
    assert_eq!(led(&format!("{returns}-A N -j NOTRACK")), both);
    assert_eq!(led(&format!("{returns}-A PREROUTING -j NOTRACK")), ["untracked"], "behind the chain");
    assert_eq!(led(":N - [0:0]\n-A PREROUTING -j N\n-A N -j NOTRACK"), ["untracked"]);
    assert_eq!(led("-A PREROUTING -j ACCEPT\n-A PREROUTING -j NOTRACK"), never);
    assert_eq!(led("-A PREROUTING -s 10.0.0.0/8 -j NOTRACK\n-A PREROUTING -j NOTRACK"), ["untracked"]);
}

/// Before connection tracking each packet is invalid. What was dialled is unknown, and so is its opposite.
#[test]
fn before_connection_tracking_there_is_no_connection() {
    let drops = |condition: &str| {
        let raw = format!("-A PREROUTING {condition} -j DROP");
        objections(&tables(&raw, "", "", ""), "192.0.2.9 eth0 192.0.2.1:80 tcp", None).len() == 1
    };
    assert!(drops("-m conntrack --ctstate INVALID"));
    assert!(drops("-m conntrack ! --ctstate NEW"));
    for never in ["--ctstate NEW,UNTRACKED", "--ctorigdst 192.0.2.1", "! --ctorigdst 192.0.2.2"] {
        assert!(!drops(&format!("-m conntrack {never}")), "{never}");
    }
    let dropped =
        |raw, mangle| objections(&tables(raw, mangle, "", ""), "192.0.2.9 eth0 192.0.2.1:80 tcp", None);
    let mangle = "-A PREROUTING -m conntrack --ctstate UNTRACKED -j DROP";
    assert_eq!(dropped("", mangle), [""; 0]);
    assert_eq!(dropped("-A PREROUTING -j NOTRACK", mangle), [mangle], "as what came before has left it");
}

#[test]
fn what_table_nat_drops_is_led_nowhere() {
    let ways = |nat: &str| led(&table("nat", nat), "* eth0 192.0.2.1:80 tcp");
    let drops = |nat: &str| objections(&table("nat", nat), "* eth0 192.0.2.1:80 tcp", None);
    let lead = "-A PREROUTING -j DNAT --to-destination 10.0.0.1";
    let drop = "-A PREROUTING -p tcp -j DROP";
    assert_eq!((ways(drop), drops(drop)), (vec!["-".into()], vec![drop.to_owned()]));
    assert_eq!(drops(&format!("{lead}\n{drop}")), [""; 0], "the first decides");
    let either = format!("-A PREROUTING -s 10.0.0.0/8 -j DNAT --to-destination 10.0.0.1\n{drop}");
    assert_eq!((ways(&either), drops(&either)), (vec!["10.0.0.1:80".into()], vec![format!("{drop}?")]));
    let untracked = tables("-A PREROUTING -s 10.0.0.0/8 -j NOTRACK", "", drop, "");
    assert_eq!(objections(&untracked, "* eth0 192.0.2.1:80 tcp", None), [format!("{drop}?")]);
    let untracked = tables("-A PREROUTING -j NOTRACK", "", &format!("{drop}\n-A PREROUTING -j NOBODY"), "");
    assert_eq!(objections(&untracked, "* eth0 192.0.2.1:80 tcp", None), [""; 0], "table nat is not asked");
}

/// Returns whether a rule with these conditions drops: `Some(false)` if that is uncertain.
fn drops(conditions: &str, packet: &str) -> Option<bool> {
    let found = objections(&table("filter", &format!("-A INPUT {conditions} -j DROP")), packet, None);
    found.first().map(|one| !one.ends_with('?'))
}

/// Conditions that the packet below meets.
const HOLDING: &[&str] = &[
    "",
    "-i eth+",
    "! -i docker0",
    "-p tcp",
    "-p 6",
    "! -p udp",
    "-s 192.0.2.0/24",
    "! -d 192.0.2.2/32",
    "-p tcp -m tcp --dport 1:100",
    "-p tcp -m multiport --dports 22,80",
    "-p tcp -m tcp --sport 1024:65535",
    "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN",
    "-m conntrack --ctstate NEW,INVALID",
    "-m state --state NEW",
    "-m conntrack --ctorigdst 192.0.2.1 --ctorigdstport 80",
    "-m addrtype --dst-type LOCAL",
    "-m iprange --src-range 192.0.2.5-192.0.2.9",
    "-m set --match-set all src",
    "-m comment --comment \"-p udp\"",
    "-m comment --comment -j",
    "-m comment --comment ! -p tcp",
    "-m mark --mark 0x0",
    "-m pkttype --pkt-type unicast",
    "-m addrtype --dst-type BROADCAST,LOCAL",
    "-m addrtype ! --dst-type UNICAST",
    "-m addrtype --src-type UNICAST",
    "-m connmark --mark 0x0",
    "-m rpfilter --validmark",
    "-m rpfilter --loose",
    "-m policy --dir in --pol none",
];
/// Conditions that it does not meet.
const FAILING: &[&str] = &[
    "-i eth1",
    "-o eth0",
    "-p udp",
    "-p icmp",
    "-s 10.0.0.0/8",
    "! -s 192.0.2.0/24",
    "-p tcp -m tcp --dport 81",
    "-p tcp -m tcp --sport 53",
    "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK ACK",
    "-m conntrack --ctstate RELATED,ESTABLISHED",
    "-m conntrack --ctstate DNAT",
    "-m addrtype ! --dst-type LOCAL",
    "-m set --match-set none src",
    "-m set ! --match-set all src",
    "-m mark --mark 0x1/0xff",
    "-m rpfilter --invert",
    "-m rpfilter --loose --validmark --invert",
    "-m addrtype --dst-type BROADCAST",
    "-m addrtype --dst-type MULTICAST,UNICAST",
    "-m addrtype --src-type LOCAL",
    "-m pkttype --pkt-type broadcast",
    "-m policy --dir in --pol ipsec",
    "-f",
];
/// Conditions of which nothing here tells whether it meets them.
const UNKNOWN: &[&str] = &[
    "-m limit --limit 5/sec",
    "-m recent --update --seconds 60 --hitcount 4 --name SSH --mask 255.255.255.255 --rsource",
    "-m set --match-set other src",
    "-m set --match-set all src,dst",
    "-m addrtype --dst-type BLACKHOLE",
    "-m addrtype --dst-type LOCAL --limit-iface-in",
    "-m socket",
    "-p tcp -m socket --transparent",
    "-m frag",
    "-m eui64",
    "-m set [unsupported revision]",
    "-m tcp [unsupported revision]",
    "-p tcp -m tcp --dport 80 81",
    "-m helper --mark 0x0",
    "-m policy --dir out --pol ipsec",
    "-m policy --dir out --pol none",
    "-m tos --tos 0x10/0x3f",
    "-p nobody",
    "-m bpf --bytecode \"4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0\"",
];

#[test]
fn conditions_are_asked_as_iptables_does() {
    let packet = "192.0.2.9 eth0 192.0.2.1:80 tcp";
    for (conditions, expected) in [(HOLDING, Some(true)), (FAILING, None), (UNKNOWN, Some(false))] {
        for condition in conditions {
            assert_eq!(drops(condition, packet), expected, "{condition}");
        }
    }
}

#[test]
fn addresses_are_of_types() {
    let asked = |kind: &str, to: &str| {
        drops(&format!("-m addrtype --dst-type {kind}"), &format!("192.0.2.9 eth0 {to}:80 udp"))
    };
    for (address, own) in [
        ("192.0.2.255", "BROADCAST"),
        ("255.255.255.255", "BROADCAST"),
        ("224.0.0.5", "MULTICAST"),
        ("192.0.2.1", "LOCAL"),
        ("198.51.100.7", "UNICAST"),
    ] {
        for kind in ["BROADCAST", "MULTICAST", "LOCAL", "UNICAST"] {
            assert_eq!(asked(kind, address), (kind == own).then_some(true), "{address} {kind}");
        }
        let sent = if own == "BROADCAST" || own == "MULTICAST" { own } else { "UNICAST" };
        for kind in ["BROADCAST", "MULTICAST", "UNICAST"] {
            let asked = format!("-m pkttype --pkt-type {}", kind.to_lowercase());
            let found = drops(&asked, &format!("192.0.2.9 eth0 {address}:80 udp"));
            assert_eq!(found, (kind == sent).then_some(true), "{address} {kind}");
        }
    }
    let v6 = |kind: &str, to: &str| {
        let rules = of(Family::Ipv6, "filter", &format!("-A INPUT -m addrtype --dst-type {kind} -j DROP"));
        objections(&rules, &format!("2001:db8::9 eth0 [{to}]:80 udp"), None).len() == 1
    };
    assert!(v6("UNICAST", "2001:db8::1") && v6("LOCAL", "2001:db8::1"), "of IPv6, own ones are unicast too");
    assert!(v6("MULTICAST", "ff02::1") && !v6("UNICAST", "ff02::1") && !v6("LOCAL", "ff02::1"));
    assert!(v6("UNICAST", "2001:db8:1::7") && !v6("LOCAL", "2001:db8:1::7"));
    assert!(!v6("MULTICAST,UNICAST", "ff02::1"), "all are to hold");
}

#[test]
fn marks_of_connections_are_none_where_there_is_no_connection() {
    let raw = "-A PREROUTING -m connmark --mark 0x0 -j DROP";
    assert_eq!(objections(&tables(raw, "", "", ""), "192.0.2.9 eth0 192.0.2.1:80 tcp", None), [""; 0]);
}

#[test]
fn marks_are_unknown_once_a_rule_gives_some() {
    let rules = "-A PREROUTING -j MARK --set-xmark 0x1/0xffffffff\n-A INPUT -m mark --mark 0x1 -j DROP";
    assert_eq!(objections(&table("mangle", rules), "192.0.2.9 eth0 192.0.2.1:80 tcp", None).len(), 1);
    let elsewhere = "-A OUTPUT -j MARK --set-xmark 0x1/0xffffffff\n-A INPUT -m mark --mark 0x1 -j DROP";
    assert_eq!(objections(&table("mangle", elsewhere), "192.0.2.9 eth0 192.0.2.1:80 tcp", None), [""; 0]);
}

#[test]
fn chains_of_dockfw_are_left_out() {
    let rules = ":DOCKFW-PRE - [0:0]\n:FILTERS - [0:0]\n-A PREROUTING -j DOCKFW-PRE\n-A INPUT -j FILTERS\n\
                 -A DOCKFW-PRE -j DROP\n-A FILTERS -j DROP";
    assert_eq!(objections(&table("mangle", rules), "192.0.2.9 eth0 192.0.2.1:80 tcp", None), [""; 0]);
    let old = ":FILTERS - [0:0]\n-A INPUT -j FILTERS\n-A FILTERS -j DROP";
    assert_eq!(
        objections(&table("filter", old), "192.0.2.9 eth0 192.0.2.1:80 tcp", None),
        ["-A FILTERS -j DROP"]
    );
}

#[test]
fn chains_that_lead_in_circles_end() {
    let rules = ":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -m limit --limit 1/sec -j B\n-A B -m limit --limit 1/sec -j A\n\
                 -A A -m limit --limit 1/sec -j B\n-A B -m limit --limit 1/sec -j A";
    assert!(objections(&table("filter", rules), "192.0.2.9 eth0 192.0.2.1:80 tcp", None)[0].ends_with('?'));
}

#[test]
fn what_is_passed_on_is_asked_where_it_goes_out() {
    let mangle = table("mangle", "-A POSTROUTING -o docker0 -p tcp -m tcp --dport 80 -j DROP");
    let out = |by| objections(&mangle, "192.0.2.9 eth0 10.0.0.1:80 tcp", by).len();
    assert_eq!([out(Some("docker0")), out(Some("br-1")), out(None)], [1, 0, 0]);
}

#[test]
fn ports_and_addresses_that_rules_name_are_to_be_tried() {
    let rules = "-A PREROUTING -d 192.0.2.2/32 -p tcp -m multiport --dports 80,8000:8002 -j DNAT --to-destination 10.0.0.1\n\
                 -A PREROUTING -p udp -m udp --dport 10000:20000 -j DNAT --to-destination 10.0.0.2\n\
                 -A PREROUTING -d 192.0.2.1/32 -j DNAT --to-destination 10.0.0.3";
    let doors = table("nat", rules).doors(Family::Ipv4);
    assert_eq!(doors.ports, [80, 8000, 8001, 8002].into());
    assert_eq!(doors.addresses, ["192.0.2.1", "192.0.2.2"].map(|one| one.parse().unwrap()).into());
    assert_eq!(table("nat", rules).wide(Family::Ipv4).len(), 2);
    assert_eq!(table("nat", rules).doors(Family::Ipv6), Default::default());
}

proptest! {
    #[test]
    fn no_rules_make_it_panic(
        lines in "(\\*nat\n|\\*filter\n|:[A-C] (- \\[0:0\\]|DROP \\[0:0\\])\n|-A [A-C] |-j [A-C]\n|! |-p (tcp|x) |--dport |[0-9]{1,6}|[:,/\\-]|\"|\\\\|\n|\\PC){0,80}",
    ) {
        let lines = lines.replace("-A A", "-A PREROUTING").replace("-A B", "-A INPUT");
        let tables = Tables::new(listing::tables(&lines, Family::Ipv4, "x"));
        led(&tables, "* eth0 192.0.2.1:80 tcp");
        objections(&tables, "192.0.2.9 eth0 192.0.2.1:80 tcp", None);
        tables.doors(Family::Ipv4);
    }
}
