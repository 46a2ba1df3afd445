//! Putting tables in force over others, and over the changes that others made.

use super::*;

/// A ruleset of another program, which must stay as it is.
const FOREIGN: &str = "table ip filter { chain DOCKER-USER { counter packets 1 bytes 2 return; }; }";

#[test]
#[ignore = "needs root"]
fn a_changed_list_is_another_set_and_the_rest_stays() {
    in_namespace(|| {
        nft_with(&["-f", "-"], FOREIGN);
        let foreign = nft("-a list table ip filter");
        apply(&small());
        let handles = nft("-a list sets inet");
        assert_eq!(apply(&small_with_a_host()), ["set hosts4 (IPv4 addresses) differs: +1 -0 of 3"]);
        assert!(listing().contains("203.0.113.9"));
        let line =
            |listing: &str| listing.lines().find(|line| line.contains("set nets4")).unwrap().to_string();
        assert_eq!(line(&handles), line(&nft("-a list sets inet")), "an unchanged set was made anew");
        assert_eq!(nft("-a list table ip filter"), foreign);
    });
}

#[test]
#[ignore = "needs root"]
fn counters_keep_their_values() {
    in_namespace(|| {
        let mut table = small();
        table.chains[0]
            .rules
            .push(rule("all", vec![Statement::Counter(set_name("trusted")), Statement::Accept]));
        apply(&table);
        Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"counted", "127.0.0.1:9").unwrap();
        let count = |table: &Table| {
            let state = Nftables::default().read_wanted(&encode(table).unwrap()).unwrap();
            state.counters.iter().find(|counter| counter.name == "trusted").unwrap().clone()
        };
        let before = count(&table);
        assert!(before.packets >= 1 && before.bytes >= 28 + 7, "{before:?}");
        apply(&small_with_a_host());
        assert_eq!(count(&small_with_a_host()), before);
    });
}

/// Returns the blocks of the listing of our table, sorted: what was recreated is listed after the others.
fn blocks() -> Vec<String> {
    let listing = listing();
    let mut blocks: Vec<_> = listing
        .split("\n\n")
        .map(|block| block.trim_start_matches("table inet dockfw {\n").trim_end_matches("\n}\n").to_string())
        .collect();
    blocks.sort();
    blocks
}

