//! The order of messages, compared with what the oldest kernel accepts. Linux 4.15 refuses (`EBUSY`) to delete
//! something if its user is deleted in the same transaction. Newer kernels accept that, and would hide the error.

use super::*;

/// The uses that such a kernel counts: those at a transaction's beginning, because what is deleted in it gives up its
/// own uses only at the end.
struct Uses<'a> {
    live: Live,
    /// What is wanted: maps among it stay, and use nothing that goes.
    wanted: &'a Wanted,
}

impl Uses<'_> {
    /// Returns whether rules name it, or maps may.
    fn of(&self, operation: &Operation<'_>) -> bool {
        match operation {
            Operation::DeleteSet(name) => self.in_rules(name),
            Operation::DeleteObject(object) => self.in_rules(&object.name) || self.has_maps(),
            Operation::DeleteChain(name) => self.in_rules(name) || self.has_maps() && !self.is_base(name),
            _ => false,
        }
    }

    /// Returns whether it is anywhere in a rule: in a look-up, a jump, a reference to a counter.
    fn in_rules(&self, name: &dump::Name) -> bool {
        let terminated = [&name.0[..], &[0]].concat();
        let rules = self.live.chains.iter().flat_map(|chain| &chain.rules);
        rules.flat_map(|rule| rule.expressions.windows(terminated.len())).any(|text| text == terminated)
    }

    /// Returns whether a chain is hooked in: nothing leads to such a one.
    fn is_base(&self, name: &dump::Name) -> bool {
        self.live.chains.iter().any(|chain| chain.name == *name && chain.hook.is_some())
    }

    fn has_maps(&self) -> bool {
        let goes = |set: &&dump::Set| !self.wanted.sets.iter().any(|wanted| set.name.is(&wanted.name));
        // NFT_SET_MAP, NFT_SET_OBJECT
        self.live.sets.iter().filter(goes).any(|set| set.flags & (0x8 | 0x40) != 0)
    }
}

/// Puts a table in force as an apply does, transaction by transaction. Returns what an old kernel would have refused.
fn refused_on_the_way_to(table: &Table) -> Vec<String> {
    let wanted = encode(table).unwrap();
    let mut socket = Socket::open().unwrap();
    let read = |socket: &mut Socket| Nftables::default().read_live(socket, Some(&wanted), 0).ok().unwrap();
    let first = read(&mut socket).live;
    let plan = plan(first.as_ref(), &wanted, &BTreeSet::new());
    assert!(plan.taken.is_empty(), "not what is tried here");
    let mut refused = Vec::new();
    for step in plan.transactions().into_iter().filter(|step| !step.is_empty()) {
        let Compared { generation, live } = read(&mut socket);
        let uses = live.map(|live| Uses { live, wanted: &wanted });
        let is_refused = |operation: &&Operation<'_>| uses.as_ref().is_some_and(|uses| uses.of(operation));
        refused.extend(step.iter().filter(is_refused).map(ToString::to_string));
        transaction(&mut socket, generation, step).commit(&mut socket).ok().unwrap();
    }
    assert_eq!(differences(table), [""; 0]);
    refused
}

/// Returns a table that shares only the name of a chain with the others, and that chain has another hook.
fn another() -> Table {
    let rules = vec![
        rule("called", vec![Statement::Jump("called")]),
        rule("counted", vec![Statement::Counter(set_name("other")), Statement::Accept]),
    ];
    let called = Chain { name: "called".into(), hook: Hook::Forward, priority: None, rules: Vec::new() };
    Table {
        counters: vec![Counter { name: set_name("other") }],
        sets: Vec::new(),
        chains: vec![called, chain("input", Hook::Forward, 5, rules)],
    }
}

#[test]
#[ignore = "needs root"]
fn nothing_goes_in_one_transaction_with_what_uses_it() {
    in_namespace(|| {
        let tables =
            [small(), small_with_a_host(), another(), mapped(&["web", "mail"]), mapped(&["mail", "news"])];
        for (from, to) in tables.iter().flat_map(|from| tables.iter().map(move |to| (from, to))) {
            apply(from);
            assert_eq!(refused_on_the_way_to(to), [""; 0]);
        }
        nft("delete table inet dockfw");
        assert_eq!(refused_on_the_way_to(&small()), [""; 0]);
    });
}

#[test]
#[ignore = "needs root"]
fn nor_does_what_others_put_there() {
    for theirs in [
        "set more { type ipv4_addr; elements = { 1.2.3.4 }; }
         counter extra { packets 1 bytes 1; }
         chain called { ip saddr @more counter name extra accept; }
         chain hooked { type filter hook input priority 5; jump called; };",
        "counter extra { packets 1 bytes 1; }
         chain called { accept; }
         map verdicts { type inet_service : verdict; elements = { 80 : jump called }; }
         map counted { type inet_service : counter; elements = { 80 : \"extra\" }; }
         chain input { tcp dport vmap @verdicts; tcp dport vmap { 1 : jump called, 2 : accept }; counter name tcp dport map @counted; };",
    ] {
        in_namespace(move || {
            apply(&small());
            nft_with(&["-f", "-"], &format!("table inet dockfw {{ {theirs} }}"));
            assert_eq!(refused_on_the_way_to(&small()), [""; 0], "with {theirs}");
        });
    }
}
