//! Rules of nftables, loaded by nft and read back from the kernel.

use proptest::prelude::*;

use super::super::{Chain, Hook, Hooked, Rule, Table, nft};
use super::*;
use crate::filters::nf_tables::read_tables;
use crate::nftables::tests::{in_namespace, nft_with};

/// Loads these tables in a network namespace of their own, and checks what was read of them.
fn with(tables: &str, look: impl FnOnce(&Tables) + Send + 'static) {
    let tables = tables.to_owned();
    in_namespace(move || {
        nft_with(&["-f", "-"], &tables);
        look(&Tables::new(read_tables(|_| true).unwrap()));
    });
}

/// What Docker 29's nftables backend makes for a container with two published ports.
const DOCKER_BRIDGES: &str = "table ip docker-bridges {
        map filter-forward-in-jumps { type ifname : verdict; elements = { \"docker0\" : jump filter-forward-in__docker0 } }
        map filter-forward-out-jumps { type ifname : verdict; elements = { \"docker0\" : jump filter-forward-out__docker0 } }
        chain filter-forward-in__docker0 {
            ct state established,related counter accept
            iifname \"docker0\" counter accept comment \"ICC\"
            ip daddr 172.17.0.2 tcp dport 80 counter accept
            counter drop comment \"UNPUBLISHED PORT DROP\"
        }
        chain filter-forward-out__docker0 { ct state established,related counter accept; counter accept; }
        chain filter-FORWARD { type filter hook forward priority filter; policy accept;
            oifname vmap @filter-forward-in-jumps
            iifname vmap @filter-forward-out-jumps
        }
        chain nat-prerouting-and-output {
            iifname != \"docker0\" tcp dport 8080 counter dnat to 172.17.0.2:80 comment \"DNAT\"
            iifname != \"docker0\" ip daddr 192.0.2.2 udp dport 53 counter dnat to 172.17.0.4:5300 comment \"DNAT\"
        }
        chain nat-PREROUTING { type nat hook prerouting priority dstnat; policy accept;
            fib daddr type local counter jump nat-prerouting-and-output
        }
        chain raw-PREROUTING { type filter hook prerouting priority raw; policy accept;
            ip daddr 172.17.0.2 iifname != \"docker0\" counter drop comment \"DROP DIRECT ACCESS\"
        }
    }";

#[test]
#[ignore = "needs root"]
fn dockers_nftables_backend_is_followed() {
    with(DOCKER_BRIDGES, |tables| {
        assert_eq!(led(tables, "* eth0 192.0.2.1:8080 tcp"), ["172.17.0.2:80"]);
        assert_eq!(led(tables, "172.18.0.2 br-1 192.0.2.1:8080 tcp"), ["172.17.0.2:80"]);
        assert_eq!(led(tables, "172.17.0.3 docker0 192.0.2.1:8080 tcp"), ["-"]);
        assert_eq!(
            [led(tables, "* eth0 192.0.2.2:53 udp"), led(tables, "* eth0 192.0.2.1:53 udp")],
            [["172.17.0.4:5300"], ["-"]]
        );
        assert_eq!(led(tables, "* eth0 203.0.113.1:8080 tcp"), ["-"], "not the host's own");
        assert_eq!(objections(tables, "192.0.2.9 eth0 192.0.2.1:8080 tcp", Some("docker0")), [""; 0]);
        let direct = objections(tables, "192.0.2.9 eth0 172.17.0.2:80 tcp", Some("docker0"));
        assert_eq!(direct.len(), 1, "{direct:?}");
        assert!(direct[0].contains("DROP DIRECT ACCESS"), "{direct:?}");
        let unpublished = objections(tables, "192.0.2.9 eth0 172.17.0.9:80 tcp", Some("docker0"));
        assert!(
            unpublished[0].contains("UNPUBLISHED PORT DROP") && !unpublished[0].ends_with('?'),
            "{unpublished:?}"
        );
        assert_eq!(objections(tables, "172.17.0.3 docker0 172.17.0.2:90 tcp", Some("docker0")), [""; 0]);
        let doors = tables.doors(Family::Ipv4);
        assert!(doors.ports.contains(&8080) && doors.ports.contains(&53), "{doors:?}");
        assert!(doors.addresses.contains(&"192.0.2.2".parse().unwrap()), "{doors:?}");
        assert_eq!(tables.wide(Family::Ipv4), []);
    });
}

#[test]
#[ignore = "needs root"]
fn what_netavark_makes_for_podman_is_followed() {
    let podman = "table inet netavark {
        chain nv_dnat {
            ip saddr 10.88.0.0/16 tcp dport 8090 jump NETAVARK-HOSTPORT-SETMARK
            ip saddr 127.0.0.1 tcp dport 8090 jump NETAVARK-HOSTPORT-SETMARK
            tcp dport 8090 dnat ip to 10.88.0.2:80
        }
        chain NETAVARK-HOSTPORT-SETMARK { meta mark set meta mark or 0x2000; }
        chain NETAVARK-HOSTPORT-DNAT { tcp dport 8090 jump nv_dnat; udp dport { 5000-5010, 6000 } dnat ip to 10.88.0.3; }
        chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local jump NETAVARK-HOSTPORT-DNAT; }
        chain FORWARD { type filter hook forward priority filter; policy accept; ct state invalid drop; ip daddr 10.88.0.0/16 accept; }
    }";
    with(podman, |tables| {
        assert_eq!(led(tables, "* eth0 192.0.2.1:8090 tcp"), ["10.88.0.2:80"]);
        assert_eq!(led(tables, "* eth0 [2001:db8::1]:8090 tcp"), ["-"], "of the other family");
        assert_eq!(led(tables, "* eth0 [2001:db8::1]:8091 tcp"), ["-"]);
        assert_eq!(
            [led(tables, "* eth0 192.0.2.1:5005 udp"), led(tables, "* eth0 192.0.2.1:5011 udp")],
            [["10.88.0.3:5005"], ["-"]]
        );
        assert_eq!(objections(tables, "192.0.2.9 eth0 192.0.2.1:8090 tcp", Some("docker0")), [""; 0]);
        assert!(tables.doors(Family::Ipv4).ports.is_superset(&[8090, 6000].into()));
    });
}

/// As kube-proxy does it, and people with many ports.
#[test]
#[ignore = "needs root"]
fn maps_of_several_fields_and_of_addresses_are_looked_up() {
    let maps = "table ip maps {
        map services { type ipv4_addr . inet_proto . inet_service : verdict
            elements = { 192.0.2.1 . tcp . 80 : goto web, 192.0.2.1 . udp . 53 : goto dns } }
        map forwards { type inet_service : ipv4_addr . inet_service; elements = { 2222 : 10.7.0.5 . 22 } }
        chain web { numgen random mod 2 vmap { 0 : goto one, 1 : goto two }; }
        chain one { meta l4proto tcp dnat to 10.42.0.5:8080; }
        chain two { meta l4proto tcp dnat to 10.42.0.6:8080; }
        chain dns { dnat to 10.42.0.7; }
        chain pre { type nat hook prerouting priority dstnat - 5;
            ip daddr . meta l4proto . th dport vmap @services
            dnat ip to tcp dport map @forwards
            tcp dport 4000-4100 redirect to :22
        }
    }";
    with(maps, |tables| {
        let ways = led(tables, "* eth0 192.0.2.1:80 tcp");
        assert!(
            ways.contains(&"10.42.0.5:8080".into()) && ways.contains(&"10.42.0.6:8080".into()),
            "{ways:?}"
        );
        assert_eq!(led(tables, "* eth0 192.0.2.1:53 udp"), ["10.42.0.7:53"]);
        assert_eq!(led(tables, "* eth0 192.0.2.1:2222 tcp"), ["10.7.0.5:22"]);
        assert_eq!(led(tables, "* eth0 192.0.2.1:4050 tcp"), ["192.0.2.1:22"]);
        assert_eq!(led(tables, "* eth0 192.0.2.1:81 tcp"), ["-"]);
        let doors = tables.doors(Family::Ipv4);
        assert!(doors.ports.is_superset(&[80, 53, 2222, 4000, 4100].into()), "{doors:?}");
    });
}

