//! What an apply makes of the engine's own rules and sets.

use std::collections::BTreeSet;

use super::*;

#[test]
#[ignore = "needs root"]
fn a_policy_reads_back_as_it_was_written() {
    on_both(|fixture| {
        assert!(!fixture.apply(&full()).is_empty());
        assert_eq!(fixture.differences(&full()), [""; 0]);
        assert_eq!(fixture.apply(&full()), [""; 0]);
    });
}

#[test]
#[ignore = "needs root"]
fn golden_policies_load() {
    on_both(|fixture| {
        for case in ["awkward-names", "container-ports", "edges", "minimal", "protocols", "swarm"] {
            let path =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(case).join("dockfw.toml");
            let wanted = wanted(&std::fs::read_to_string(path).unwrap());
            check(&fixture.host, &wanted).unwrap_or_else(|error| panic!("{case}: {error}"));
            fixture.apply(&wanted);
            assert_eq!(fixture.apply(&wanted), [""; 0], "{case}");
        }
    });
}

/// Returns a policy of this many rules, each for a port of its own.
fn of_many_rules(count: u32) -> Wanted {
    let rule = |number: u32| {
        let (port, source) = (1 + number * 65, number % 250);
        let ports = format!("ports = [\"{port}/tcp\", \"{port}/udp\"]");
        format!("[[allow]]\nname = \"{port}\"\n{ports}\nfrom = [\"10.0.0.{source}\"]\n")
    };
    wanted(&(0..count).map(rule).collect::<String>())
}

#[test]
#[ignore = "needs root"]
fn a_thousand_rules_read_back_as_they_were_written() {
    on_both(|fixture| {
        fixture.apply(&of_many_rules(1000));
        assert_eq!(fixture.apply(&of_many_rules(1000)), [""; 0]);
        let changed = fixture.apply(&of_many_rules(999));
        assert!(changed.iter().any(|difference| difference.contains("64936")), "{changed:?}");
        assert!(changed.len() < 10, "{changed:?}");
        assert!(fixture.remove().unwrap());
        assert_eq!(fixture.everything(), "");
    });
}

#[test]
#[ignore = "needs root"]
fn nothing_to_do_touches_nothing() {
    on_both(|fixture| {
        fixture.apply(&full());
        let counted = "-c 7 77";
        // Any restore would reset it.
        let second = "-i lo -m comment --comment loopback -j RETURN";
        fixture.family(Family::Ipv4, &format!("-t mangle -R FILTERS 2 {counted} {second}"));
        assert_eq!(fixture.apply(&full()), [""; 0]);
        let rules = sh(&format!("iptables-{}-save -c", fixture.host.tools().variant.name()));
        assert!(rules.contains("[7:77] -A FILTERS -i lo "), "{rules}");
    });
}

#[test]
#[ignore = "needs root"]
fn sets_change_by_generation_and_leave_nothing_behind() {
    on_both(|fixture| {
        let mut names = Vec::new();
        for turn in 0..10 {
            fixture.apply(&trusting(&format!("198.51.100.{turn}")));
            let listed = sh("ipset list -n");
            assert_eq!(listed.lines().count(), 2, "{listed}");
            names.extend(listed.lines().filter(|name| name.starts_with("dockfw4")).map(str::to_owned));
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 10);
        assert_eq!(sh("ipset list -n").lines().filter(|name| name.starts_with("dockfw6")).count(), 1);
    });
}

#[test]
#[ignore = "needs root"]
fn an_apply_that_stops_after_any_step_is_repaired_by_the_next() {
    on_both(|fixture| {
        let (old, new) = (trusting("198.51.100.1"), trusting("2001:db8::1"));
        for steps in 0..=Step::ALL.len() {
            fixture.apply(&old);
            fixture.apply_partly(&new, steps);
            for family in Family::BOTH {
                let rest = |wanted| {
                    fixture
                        .differences(wanted)
                        .into_iter()
                        .filter(move |line| line.starts_with(family.name()))
                };
                assert!(rest(&old).count() == 0 || rest(&new).count() == 0, "{steps} steps: a mixture");
            }
            fixture.apply(&new);
            assert_eq!(fixture.differences(&new), [""; 0]);
            assert_eq!(sh("ipset list -n").lines().count(), 2, "after {steps} steps");
        }
    });
}

/// A packet meets one table after the other, and each of them changes at a different instant.
#[test]
#[ignore = "needs root"]
fn from_one_policy_to_another_a_single_table_changes() {
    on_both(|fixture| {
        fixture.apply(&full());
        let plan = plan(&fixture.host.read().unwrap(), &trusting("198.51.100.1"), &fixture.host.protocols);
        assert_eq!(plan.restores.len(), Family::BOTH.len());
        for restore in plan.restores {
            let tables: Vec<_> = restore.lines.iter().filter(|line| line.text.starts_with('*')).collect();
            assert_eq!((tables.len(), tables[0].text.as_str()), (1, "*mangle"));
            assert_eq!(restore.lines.iter().filter(|line| line.text == "COMMIT").count(), 1);
        }
    });
}

#[test]
#[ignore = "needs root"]
fn sets_without_rules_are_left_over() {
    on_both(|fixture| {
        let found = || [presence(None).unwrap(), fixture.host.read().unwrap().presence()];
        assert_eq!(found(), [Presence::Nothing; 2]);
        let filled = Step::ALL.iter().position(|step| *step == Step::FillAndJudge).unwrap() + 1;
        fixture.apply_partly(&full(), filled);
        assert_eq!(found(), [Presence::Leftovers; 2]);
        fixture.apply_partly(&full(), Step::ALL.len());
        assert_eq!(found(), [Presence::Rules; 2]);
        fixture.remove().unwrap();
        assert_eq!(found(), [Presence::Nothing; 2]);
    });
}

