//! What does not belong to the engine: it stays.

use super::*;

/// Adds rules of others to all the chains that the engine adds a jump to.
fn put_others(fixture: &EngineFixture) {
    like_docker(fixture);
    sh("ipset create f2b hash:ip; ipset add f2b 192.0.2.66");
    for rule in [
        "-N f2b-sshd",
        "-A f2b-sshd -m set --match-set f2b src -j REJECT",
        "-A f2b-sshd -j RETURN",
        "-A INPUT -p tcp --dport 22 -j f2b-sshd",
        "-A INPUT -s 192.0.2.67 -j DROP",
        "-I DOCKER-USER -s 192.0.2.68 -j DROP",
        "-I DOCKER-USER 2 -m set --match-set f2b src -j DROP",
        "-A FORWARD -s 192.0.2.69 -j ACCEPT",
    ] {
        fixture.family(Family::Ipv4, rule);
    }
}

#[test]
#[ignore = "needs root"]
fn remove_leaves_everything_as_it_was() {
    on_both(|fixture| {
        put_others(fixture);
        let before = fixture.everything();
        fixture.apply(&full());
        fixture.apply(&trusting("198.51.100.1"));
        assert_ne!(fixture.everything(), before);
        assert!(fixture.remove().unwrap());
        assert_eq!(fixture.everything(), before);
        assert!(!fixture.remove().unwrap());
    });
}

#[test]
#[ignore = "needs root"]
fn remove_leaves_an_empty_host_empty() {
    on_both(|fixture| {
        let before = fixture.everything();
        fixture.apply(&full());
        fixture.remove().unwrap();
        assert_eq!(fixture.everything(), before);
    });
}