/// An address set in a translation rule names no ports, whatever its addresses end with.
#[test]
#[ignore = "needs root"]
fn sets_name_ports_only_where_they_are_asked_for_ports() {
    let sets = "table ip sets {
        set bans { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 10.22.0.0/16 } }
        set pairs { type ipv4_addr . inet_service; elements = { 192.0.2.2 . 8000 } }
        set ranges { type inet_service; flags interval; elements = { 7000-7002, 9000 } }
        set fields { type ipv4_addr . inet_service; flags interval; elements = { 192.0.2.0/24 . 6000-6002 } }
        map many { type inet_service : ipv4_addr; flags interval; elements = { 20000-30000 : 10.0.0.7 } }
        chain pre { type nat hook prerouting priority dstnat;
            ip saddr @bans accept
            ip daddr . tcp dport @pairs redirect to :22
            tcp dport @ranges redirect to :22
            ip saddr . udp dport @fields redirect to :22
            dnat to tcp dport map @many
        }
    }";
    with(sets, |tables| {
        let doors = tables.doors(Family::Ipv4);
        assert_eq!(doors.ports, [6000, 6001, 6002, 7000, 7001, 7002, 8000, 9000].into());
        assert_eq!(doors.addresses, [IpAddr::from([192, 0, 2, 2])].into());
        let wide: Vec<_> = tables.wide(Family::Ipv4).into_iter().map(|led| led.rule).collect();
        assert_eq!(wide, ["tcp dport map @many dnat"]);
    });
}