/// Puts `small` in force, lets `nft` change it, and expects that this is noticed as in `noticed`, and repaired.
fn noticed_and_repaired(tampering: &'static str, noticed: &'static [&'static str]) {
    noticed_and_repaired_in(small, tampering, noticed);
}

/// Does the same with another table. MAP stands for the name of its map.
fn noticed_and_repaired_in(table: fn() -> Table, tampering: &'static str, noticed: &'static [&'static str]) {
    in_namespace(move || {
        let table = table();
        apply(&table);
        let listed = blocks();
        let map = table.sets.iter().find(|set| matches!(set.elements, Elements::Jumps(_)));
        let tampering = tampering.replace("MAP", map.map_or("", |map| &map.name));
        nft_with(&["-f", "-"], &tampering);
        assert_eq!(differences(&table), noticed, "after {tampering}");
        assert_eq!(apply(&table).len(), noticed.len(), "after {tampering}");
        assert_eq!(blocks(), listed, "after {tampering}");
        assert_eq!(apply(&table), [""; 0], "after {tampering}");
    });
}

fn with_a_map() -> Table {
    mapped(&["web", "mail"])
}

#[test]
#[ignore = "needs root"]
fn a_changed_map_or_what_it_leads_to_is_noticed_and_repaired() {
    let noticed = |tampering, noticed| noticed_and_repaired_in(with_a_map, tampering, noticed);
    noticed(
        "delete element inet dockfw MAP { 80-89 }",
        &["set by_port (ports and their chains) differs: +1 -0 of 4"],
    );
    noticed(
        "add element inet dockfw MAP { 22 : jump web }",
        &["set by_port (ports and their chains) differs: +0 -1 of 4"],
    );
    noticed(
        "delete element inet dockfw MAP { 80-89 }; add element inet dockfw MAP { 80-89 : jump mail }",
        &["set by_port (ports and their chains) differs: +1 -1 of 4"],
    );
    noticed(
        "delete element inet dockfw MAP { 80-89 }; add element inet dockfw MAP { 80-89 : accept }",
        &[
            "set by_port (ports and their chains) differs: 4 elements wanted, 4 loaded (not compared one by one)",
        ],
    );
    noticed("flush chain inet dockfw web", &["rule of hook input (chain web) from allow \"web\" is missing"]);
    noticed("insert rule inet dockfw web accept", &["rule of hook input (chain web) is not of this policy"]);
    noticed(
        "flush map inet dockfw MAP; flush chain inet dockfw web; delete chain inet dockfw web",
        &["set by_port (ports and their chains) differs: +4 -0 of 4", "chain web (1 rules) is missing"],
    );
    noticed(
        "flush map inet dockfw MAP; flush chain inet dockfw web; delete chain inet dockfw web
         table inet dockfw { chain web { type filter hook input priority 7; accept; }; }",
        &["set by_port (ports and their chains) differs: +4 -0 of 4", "chain web (1 rules) differs"],
    );
}

/// Chains are there before a map leads to them, and a map is filled before a rule asks it.
#[test]
#[ignore = "needs root"]
fn what_a_killed_apply_leaves_of_a_map_is_no_difference_and_goes() {
    in_namespace(|| {
        let with_a_map = mapped(&["port_80", "port_90"]);
        apply(&small());
        let wanted = encode(&with_a_map).unwrap();
        let mut socket = Socket::open().unwrap();
        let Compared { generation, live } =
            Nftables::default().read_live(&mut socket, Some(&wanted), 0).ok().unwrap();
        let fill = plan(live.as_ref(), &wanted, &BTreeSet::new()).fill;
        transaction(&mut socket, generation, &fill).commit(&mut socket).ok().unwrap();
        let state = Nftables::default().read_wanted(&encode(&small()).unwrap()).unwrap();
        assert!(state.differences.iter().all(Difference::is_harmless), "{:?}", texts(&state.differences));
        assert_eq!(state.differences.len(), 3);
        apply(&small());
        assert_eq!(differences(&small()), [""; 0]);
        apply(&with_a_map);
        assert_eq!(differences(&with_a_map), [""; 0]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_foreign_rule_is_noticed_and_repaired() {
    noticed_and_repaired(
        "insert rule inet dockfw input accept comment \"backdoor\"",
        &["rule of hook input called \"backdoor\" is not of this policy"],
    );
}

#[test]
#[ignore = "needs root"]
fn a_deleted_element_is_noticed_and_repaired() {
    noticed_and_repaired(
        "delete element inet dockfw hosts4 { 192.0.2.1 }",
        &["set hosts4 (IPv4 addresses) differs: +1 -0 of 2"],
    );
    noticed_and_repaired(
        "delete element inet dockfw nets4 { 10.0.0.4/30 }",
        &["set nets4 (IPv4 networks) differs: +1 -0 of 6"],
    );
}

#[test]
#[ignore = "needs root"]
fn a_foreign_element_is_noticed_and_repaired() {
    noticed_and_repaired(
        "add element inet dockfw nets4 { 203.0.113.66 }",
        &["set nets4 (IPv4 networks) differs: +0 -1 of 6"],
    );
}

#[test]
#[ignore = "needs root"]
fn a_flushed_chain_is_noticed_and_repaired() {
    noticed_and_repaired(
        "flush chain inet dockfw input",
        &[
            "rule of hook input from allow \"established\" is missing",
            "rule of hook input from allow \"trusted hosts\" is missing",
            "rule of hook input from allow \"trusted networks\" is missing",
        ],
    );
}

#[test]
#[ignore = "needs root"]
fn foreign_chains_sets_maps_and_objects_are_noticed_and_repaired() {
    noticed_and_repaired(
        "table inet dockfw {
            counter extra { packets 1 bytes 1; }
            quota much { over 1 mbytes; }
            chain called { tcp dport { 1, 2 } accept; }
            set more { type ipv4_addr; timeout 1h; elements = { 1.2.3.4 }; }
            map verdicts { type inet_service : verdict; elements = { 80 : jump called }; }
            map counted { type inet_service : counter; elements = { 80 : \"extra\" }; }
            chain hooked { type filter hook input priority 5; policy drop; tcp dport vmap @verdicts; }
        }",
        &[
            "counter extra is not of this policy",
            "object much is not of this policy",
            "set more is not of this policy",
            "set verdicts is not of this policy",
            "set counted is not of this policy",
            "chain called is not of this policy",
            "chain hooked is not of this policy",
        ],
    );
}

#[test]
#[ignore = "needs root"]
fn a_changed_policy_of_a_chain_is_noticed_and_repaired() {
    noticed_and_repaired("chain inet dockfw input { policy drop; }", &["chain input (3 rules) differs"]);
}

#[test]
#[ignore = "needs root"]
fn a_set_of_the_same_name_but_another_type_is_replaced() {
    in_namespace(|| {
        nft("add table inet dockfw");
        nft_with(&["-f", "-"], "add set inet dockfw hosts4 { type ipv4_addr; timeout 1h; }");
        apply(&small());
        assert_eq!(differences(&small()), [""; 0]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_dormant_table_is_noticed_and_repaired() {
    noticed_and_repaired(
        "table inet dockfw { flags dormant; }",
        &["table inet dockfw (3 rules, 2 sets) differs"],
    );
}

#[test]
#[ignore = "needs root"]
fn the_order_of_rules_counts() {
    in_namespace(|| {
        let mut swapped = small();
        swapped.chains[0].rules.swap(1, 2);
        apply(&swapped);
        assert_eq!(differences(&small()), ["the order of the rules of hook input differs"]);
        assert_eq!(apply(&small()).len(), 1);
        assert_eq!(differences(&small()), [""; 0]);
    });
}

#[test]
#[ignore = "needs root"]
fn another_rule_with_the_same_comment_is_noticed() {
    in_namespace(|| {
        let mut other = small();
        other.chains[0].rules[1].statements[0] = source_in(Family::Ipv4, "nets4");
        apply(&other);
        let found = Nftables::default().read_wanted(&encode(&small()).unwrap()).unwrap().differences;
        let shown: Vec<_> = found.iter().map(|rule| (rule.live.as_slice(), rule.wanted.as_slice())).collect();
        let text = |set: &str| {
            vec![format!("ip saddr @{set} counter name \"trusted\" accept comment \"trusted hosts\"")]
        };
        assert_eq!(shown, [(text("nets4").as_slice(), text("hosts4").as_slice())]);
    });
}

#[test]
#[ignore = "needs root"]
fn removing_takes_our_table_and_nothing_else() {
    in_namespace(|| {
        nft_with(&["-f", "-"], FOREIGN);
        assert!(!Nftables::default().remove().unwrap());
        apply(&small());
        assert!(Nftables::default().remove().unwrap());
        assert_eq!(nft("list tables"), "table ip filter\n");
        assert_eq!(Nftables::default().read(None).unwrap(), State::default());
    });
}

#[test]
#[ignore = "needs root"]
fn what_is_there_is_read_without_a_ruleset() {
    in_namespace(|| {
        apply(&small());
        let state = Nftables::default().read(None).unwrap();
        assert!(state.presence == Presence::Rules && state.differences.is_empty());
        let sets: Vec<_> = state.sets.iter().map(|set| (set.name.as_str(), set.elements)).collect();
        assert_eq!(sets, [("hosts4", Some(2)), ("nets4", Some(6))]);
    });
}

#[test]
#[ignore = "needs root"]
fn large_sets_go_in_whole() {
    in_namespace(|| {
        let mut table = small();
        table.sets[0].elements = Elements::Ipv4(many(30_000, false));
        table.sets[1].elements = Elements::Ipv4(many(30_000, true));
        apply(&table);
        assert_eq!(differences(&table), [""; 0]);
        let elements = listing().matches("0.0").count();
        assert!(elements > 0);
        nft("delete element inet dockfw nets4 { 0.1.0.0/31 }");
        assert_eq!(differences(&table), ["set nets4 (IPv4 networks) differs: +1 -0 of 30,000"]);
    });
}

#[test]
#[ignore = "needs root"]
fn the_elements_of_a_huge_set_are_read_only_to_verify_it() {
    in_namespace(|| {
        let mut table = small();
        table.sets[0].elements = Elements::Ipv4(many(MAX_READ_BACK as u32 + 1, false));
        apply(&table);
        nft("delete element inet dockfw hosts4 { 0.0.0.1 }");
        assert_eq!(differences(&table), [""; 0]);
        let changes = Nftables::new(true).apply_table(&table).unwrap();
        assert_eq!(texts(&changes), ["set hosts4 (IPv4 addresses) differs: +1 -0 of 100,001"]);
    });
}

/// Commits this part of an apply of `table`, as if the apply were killed then.
fn killed_after(table: &Table, part: fn(Plan<'_>) -> Vec<Operation<'_>>) {
    let wanted = encode(table).unwrap();
    let mut socket = Socket::open().unwrap();
    let Compared { generation, live } =
        Nftables::default().read_live(&mut socket, Some(&wanted), 0).ok().unwrap();
    let operations = part(plan(live.as_ref(), &wanted, &BTreeSet::new()));
    transaction(&mut socket, generation, &operations).commit(&mut socket).ok().unwrap();
}

#[test]
#[ignore = "needs root"]
fn what_a_killed_apply_filled_decides_nothing_and_goes_with_the_next() {
    in_namespace(|| {
        killed_after(&small(), |plan| plan.fill);
        assert_eq!(Nftables::default().read(None).unwrap().presence, Presence::Leftovers);
        apply(&small());
        killed_after(&small_with_a_host(), |plan| plan.fill);
        assert_eq!(differences(&small()), ["set hosts4 is left over"]);
        assert_eq!(apply(&small()), ["set hosts4 is left over"]);
        assert!(!listing().contains("hosts4_0123456789"));
        killed_after(&small_with_a_host(), |plan| plan.fill);
        assert_eq!(apply(&small_with_a_host()), ["set hosts4 (IPv4 addresses) differs: +1 -0 of 3"]);
        assert_eq!(differences(&small_with_a_host()), [""; 0]);
        assert!(!listing().contains("set hosts4 {"));
    });
}

/// It is unknown how full a set is that no rule asks.
#[test]
#[ignore = "needs root"]
fn a_set_that_was_left_half_full_is_not_relied_on() {
    in_namespace(|| {
        apply(&small());
        let mut table = small_with_a_host();
        table.sets[0].elements = Elements::Ipv4(many(MAX_READ_BACK as u32 + 1, false));
        // The first one of its messages, of which it has two or more.
        killed_after(&table, |plan| plan.fill.into_iter().take(2).collect());
        apply(&table);
        assert_eq!(texts(&Nftables::new(true).apply_table(&table).unwrap()), [""; 0]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_changed_list_takes_three_transactions_and_changed_rules_one() {
    in_namespace(|| {
        let transactions = |work: &dyn Fn()| {
            let before = generation();
            work();
            generation().0 - before.0
        };
        apply(&small());
        assert_eq!(transactions(&|| drop(apply(&small_with_a_host()))), 3);
        let mut table = small_with_a_host();
        table.chains[0].rules.swap(1, 2);
        assert_eq!(transactions(&|| drop(apply(&table))), 1);
        assert_eq!(transactions(&|| drop(apply(&table))), 0);
    });
}
