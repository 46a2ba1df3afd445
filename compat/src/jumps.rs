//! The jumps into the engine's chains, among the rules of others.
//!
//! Rules of others stay in place. A jump in table mangle has to be there once, and no rule before it may let a packet
//! bypass it. If one does, the jump is moved to the top, as Docker does with its own. In table filter nothing is
//! decided: a jump only has to be there once.

use std::collections::BTreeSet;

use dockfw_xtables::jumps::{Target, deletions, target};
use dockfw_xtables::names::{DOCKER_USER, FORWARD, INPUT, PREROUTING, stand_in_for_docker};
use dockfw_xtables::saved::{Rule, Table, TableName};
use dockfw_xtables::words;

/// Targets that do not end a packet's route through the chain, or end it for good.
const HARMLESS: [&str; 27] = [
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DROP",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "MARK",
    "NFLOG",
    "NOTRACK",
    "RATEEST",
    "REJECT",
    "SECMARK",
    "SET",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TRACE",
    "TTL",
];

/// A jump that has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jump {
    /// The table.
    pub(crate) table: TableName,
    /// The chain that it is in.
    pub(crate) from: &'static str,
    /// Where it leads.
    pub(crate) to: &'static str,
}

/// All jumps.
pub(crate) const JUMPS: [Jump; 6] = [
    Jump { table: TableName::Mangle, from: "PREROUTING", to: PREROUTING },
    Jump { table: TableName::Mangle, from: "INPUT", to: INPUT },
    Jump { table: TableName::Mangle, from: "FORWARD", to: FORWARD },
    Jump { table: TableName::Filter, from: "INPUT", to: INPUT },
    Jump { table: TableName::Filter, from: "FORWARD", to: DOCKER_USER },
    Jump { table: TableName::Filter, from: DOCKER_USER, to: FORWARD },
];

impl Jump {
    /// Returns whether it is there, or one of Docker's that does the same; in table mangle, whether every packet takes it.
    pub(crate) fn is_fine(&self, table: &Table) -> bool {
        let kept = self.kept(table);
        let is_there = || self.count(table, &kept) == 1;
        let is_reached = || self.table != TableName::Mangle || self.is_reached(table, &kept);
        // Docker may have several.
        self.is_made_by_docker(table) || is_there() && is_reached()
    }

    /// Returns the lines of a restore that correct this jump; none if it is correct.
    pub(crate) fn repair(&self, table: &Table) -> Vec<String> {
        let mut lines = Vec::new();
        if self.is_made_by_docker(table) {
            lines.extend(self.removal_of_stand_ins(table));
        }
        if !self.is_fine(table) {
            let kept = self.kept(table);
            lines.extend(deletions(table, self.from, &kept));
            lines.push(format!("-I {} 1 {}", self.from, words::line(&kept)));
        }
        lines
    }

    /// Returns whether this is a jump of Docker's, and Docker has made it.
    pub(crate) fn is_made_by_docker(&self, table: &Table) -> bool {
        self.to == DOCKER_USER && self.count(table, &self.plain()) > 0
    }

    /// Returns the jump that has to be there: Docker's own, if Docker makes it.
    fn kept(&self, table: &Table) -> Vec<String> {
        self.stand_in().filter(|_| !self.is_made_by_docker(table)).unwrap_or_else(|| self.plain())
    }

    /// Returns the lines that remove the stand-in for Docker's jump.
    fn removal_of_stand_ins(&self, table: &Table) -> Vec<String> {
        self.stand_in().map(|words| deletions(table, self.from, &words)).unwrap_or_default()
    }

    fn plain(&self) -> Vec<String> {
        vec!["-j".into(), self.to.into()]
    }

    fn stand_in(&self) -> Option<Vec<String>> {
        (self.to == DOCKER_USER).then(stand_in_for_docker)
    }

    fn count(&self, table: &Table, words: &[String]) -> usize {
        table.rules(self.from).iter().filter(|rule| rule.words == words).count()
    }

    /// Returns whether every packet reaches the first of these jumps, unless it is dropped before.
    fn is_reached(&self, table: &Table, words: &[String]) -> bool {
        let before = table.rules(self.from).iter().take_while(|rule| rule.words != words);
        let mut paths = Paths { table, seen: BTreeSet::new() };
        before.into_iter().all(|rule| !paths.leads_past(rule))
    }
}

/// The paths along which rules lead.
struct Paths<'a> {
    table: &'a Table,
    seen: BTreeSet<String>,
}

