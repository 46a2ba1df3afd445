//! The layout that this engine has in common with its predecessors, and theirs.

use super::*;
use dockfw_xtables::old;

/// The old layout as people create it by hand, with a rule of others among its lines.
const OLD: &str = "ipset create ip_allow hash:ip
    ipset add ip_allow 192.0.2.10
    RESTORE --noflush <<'EOF'
*filter
:DOCKER-USER - [0:0]
:FILTERS - [0:0]
-A DOCKER-USER -m state --state RELATED,ESTABLISHED -j RETURN
-A DOCKER-USER -i docker_gwbridge -j RETURN
-A DOCKER-USER -s 172.18.0.0/16 -j RETURN
-A DOCKER-USER -d 192.0.2.99 -j DROP
-A DOCKER-USER -p tcp -m tcp -m multiport --dports 8000,8001 -j RETURN
-A DOCKER-USER -m set ! --match-set ip_allow src -j DROP
-A DOCKER-USER -j RETURN
-A FILTERS -p udp -m policy --dir in --pol ipsec -m udp --dport 4789 -m set --match-set ip_allow src -j RETURN
-A FILTERS -m state --state RELATED,ESTABLISHED -j ACCEPT
-A FILTERS -p icmp -j ACCEPT
-A FILTERS -i lo -j ACCEPT
-A FILTERS -p tcp -m state --state NEW -m tcp -m multiport --dports 22 -j ACCEPT
-A FILTERS -m set ! --match-set ip_allow src -j DROP
-A FILTERS -j RETURN
-I INPUT -j FILTERS
COMMIT
EOF
";

fn put_old(fixture: &EngineFixture, set: &str) {
    like_docker(fixture);
    fixture.family(Family::Ipv4, "-F DOCKER-USER");
    let script = OLD.replace("RESTORE", &format!("iptables-{}-restore", variant(fixture)));
    sh(&script.replace("ip_allow", set));
}

fn variant(fixture: &EngineFixture) -> Variant {
    fixture.host.tools().variant
}

#[test]
#[ignore = "needs root"]
fn the_old_layout_is_found_taken_out_and_put_back() {
    on_both(|fixture| {
        put_old(fixture, "ip_allow");
        let before = fixture.everything();
        let found = old::find().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].variant, variant(fixture));
        let sizes: Vec<_> =
            found[0].parts.iter().map(|part| (part.chain.as_str(), part.rules.len())).collect();
        assert_eq!(sizes, [("INPUT", 1), ("FILTERS", 7), ("DOCKER-USER", 5)]);
        assert!(old::take_out(variant(fixture)).unwrap());
        assert_eq!(fixture.chain("DOCKER-USER"), ["-d 192.0.2.99/32 -j DROP", "-j RETURN"]);
        assert!(!fixture.everything().contains("FILTERS"), "{}", fixture.everything());
        assert_eq!(old::find().unwrap(), []);
        old::put_back(variant(fixture), &found[0].put_back).unwrap();
        assert_eq!(fixture.everything(), before);
    });
}

#[test]
#[ignore = "needs root"]
fn an_apply_replaces_the_old_chain_and_a_way_leads_back() {
    on_both(|fixture| {
        put_old(fixture, "ip_allow");
        let before = fixture.everything();
        let found = old::find().unwrap();
        let changes = fixture.apply(&full());
        assert!(changes.iter().any(|line| line.contains("IPv4 filter: chain FILTERS (")), "{changes:?}");
        assert_eq!(fixture.chain("DOCKER-USER").len(), 8, "the old lines are for the take-over to take out");
        assert!(old::take_out(variant(fixture)).unwrap());
        let user = ["-j DOCKFW-USER", "-d 192.0.2.99/32 -j DROP", "-j RETURN"];
        assert_eq!(fixture.chain("DOCKER-USER"), user);
        assert_eq!(fixture.differences(&full()), [""; 0]);
        old::put_back(variant(fixture), &found[0].put_back).unwrap();
        assert_eq!(fixture.chain("FILTERS").len(), 7);
        assert!(fixture.remove().unwrap());
        assert_eq!(fixture.everything(), before);
    });
}

#[test]
#[ignore = "needs root"]
fn remove_leaves_the_old_layout_alone() {
    on_both(|fixture| {
        put_old(fixture, "ip_allow");
        let before = fixture.everything();
        assert!(!fixture.remove().unwrap());
        assert_eq!(fixture.everything(), before);
    });
}

#[test]
#[ignore = "needs root"]
fn a_chain_of_others_that_shares_the_name_is_never_touched() {
    on_both(|fixture| {
        put_old(fixture, "whitelist");
        let before = fixture.everything();
        assert_eq!(old::find().unwrap(), []);
        assert!(!old::take_out(variant(fixture)).unwrap());
        for result in [apply(&fixture.host, &full()).map(drop), check(&fixture.host, &full())] {
            let Err(EngineError::Unsupported(reason)) = result else { panic!("not refused") };
            assert!(
                reason.contains("IPv4 table filter has a chain FILTERS that is not dockfw's"),
                "{reason}"
            );
        }
        assert!(!fixture.remove().unwrap());
        assert_eq!(fixture.everything(), before);
    });
}

/// The old layout has no chain there, whatever set a rule asks.
#[test]
#[ignore = "needs root"]
fn a_chain_of_others_in_table_mangle_is_never_touched() {
    on_both(|fixture| {
        sh("ipset create ip_allow hash:ip family inet6");
        fixture.family(Family::Ipv6, "-t mangle -N FILTERS");
        fixture.family(Family::Ipv6, "-t mangle -A FILTERS -m set ! --match-set ip_allow src -j DROP");
        let before = fixture.everything();
        let Err(EngineError::Unsupported(reason)) = apply(&fixture.host, &full()) else {
            panic!("not refused")
        };
        assert!(reason.contains("IPv6 table mangle has a chain FILTERS that is not dockfw's"), "{reason}");
        assert!(!fixture.remove().unwrap());
        assert_eq!(fixture.everything(), before);
    });
}