#[test]
#[ignore = "needs root"]
fn ports_of_a_map_that_is_not_read_are_said_to_be_unknown() {
    let elements: Vec<_> = (1..25_000).map(|port| format!("{port} : goto web")).collect();
    let maps = format!(
        "table ip maps {{ chain web {{ tcp dport 1-65535 redirect to :80; }}
            map services {{ type inet_service : verdict; elements = {{ {} }} }}
            chain pre {{ type nat hook prerouting priority dstnat; tcp dport vmap @services; }}\n}}",
        elements.join(", ")
    );
    with(&maps, |tables| {
        let wide: Vec<_> = tables.wide(Family::Ipv4).into_iter().map(|led| led.rule).collect();
        assert_eq!(wide, ["tcp dport vmap @services"]);
    });
}

#[test]
#[ignore = "needs root"]
fn redirects_lead_to_the_interfaces_own_address_and_prefixes_somewhere() {
    let tables = "table inet t {
        chain pre { type nat hook prerouting priority dstnat; policy accept;
            tcp dport 80 redirect to :3128
            tcp dport 81 redirect
            tcp dport 82 dnat ip to 10.0.0.1-10.0.0.9
            tcp dport 83 dnat to :90
            tcp dport 84 dnat ip prefix to ip daddr map { 192.0.2.0/24 : 10.7.0.0/24 }
            dnat ip to 10.0.0.3
        }
    }";
    with(tables, |tables| {
        let led = |port| led(tables, &format!("* eth0 192.0.2.2:{port} tcp"));
        assert_eq!([led(80), led(81)], [["192.0.2.1:3128"], ["192.0.2.1:81"]]);
        assert_eq!(led(82), ["10.0.0.1:82", "10.0.0.9:82", "?"]);
        assert_eq!([led(83), led(86)], [["192.0.2.2:90"], ["10.0.0.3:86"]]);
        assert_eq!(led(84), ["-", "?"], "led by that rule, nobody knows to where");
        let foreign = super::led(tables, "* eth0 [2001:db8:1::7]:80 tcp");
        assert_eq!(foreign, ["[2001:db8::1]:3128"]);
    });
}