#[test]
#[ignore = "needs root"]
fn where_chains_of_nf_tables_are_known_iptables_nft_is_not_asked() {
    fn found(chains: fn() -> Option<BTreeSet<String>>) -> Presence {
        presence(chains()).unwrap()
    }
    on_both(|fixture| {
        assert_eq!(found(|| Some(["DOCKER-USER".into(), "DOCKFW-USER".into()].into())), Presence::Rules);
        assert_eq!(found(|| Some(["DOCKER-USER".into(), "FILTERS".into()].into())), Presence::Nothing);
        fixture.apply(&full());
        let unless_asked =
            if fixture.host.tools().variant == Variant::Nft { Presence::Leftovers } else { Presence::Rules };
        assert_eq!([found(|| Some(BTreeSet::new())), found(|| None)], [unless_asked, Presence::Rules]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_half_filled_set_is_never_taken_for_a_full_one() {
    on_both(|fixture| {
        let wanted = trusting("198.51.100.1");
        let plan = plan(&fixture.host.read().unwrap(), &wanted, &fixture.host.protocols);
        let text = plan.stand_ins + &plan.fills;
        for lines in 0..text.lines().count() {
            let part: String = text.lines().take(lines).map(|line| format!("{line}\n")).collect();
            fixture.host.restore_sets(&part).unwrap();
            fixture.apply(&wanted);
            assert_eq!(fixture.differences(&wanted), [""; 0]);
            assert_eq!(sh("ipset list -n").lines().count(), 2);
            fixture.remove().unwrap();
        }
    });
}

#[test]
#[ignore = "needs root"]
fn what_others_changed_is_found_and_put_right() {
    on_both(|fixture| {
        let wanted = full();
        for damage in [
            "-t mangle -D FILTERS 2",
            "-t mangle -I FILTERS -j ACCEPT",
            "-t mangle -F DOCKFW-USER",
            "-t mangle -F PREROUTING",
            "-t mangle -F INPUT",
            "-t mangle -D FORWARD -j DOCKFW-USER",
            "-t mangle -I DOCKFW-PRE -s 192.0.2.77 -j RETURN",
            // A match without options.
            "-t mangle -R FILTERS 1 -i lo -m socket -m comment --comment loopback -j RETURN",
            "-t mangle -N FILTERS-77",
            "-D FILTERS 1",
            "-I FILTERS -j ACCEPT",
            "-F DOCKFW-USER",
            "-D INPUT -j FILTERS",
            "-D DOCKER-USER -j DOCKFW-USER",
            "-F FORWARD",
            "-N FILTERS-77",
        ] {
            fixture.apply(&wanted);
            fixture.family(Family::Ipv4, damage);
            assert!(!fixture.differences(&wanted).is_empty(), "{damage}");
            fixture.apply(&wanted);
            assert_eq!(fixture.differences(&wanted), [""; 0], "{damage}");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn elements_that_others_changed_are_put_right() {
    on_both(|fixture| {
        let wanted = trusting("198.51.100.1");
        fixture.apply(&wanted);
        let name = sh("ipset list -n | grep dockfw4");
        let name = name.trim();
        for (damage, sum) in [
            (format!("del {name} 198.51.100.1"), "+1 -0 of 2"),
            (format!("add {name} 0.0.0.0/1"), "+0 -1 of 2"),
            (format!("flush {name}"), "+2 -0 of 2"),
        ] {
            sh(&format!("ipset {damage}"));
            let expected = format!("set trusted (IPv4) differs: {sum}");
            assert_eq!(fixture.differences(&wanted), [expected], "{damage}");
            fixture.apply(&wanted);
            assert_eq!(fixture.differences(&wanted), [""; 0], "{damage}");
            assert_eq!(sh("ipset list -n").lines().count(), 2);
        }
    });
}

#[test]
#[ignore = "needs root"]
fn a_check_leaves_nothing() {
    on_both(|fixture| {
        let before = fixture.everything();
        check(&fixture.host, &full()).unwrap();
        assert_eq!(fixture.everything(), before);
    });
}

#[test]
#[ignore = "needs root"]
fn counters_are_summed_by_name() {
    on_both(|fixture| {
        fixture.apply(&full());
        sh("ip link set lo up");
        let counters = read(&fixture.host, &full()).unwrap().counters;
        let names: Vec<_> = counters.iter().map(|count| count.name.as_str()).collect();
        for name in ["drop_impossible", "drop_input", "trusted", "allow_web", "drop_forward", "swarm_peers"] {
            assert_eq!(names.iter().filter(|other| **other == name).count(), 1, "{name} in {names:?}");
        }
        assert!(!names.contains(&"dockfw"), "what table filter says is no counter");
    });
}

#[test]
#[ignore = "needs root"]
fn every_rate_reads_back() {
    on_both(|fixture| {
        for rate in [
            "1/second",
            "7/second",
            "9999/second",
            "3/minute",
            "10000/minute",
            "123/hour",
            "17/day",
            "10000/day",
        ] {
            let wanted =
                wanted(&format!("trusted = [\"192.0.2.10\"]\n[log]\ndrops = true\nrate = \"{rate}\""));
            fixture.apply(&wanted);
            assert_eq!(fixture.differences(&wanted), [""; 0], "{rate}");
        }
    });
}