#[test]
#[ignore = "needs root"]
fn rules_of_others_stay_in_their_order() {
    on_both(|fixture| {
        put_others(fixture);
        let chains = ["INPUT", "FORWARD", "DOCKER-USER", "DOCKER", "f2b-sshd"];
        let before = chains.map(|chain| fixture.chain(chain));
        fixture.apply(&full());
        for (chain, before) in chains.iter().zip(before) {
            let mut after = fixture.chain(chain);
            after.retain(|rule| rule != "-j FILTERS" && rule != "-j DOCKFW-USER");
            assert_eq!(after, before, "{chain}");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn a_rule_that_accepts_before_the_jump_is_overtaken() {
    on_both(|fixture| {
        for chain in ["PREROUTING", "INPUT", "FORWARD"] {
            fixture.apply(&full());
            fixture.family(Family::Ipv4, &format!("-t mangle -I {chain} -i eth0 -j ACCEPT"));
            assert_eq!(fixture.differences(&full()).len(), 1, "{chain}");
            assert_eq!(fixture.apply(&full()).len(), 1, "{chain}");
        }
        let rules = sh(&format!("iptables-{}-save -t mangle", fixture.host.tools().variant.name()));
        for jump in ["PREROUTING -j DOCKFW-PRE", "INPUT -j FILTERS", "FORWARD -j DOCKFW-USER"] {
            let chain = jump.split(' ').next().unwrap();
            assert!(rules.contains(&format!("-A {jump}\n-A {chain} -i eth0 -j ACCEPT\n")), "{rules}");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn in_table_filter_rules_of_others_may_stand_anywhere() {
    on_both(|fixture| {
        put_others(fixture);
        fixture.apply(&full());
        for chain in ["INPUT", "FORWARD", "DOCKER-USER"] {
            fixture.family(Family::Ipv4, &format!("-I {chain} 1 -j ACCEPT"));
        }
        fixture.family(Family::Ipv6, "-I INPUT 1 -j ACCEPT");
        let before = fixture.everything();
        assert_eq!(fixture.apply(&full()), [""; 0]);
        assert_eq!(fixture.everything(), before);
    });
}

#[test]
#[ignore = "needs root"]
fn a_rule_that_drops_before_the_jump_is_left_alone() {
    on_both(|fixture| {
        put_others(fixture);
        fixture.apply(&full());
        fixture.family(Family::Ipv4, "-I INPUT -s 192.0.2.1 -j DROP");
        fixture.family(Family::Ipv4, "-I INPUT -p tcp --dport 22 -j f2b-sshd");
        let before = fixture.chain("INPUT");
        assert_eq!(fixture.apply(&full()), [""; 0]);
        assert_eq!(fixture.chain("INPUT"), before);
    });
}

#[test]
#[ignore = "needs root"]
fn docker_takes_over_what_stood_in_for_its_jump() {
    on_both(|fixture| {
        fixture.apply(&full());
        assert_eq!(fixture.chain("DOCKER-USER"), ["-j DOCKFW-USER"]);
        // As setupUserChain does, in Docker 20.10.
        fixture.family(Family::Ipv4, "-A DOCKER-USER -j RETURN");
        fixture.family(Family::Ipv4, "-I FORWARD -j DOCKER-USER");
        assert_eq!(fixture.apply(&full()), [""; 0]);
        assert!(!fixture.apply(&trusting("198.51.100.1")).is_empty());
        assert_eq!(fixture.chain("FORWARD"), ["-j DOCKER-USER"]);
        assert_eq!(fixture.chain("DOCKER-USER"), ["-j DOCKFW-USER", "-j RETURN"]);
        fixture.remove().unwrap();
        assert_eq!(fixture.chain("FORWARD"), ["-j DOCKER-USER"]);
        assert_eq!(fixture.chain("DOCKER-USER"), ["-j RETURN"]);
    });
}

/// Docker 20.10 has no DOCKER-USER in IPv6, and adds its rules before everyone else's. Docker 28 removes its jump while
/// it starts. Table mangle comes before.
#[test]
#[ignore = "needs root"]
fn packets_are_judged_before_dockers_rules_whatever_it_does_to_its_jump() {
    on_both(|fixture| {
        fixture.apply(&full());
        fixture.family(Family::Ipv6, "-I FORWARD -o br-1 -j ACCEPT");
        let rules = sh(&format!("ip6tables-{}-save -t mangle", fixture.host.tools().variant.name()));
        assert!(rules.contains("-A FORWARD -j DOCKFW-USER\n"), "{rules}");
        assert!(rules.contains("-m comment --comment \"drop_forward: the rest\" -j DROP\n"), "{rules}");
        assert_eq!(fixture.apply(&full()), [""; 0]);
        fixture.family(Family::Ipv6, "-t mangle -F DOCKFW-USER");
        assert!(fixture.differences(&full()).iter().any(|line| line.starts_with("IPv6 mangle: ")));
    });
}

#[test]
#[ignore = "needs root"]
fn what_is_left_in_the_other_variant_is_taken_out() {
    on_both(|fixture| {
        let other = EngineFixture::of(fixture.host.tools().variant.other());
        other.apply(&full());
        let changes = fixture.apply(&full());
        assert!(changes.iter().any(|line| line.contains("what was left in")), "{changes:?}");
        assert_eq!(other.chain("INPUT"), [""; 0]);
        assert_eq!(fixture.differences(&full()), [""; 0]);
    });
}

/// A program that lists sets holds each of them for as long as it takes to read it.
#[test]
#[ignore = "needs root"]
fn whoever_lists_the_sets_meanwhile_breaks_nothing() {
    on_both(|fixture| {
        let many: String = (0..20_000_u32)
            .map(|n| format!(",\n\"{}\"", std::net::Ipv4Addr::from(0x0b00_0000 + n * 2)))
            .collect();
        let policies = ["198.51.100.1", "198.51.100.2"]
            .map(|address| wanted(&format!("trusted = [\"{address}\", \"2001:db8::10\"{many}]")));
        fixture.apply(&policies[1]);
        let mut lister = Command::new("sh");
        let mut lister =
            lister.args(["-c", "while :; do ipset list >/dev/null; done"]).spawn().expect("a shell");
        let applied: Vec<_> =
            policies.iter().cycle().take(10).map(|wanted| apply(&fixture.host, wanted)).collect();
        lister.kill().expect("it ran to the end");
        lister.wait().expect("it was killed");
        for result in applied {
            assert!(!result.expect("applied").is_empty());
        }
        fixture.apply(&policies[0]);
        assert_eq!(fixture.differences(&policies[0]), [""; 0]);
        assert_eq!(sh("ipset list -n").lines().count(), 2);
    });
}

#[test]
#[ignore = "needs root"]
fn a_refusal_names_the_rule_and_changes_nothing() {
    on_both(|fixture| {
        fixture.apply(&trusting("198.51.100.1"));
        let before = fixture.everything();
        let mut bad = full();
        let rule = bad.families[1].mangle.iter_mut().flat_map(|chain| &mut chain.rules);
        let rule = rule.filter(|rule| rule.origin.as_ref().is_some_and(|origin| origin.what.contains("web")));
        rule.take(1).for_each(|rule| rule.words.insert(0, "--no-such-option".into()));
        let Err(EngineError::Refused(refusals)) = apply(&fixture.host, &bad) else { panic!("not refused") };
        assert!(refusals[0].to_string().contains("allow 'web'"), "{}", refusals[0]);
        let rules = |text: &str| {
            text.lines().filter(|line| line.starts_with("-A")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(rules(&fixture.everything()), rules(&before));
        fixture.apply(&trusting("198.51.100.1"));
        assert_eq!(fixture.everything(), before);
    });
}