#[test]
#[ignore = "needs root"]
fn routing_is_asked_as_nf_tables_does() {
    let tables = "table inet t {
        chain raw { type filter hook prerouting priority raw; policy accept;
            udp dport 1 fib daddr . iif type != { local, broadcast, multicast } drop
            udp dport 2 fib saddr . iif oif exists drop
            udp dport 3 fib saddr . iif oif missing drop
            udp dport 4 fib saddr . mark . iif oif exists drop
            udp dport 5 fib daddr type broadcast drop
            udp dport 6 fib daddr type multicast drop
            udp dport 7 meta pkttype { broadcast, multicast } drop
            udp dport 8 fib daddr . mark type local drop
            udp dport 9 fib saddr . iif oifname eth0 drop
            udp dport 10 fib daddr . iif type local drop
        }
    }";
    with(tables, |tables| {
        let drops = |port: u16, to: &str, incoming: &str| {
            let found = objections(tables, &format!("192.0.2.9 {incoming} {to}:{port} udp"), None);
            found.first().map(|one| !one.ends_with('?'))
        };
        let (no, yes, perhaps) = (None, Some(true), Some(false));
        let of_interface = |to, incoming| drops(1, to, incoming);
        assert_eq!([of_interface("192.0.2.1", "eth0"), of_interface("172.17.0.1", "docker0")], [no, no]);
        assert_eq!(of_interface("172.17.0.1", "eth0"), yes, "the address of another interface");
        assert_eq!([of_interface("198.51.100.7", "eth0"), of_interface("192.0.2.1", "docker0")], [yes, yes]);
        for group in ["192.0.2.255", "255.255.255.255", "224.0.0.5"] {
            assert_eq!(of_interface(group, "eth0"), no, "{group}");
        }
        assert_eq!(of_interface("192.0.2.255", "docker0"), perhaps);
        assert_eq!([2, 3, 4, 9].map(|port| drops(port, "192.0.2.1", "eth0")), [yes, no, yes, yes]);
        let elsewhere = [2, 3, 4, 9].map(|port| drops(port, "192.0.2.1", "br-1"));
        assert_eq!(elsewhere, [perhaps; 4], "there may be a way back by br-1");
        let by_type = |to| [5, 6, 7].map(|port| drops(port, to, "eth0"));
        assert_eq!(by_type("192.0.2.255"), [yes, no, yes]);
        assert_eq!(by_type("224.0.0.5"), [no, yes, yes]);
        assert_eq!(by_type("192.0.2.1"), [no, no, no]);
        assert_eq!(drops(8, "192.0.2.1", "eth0"), perhaps, "routes may depend on marks");
        assert_eq!([drops(10, "192.0.2.1", "eth0"), drops(10, "172.17.0.1", "eth0")], [yes, no]);
    });
}

#[test]
#[ignore = "needs root"]
fn connections_marks_are_marks() {
    let marks =
        "table inet t { chain c { type filter hook prerouting priority 0; udp dport 53 ct mark set 1; }; }";
    with(marks, |tables| assert!(tables.mark()));
}

