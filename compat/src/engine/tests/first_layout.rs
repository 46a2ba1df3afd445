//! The first layout of dockfw: rules in the tables raw and filter, and the Forward hook's once more in mangle.

use super::*;

const SETS: &str = include_str!("first-layout/everything.ipset");
const RULES: &str = include_str!("first-layout/everything.iptables");
const RULES6: &str = include_str!("first-layout/everything.ip6tables");

/// Creates that layout of [`full`], and rules of others beside it.
fn lay(fixture: &EngineFixture) {
    let variant = fixture.host.tools().variant.name();
    sh(&format!(
        "ipset restore <<'END'\n{SETS}END
         iptables-{variant}-restore --noflush <<'END'\n{RULES}END
         ip6tables-{variant}-restore --noflush <<'END'\n{RULES6}END"
    ));
    for rule in ["-t raw -A PREROUTING -s 192.0.2.66 -j DROP", "-A INPUT -s 192.0.2.67 -j DROP"] {
        fixture.family(Family::Ipv4, rule);
    }
}

/// Returns everything on the host, in whatever order its chains were created.
fn everything(fixture: &EngineFixture) -> Vec<String> {
    let mut lines: Vec<_> = fixture.everything().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
#[ignore = "needs root"]
fn an_apply_replaces_it_and_nothing_of_others() {
    on_both(|fixture| {
        lay(fixture);
        assert_eq!(fixture.host.read().unwrap().presence(), Presence::Rules);
        fixture.apply(&full());
        assert_eq!(fixture.differences(&full()), [""; 0]);
        let upgraded = everything(fixture);
        assert!(!upgraded.iter().any(|line| line.contains("DOCKFW-RAW")), "{upgraded:?}");
        assert!(fixture.remove().unwrap());
        fixture.apply(&full());
        assert_eq!(upgraded, everything(fixture));
        let others = ["-A PREROUTING -s 192.0.2.66/32 -j DROP", "-A INPUT -s 192.0.2.67/32 -j DROP"];
        assert!(others.iter().all(|rule| upgraded.iter().any(|line| line == rule)), "{upgraded:?}");
    });
}

/// Like an apply that is killed between two tables: all new rules are there before any of the old ones is removed.
#[test]
#[ignore = "needs root"]
fn an_apply_that_stops_halfway_leaves_both() {
    on_both(|fixture| {
        lay(fixture);
        let wanted = trusting("198.51.100.1");
        let plan = plan(&fixture.host.read().unwrap(), &wanted, &fixture.host.protocols);
        fixture.host.restore_sets(&(plan.stand_ins + &plan.fills)).unwrap();
        let filter = fixture.chain("FILTERS");
        for mut restore in plan.restores {
            let end = restore.lines.iter().position(|line| line.text == "COMMIT").unwrap();
            restore.lines.truncate(end + 1);
            fixture.host.tools().restore(&restore, false).unwrap();
        }
        assert_eq!(fixture.chain("FILTERS"), filter);
        let left = fixture.differences(&wanted);
        assert!(!left.is_empty() && !left.iter().any(|line| line.contains(" mangle: ")), "{left:?}");
        fixture.apply(&wanted);
        assert_eq!(fixture.differences(&wanted), [""; 0]);
    });
}

#[test]
#[ignore = "needs root"]
fn remove_takes_it_out() {
    on_both(|fixture| {
        lay(fixture);
        assert!(fixture.remove().unwrap());
        let others = ["-A INPUT -s 192.0.2.67/32 -j DROP", "-A PREROUTING -s 192.0.2.66/32 -j DROP"];
        assert_eq!(everything(fixture), others);
    });
}
