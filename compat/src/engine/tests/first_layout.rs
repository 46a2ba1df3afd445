//! The first layout of dockfw: rules in the tables raw and filter, and the Forward hook's once more in mangle.

use super::*;

const SETS: &str = include_str!("first-layout/everything.ipset");
const RULES: &str = include_str!("first-layout/everything.iptables");
const RULES6: &str = include_str!("first-layout/everything.ip6tables");

/// Creates that layout of [`full`], and rules of others beside it.
fn lay(bench: &Bench) {
    let variant = bench.host.tools().variant.name();
    sh(&format!(
        "ipset restore <<'END'\n{SETS}END
         iptables-{variant}-restore --noflush <<'END'\n{RULES}END
         ip6tables-{variant}-restore --noflush <<'END'\n{RULES6}END"
    ));
    for rule in ["-t raw -A PREROUTING -s 192.0.2.66 -j DROP", "-A INPUT -s 192.0.2.67 -j DROP"] {
        bench.family(Family::Ipv4, rule);
    }
}

/// Returns everything on the host, in whatever order its chains were created.
fn everything(bench: &Bench) -> Vec<String> {
    let mut lines: Vec<_> = bench.everything().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
#[ignore = "needs root"]
fn an_apply_replaces_it_and_nothing_of_others() {
    on_both(|bench| {
        lay(bench);
        assert_eq!(bench.host.read().unwrap().presence(), Presence::Rules);
        bench.apply(&full());
        assert_eq!(bench.differences(&full()), [""; 0]);
        let upgraded = everything(bench);
        assert!(!upgraded.iter().any(|line| line.contains("DOCKFW-RAW")), "{upgraded:?}");
        assert!(bench.remove().unwrap());
        bench.apply(&full());
        assert_eq!(upgraded, everything(bench));
        let others = ["-A PREROUTING -s 192.0.2.66/32 -j DROP", "-A INPUT -s 192.0.2.67/32 -j DROP"];
        assert!(others.iter().all(|rule| upgraded.iter().any(|line| line == rule)), "{upgraded:?}");
    });
}

/// Like an apply that is killed between two tables: all new rules are there before any of the old ones is removed.
#[test]
#[ignore = "needs root"]
fn an_apply_that_stops_halfway_leaves_both() {
    on_both(|bench| {
        lay(bench);
        let wanted = trusting("198.51.100.1");
        let plan = plan(&bench.host.read().unwrap(), &wanted, &bench.host.protocols);
        bench.host.restore_sets(&(plan.stand_ins + &plan.fills)).unwrap();
        let filter = bench.chain("FILTERS");
        for mut restore in plan.restores {
            let end = restore.lines.iter().position(|line| line.text == "COMMIT").unwrap();
            restore.lines.truncate(end + 1);
            bench.host.tools().restore(&restore, false).unwrap();
        }
        assert_eq!(bench.chain("FILTERS"), filter);
        let left = bench.differences(&wanted);
        assert!(!left.is_empty() && !left.iter().any(|line| line.contains(" mangle: ")), "{left:?}");
        bench.apply(&wanted);
        assert_eq!(bench.differences(&wanted), [""; 0]);
    });
}

#[test]
#[ignore = "needs root"]
fn remove_takes_it_out() {
    on_both(|bench| {
        lay(bench);
        assert!(bench.remove().unwrap());
        let others = ["-A INPUT -s 192.0.2.67/32 -j DROP", "-A PREROUTING -s 192.0.2.66/32 -j DROP"];
        assert_eq!(everything(bench), others);
    });
}