#[test]
#[ignore = "needs root"]
fn filters_are_asked_as_nf_tables_does() {
    let filters = "table inet strict {
        set bans { type ipv4_addr; flags interval; elements = { 192.0.2.64/26, 198.51.100.7 } }
        chain input { type filter hook input priority 5; policy accept;
            ct state established,related accept
            ip saddr @bans drop
            iifname \"eth*\" tcp dport { 22, 80 } accept
            meta l4proto icmp accept
            limit rate 5/second udp dport 53 accept
            udp dport 53 drop
            tcp flags & (fin|syn|rst|ack) == syn tcp dport 443 ct state new accept
            ip6 saddr fe80::/10 accept
            counter reject with icmpx admin-prohibited
        }
        chain forward { type filter hook forward priority 5; policy drop; ct status dnat accept; oifname \"br-*\" accept; }
        chain pre { type filter hook prerouting priority -10; meta nfproto ipv6 fib saddr . iif oif missing drop; }
    }";
    with(filters, |tables| {
        let input = |text| objections(tables, text, None);
        assert_eq!(input("192.0.2.9 eth0 192.0.2.1:22 tcp"), [""; 0]);
        assert!(input("192.0.2.70 eth0 192.0.2.1:22 tcp")[0].contains("@bans"));
        assert!(input("198.51.100.7 eth0 192.0.2.1:22 tcp")[0].contains("@bans"));
        assert_eq!(input("192.0.2.128 eth0 192.0.2.1:443 tcp"), [""; 0], "behind the interval");
        let rejected = input("192.0.2.9 docker0 192.0.2.1:22 tcp");
        assert!(
            rejected.len() == 1 && rejected[0].contains("reject") && !rejected[0].ends_with('?'),
            "{rejected:?}"
        );
        assert!(input("192.0.2.9 eth0 192.0.2.1:53 udp")[0].ends_with('?'), "within the rate or not");
        assert_eq!(input("2001:db8::9 eth0 [2001:db8::1]:22 tcp"), [""; 0]);
        assert!(
            input("2001:db8::9 br-1 [2001:db8::1]:9 tcp")[0].ends_with('?'),
            "there may be a way back by br-1"
        );
        let forward = |text, out| objections(tables, text, Some(out));
        assert_eq!(forward("192.0.2.9 eth0 10.0.0.1:22 tcp", "docker0"), ["the policy of chain forward"]);
        assert_eq!(forward("192.0.2.9 eth0 10.0.0.1:22 tcp", "br-1"), [""; 0]);
    });
}

/// After the translation of sources, it is unknown whose packet it is.
#[test]
#[ignore = "needs root"]
fn what_leaves_the_host_is_asked_where_it_goes_out() {
    let leaving = "table ip out {
        chain late { type filter hook postrouting priority 150; ip saddr 192.0.2.8 drop; }
        chain early { type filter hook postrouting priority 0; oifname \"docker0\" tcp dport 81 drop; ip saddr 192.0.2.9 tcp dport 82 drop; }
        chain sources { type nat hook postrouting priority srcnat; masquerade; }
    }";
    with(leaving, |tables| {
        let out =
            |port, by: Option<&str>| objections(tables, &format!("192.0.2.9 eth0 10.0.0.1:{port} tcp"), by);
        let late = "ip saddr 192.0.2.8 drop?";
        assert_eq!(out(80, Some("docker0")), [late]);
        assert_eq!(out(81, Some("docker0")), ["oifname \"docker0\" tcp dport 81 drop", late]);
        assert_eq!(out(82, Some("docker0")), ["ip saddr 192.0.2.9 tcp dport 82 drop", late]);
        assert_eq!([out(81, Some("br-1")), out(81, None)], [vec![late.to_owned()], vec![]]);
    });
}