impl Paths<'_> {
    /// Returns whether a packet may leave the chain by this rule without having been dropped.
    fn leads_past(&mut self, rule: &Rule) -> bool {
        match target(rule) {
            None => false,
            // From the target of a goto, a packet returns to where this chain was called from, or to the policy.
            Some(Target::Goto(_) | Target::Jump("RETURN")) => true,
            Some(Target::Jump(name)) => self.accepts(name),
        }
    }

    /// Returns whether a packet may be accepted for good by a target or by a chain.
    fn accepts(&mut self, name: &str) -> bool {
        if name == "RETURN" || HARMLESS.contains(&name) {
            return false;
        }
        let Some(chain) = self.table.chains.get(name) else { return true };
        if !self.seen.insert(name.into()) {
            return false;
        }
        chain.rules.iter().any(|rule| match target(rule) {
            None => false,
            Some(Target::Jump(name) | Target::Goto(name)) => self.accepts(name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dockfw_xtables::saved::Tables;

    fn table(name: TableName, rules: &str) -> Table {
        let text = format!("*{}\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n{rules}COMMIT\n", name.as_str());
        Tables::parse(&text).table(name)
    }

    fn filter(rules: &str) -> Table {
        table(TableName::Filter, rules)
    }

    fn repair_in(name: TableName, from: &str, rules: &str) -> Vec<String> {
        let jump = JUMPS.iter().find(|jump| jump.from == from && jump.table == name).unwrap();
        jump.repair(&table(name, rules))
    }

    fn repair(from: &str, rules: &str) -> Vec<String> {
        repair_in(TableName::Filter, from, rules)
    }

    #[test]
    fn a_jump_that_every_packet_reaches_stays() {
        for before in [
            "",
            "-A INPUT -s 192.0.2.1/32 -j DROP\n",
            "-A INPUT -j MARK --set-xmark 0x1/0x1\n-A INPUT -p tcp\n-A INPUT -j TTL --ttl-inc 1\n",
            ":F2B - [0:0]\n-A INPUT -j F2B\n-A F2B -j DROP\n-A F2B -j RETURN\n",
            ":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -g B\n-A B -j A\n",
        ] {
            let rules = format!("{before}-A INPUT -j FILTERS\n");
            assert_eq!(repair_in(TableName::Mangle, "INPUT", &rules), [""; 0], "{before}");
        }
    }

    const MISSED: [&str; 6] = [
        "-A INPUT -i eth0 -j ACCEPT\n",
        "-A INPUT -i eth0 -j RETURN\n",
        "-A INPUT -j NFQUEUE --queue-num 0\n",
        ":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -j B\n-A B -p tcp -j ACCEPT\n",
        ":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -g B\n-A B -p tcp -j ACCEPT\n",
        ":A - [0:0]\n-A INPUT -g A\n",
    ];

    #[test]
    fn a_jump_that_a_packet_may_miss_is_set_anew() {
        for before in MISSED {
            let lines = repair_in(TableName::Mangle, "INPUT", &format!("{before}-A INPUT -j FILTERS\n"));
            assert_eq!(lines, ["-D INPUT -j FILTERS", "-I INPUT 1 -j FILTERS"], "{before}");
        }
    }

    #[test]
    fn in_table_filter_a_jump_stays_whatever_is_before_it() {
        for before in MISSED {
            assert_eq!(repair("INPUT", &format!("{before}-A INPUT -j FILTERS\n")), [""; 0], "{before}");
        }
        let user = ":DOCKER-USER - [0:0]\n-A FORWARD -j ACCEPT\n-A FORWARD -j DOCKER-USER\n";
        assert_eq!(repair("FORWARD", user), [""; 0]);
    }

    #[test]
    fn jumps_are_reduced_to_one() {
        let expected = ["-D INPUT -j FILTERS", "-D INPUT -j FILTERS", "-I INPUT 1 -j FILTERS"];
        for name in [TableName::Mangle, TableName::Filter] {
            assert_eq!(repair_in(name, "INPUT", "-A INPUT -j FILTERS\n-A INPUT -j FILTERS\n"), expected);
            // A rule with a condition is someone else's.
            assert_eq!(repair_in(name, "INPUT", "-A INPUT -i eth0 -j FILTERS\n"), ["-I INPUT 1 -j FILTERS"]);
        }
    }

    #[test]
    fn ours_comes_before_the_return_of_old_dockers() {
        let lines = repair("DOCKER-USER", ":DOCKER-USER - [0:0]\n-A DOCKER-USER -j RETURN\n");
        assert_eq!(lines, ["-I DOCKER-USER 1 -j DOCKFW-USER"]);
        let rules = ":DOCKER-USER - [0:0]\n-A DOCKER-USER -j DOCKFW-USER\n-A DOCKER-USER -j RETURN\n";
        assert_eq!(repair("DOCKER-USER", rules), [""; 0]);
    }

    #[test]
    fn a_stand_in_is_made_for_dockers_jump_and_goes_when_docker_comes() {
        let user = ":DOCKER-USER - [0:0]\n";
        let stand_in = "-m comment --comment \"dockfw, until Docker comes\" -j DOCKER-USER";
        assert_eq!(repair("FORWARD", user), [format!("-I FORWARD 1 {stand_in}")]);
        let made = format!("{user}-A FORWARD {stand_in}\n");
        assert_eq!(repair("FORWARD", &made), [""; 0]);
        let jump = JUMPS.iter().find(|jump| jump.to == DOCKER_USER).unwrap();
        assert!(jump.is_fine(&filter(&made)) && !jump.is_made_by_docker(&filter(&made)));
        let both = format!("{user}-A FORWARD -j DOCKER-USER\n-A FORWARD {stand_in}\n");
        assert_eq!(repair("FORWARD", &both), [format!("-D FORWARD {stand_in}")]);
        // Not worth an apply of its own.
        assert!(jump.is_fine(&filter(&both)) && jump.is_made_by_docker(&filter(&both)));
    }
}