#[test]
#[ignore = "needs root"]
fn what_is_taken_out_of_connection_tracking_goes_on_in_its_rule() {
    let tables = "table inet t {
        chain raw { type filter hook prerouting priority raw; policy drop;
            udp dport 53 notrack accept
            ip saddr 10.0.0.0/8 udp dport 54 accept
            udp dport 54 notrack accept
            ct state invalid tcp dport 55 accept
            ct original protocol != 17 accept
        }
        chain mangle { type filter hook prerouting priority mangle; policy accept; ct state untracked udp dport 53 drop; notrack; }
        chain input { type filter hook input priority 0; policy accept; ct reply ip daddr 192.0.2.9 tcp dport 55 drop; }
    }";
    with(tables, |tables| {
        assert_eq!(led(tables, "* eth0 192.0.2.1:53 udp"), ["untracked"]);
        assert_eq!(led(tables, "* eth0 192.0.2.1:54 udp"), ["-", "untracked"]);
        let drops = |text| objections(tables, text, None);
        let untracked = drops("192.0.2.9 eth0 192.0.2.1:53 udp");
        assert!(untracked.len() == 1 && untracked[0].contains("untracked"), "{untracked:?}");
        assert_eq!(led(tables, "192.0.2.9 eth0 192.0.2.1:55 tcp"), ["-"], "tracked before table mangle");
        let reply = drops("192.0.2.9 eth0 192.0.2.1:55 tcp");
        assert!(reply.len() == 1 && reply[0].ends_with('?'), "{reply:?}");
        assert_eq!(drops("192.0.2.9 eth0 192.0.2.1:56 tcp"), ["the policy of chain raw"]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_chain_that_drops_instead_of_translating_is_the_last() {
    let tables = "table ip t {
        chain first { type nat hook prerouting priority dstnat - 5; policy accept; tcp dport 80 drop; }
        chain second { type nat hook prerouting priority dstnat; policy accept; dnat to 10.0.0.1; }
    }";
    with(tables, |tables| {
        assert_eq!(led(tables, "* eth0 192.0.2.1:80 tcp"), ["-"]);
        assert_eq!(objections(tables, "* eth0 192.0.2.1:80 tcp", None), ["tcp dport 80 drop"]);
        assert_eq!(led(tables, "* eth0 192.0.2.1:81 tcp"), ["10.0.0.1:81"]);
    });
}

#[test]
#[ignore = "needs root"]
fn of_very_large_sets_nothing_is_said() {
    in_namespace(|| {
        let elements: Vec<_> =
            (0..30_000).map(|n| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)).collect();
        let text = format!(
            "table ip bans {{ set many {{ type ipv4_addr; elements = {{ {} }} }}
                chain input {{ type filter hook input priority 0; ip saddr @many drop; }}\n}}",
            elements.join(", ")
        );
        nft_with(&["-f", "-"], &text);
        let tables = Tables::new(read_tables(|_| true).unwrap());
        let [objection] = &objections(&tables, "192.0.2.9 eth0 192.0.2.1:22 tcp", None)[..] else { panic!() };
        assert!(objection.ends_with('?'), "{objection}");
    });
}

#[test]
#[ignore = "needs root"]
fn tables_that_are_dormant_or_not_wanted_or_dockfws_are_not_read() {
    in_namespace(|| {
        nft_with(
            &["-f", "-"],
            "table inet dockfw {}\ntable ip asleep { flags dormant; }\ntable ip nat {}\ntable netdev x {}\ntable ip6 y {}",
        );
        let names: Vec<_> =
            read_tables(|name| name != "ip nat").unwrap().into_iter().map(|table| table.name).collect();
        assert_eq!(names, ["table ip6 y"]);
    });
}

/// Returns a table of one rule that has these bytes for its expressions.
fn of_bytes(bytes: &[u8]) -> Tables {
    let hooked = Hooked { hook: Hook::Input, priority: 0, translates: false, drops: false };
    let rules = vec![Rule::Nft(nft::rule(None, bytes, None))];
    let chains = [("input".to_owned(), Chain { hooked: Some(hooked), rules })].into();
    let set = nft::Set::new(nft::elements(bytes, &[4, 1, 2]).collect(), true);
    let sets = [("a".to_owned(), set)].into();
    Tables::new(vec![Table { chains, sets, ..Table::default() }])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let tables = of_bytes(&bytes);
        objections(&tables, "192.0.2.9 eth0 192.0.2.1:80 tcp", None);
        tables.doors(Family::Ipv6);
    }

    /// Expressions with known names, and numbers of any size in them.
    #[test]
    fn no_odd_expression_makes_it_panic(
        name in prop::sample::select(vec!["cmp", "payload", "bitwise", "lookup", "immediate", "byteorder", "nat", "range", "fib", "ct"]),
        numbers in prop::collection::vec(any::<u32>(), 8),
        value in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        use crate::netlink::attributes::{put, put_number, put_text};
        let (mut data, mut expression, mut list, mut nested) = (vec![], vec![], vec![], vec![]);
        for (kind, number) in numbers.iter().enumerate() {
            put_number(&mut data, u16::try_from(kind + 1).unwrap(), *number);
        }
        put(&mut nested, 1, &value);
        for kind in [2, 3, 4, 5] {
            put(&mut data, kind, &nested);
        }
        put_text(&mut expression, 1, name.as_bytes());
        put(&mut expression, 2, &data);
        put(&mut list, 1, &expression);
        objections(&of_bytes(&list), "192.0.2.9 eth0 192.0.2.1:80 tcp", None);
    }
}
