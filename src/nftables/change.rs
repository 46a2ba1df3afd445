//! Changes the kernel's table to the wanted one: carries out the plan, transaction by transaction.

use std::collections::BTreeSet;

use dockfw_policy::difference::Difference;
use dockfw_policy::engine::EngineError;
use dockfw_policy::nft::Table;

use super::plan::{Operation, Plan, leftovers, plan};
use super::transaction::{Failure, Generation, Label, Transaction, reason};
use super::wanted::Wanted;
use super::{Compared, MAX_NAMED_BY_APPLY, Nftables, encode, retry};
use crate::netlink::message::Reply;
use crate::netlink::netfilter::Socket;

/// A change in progress.
pub(super) struct Change<'a> {
    engine: &'a Nftables,
    socket: Socket,
    /// The names of the sets that were filled by it.
    filled: BTreeSet<String>,
    /// Whether any part of it is in the kernel.
    has_begun: bool,
}

/// The result of an attempt.
struct Attempt {
    /// What was different before.
    differences: Vec<Difference>,
    /// The sets that must first give up their names.
    taken: Vec<String>,
}

impl<'a> Change<'a> {
    pub(super) fn begin(engine: &'a Nftables) -> Result<Self, EngineError> {
        Ok(Self { engine, socket: Socket::open()?, filled: BTreeSet::new(), has_begun: false })
    }

    /// Puts a table in force. Returns how the one before differed. If it fails, no part of it is left.
    pub(super) fn to(mut self, table: &Table) -> Result<Vec<Difference>, EngineError> {
        let result = self.try_to(table);
        if result.is_err() && self.has_begun {
            self.delete_unused();
        }
        result
    }

    /// Does it in several attempts if need be. If a set that is in use does not hold what its name promises, somebody
    /// changed it. The rules get sets of other names first, so that they never ask a set that changes.
    fn try_to(&mut self, table: &Table) -> Result<Vec<Difference>, EngineError> {
        let wanted = encode(table)?;
        let Attempt { differences, taken } = self.attempt(&wanted)?;
        if !taken.is_empty() {
            let other = |name: &str| taken.iter().any(|own| own == name).then(|| format!("{name}_again"));
            self.must_come_through(&encode(&table.with_sets_renamed(other))?)?;
            self.must_come_through(&wanted)?;
        }
        Ok(differences)
    }

    fn must_come_through(&mut self, wanted: &Wanted) -> Result<(), EngineError> {
        if self.attempt(wanted)?.taken.is_empty() { Ok(()) } else { Err(EngineError::Raced) }
    }

    fn attempt(&mut self, wanted: &Wanted) -> Result<Attempt, EngineError> {
        let mut differences = Vec::new();
        let taken = retry(|attempt| {
            let Compared { generation, live } =
                self.engine.read_live(&mut self.socket, Some(wanted), MAX_NAMED_BY_APPLY)?;
            self.engine.meanwhile(attempt);
            let plan = plan(live.as_ref(), wanted, &self.filled);
            // After a race, the changes before it count as part of this change.
            if differences.is_empty() {
                differences.clone_from(&plan.differences);
            }
            if !plan.taken.is_empty() {
                return Ok(plan.taken.iter().map(ToString::to_string).collect());
            }
            match self.carry_out(generation, &plan) {
                Err(Failure::Unknown) => self.engine.find_out(&mut self.socket, wanted),
                result => result,
            }
            .map(|()| Vec::new())
        })?;
        Ok(Attempt { differences, taken })
    }

    fn carry_out(&mut self, generation: Generation, plan: &Plan<'_>) -> Result<(), Failure> {
        let [fill, switch, unused @ ..] = plan.transactions();
        let generation = self.commit(generation, fill)?;
        let mut generation = self.commit(generation, switch)?;
        for unused in unused {
            generation = match self.commit(generation, unused) {
                // The new rules are in force all the same.
                Err(Failure::Refused(refusals)) => {
                    warn_of_unused(refusals);
                    generation
                }
                result => result?,
            };
        }
        Ok(())
    }

    /// Commits a step. If it does not fit one transaction, several are used, but only for elements of sets that no rule
    /// asks yet: rules always have one transaction. Returns the generation that this made.
    fn commit(&mut self, mut generation: Generation, step: &[Operation<'_>]) -> Result<Generation, Failure> {
        if step.is_empty() {
            return Ok(generation);
        }
        let mut transaction = Transaction::begin(&mut self.socket, Some(generation));
        for operation in step {
            if matches!(operation, Operation::AddElements(..)) && !transaction.has_room(&self.socket) {
                transaction.commit(&mut self.socket)?;
                self.has_begun = true;
                generation = generation.next();
                transaction = Transaction::begin(&mut self.socket, Some(generation));
            }
            operation.push(&mut transaction, &mut self.socket);
        }
        transaction.commit(&mut self.socket)?;
        self.has_begun = true;
        self.filled.extend(step.iter().filter_map(Operation::added_set));
        Ok(generation.next())
    }

    /// Removes what no rule uses. If that fails too, it stays without effect until the next apply.
    fn delete_unused(&mut self) {
        let taken_back = retry(|_| {
            let Compared { generation, live } = self.engine.read_live(&mut self.socket, None, 0)?;
            let [sets, chains] = live.as_ref().map(leftovers).unwrap_or_default();
            let generation = self.commit(generation, &sets)?;
            self.commit(generation, &chains).map(drop)
        });
        if let Err(error) = taken_back {
            log::warn!("unused sets and chains of the failed apply stay until the next one: {error}");
        }
    }
}

fn warn_of_unused(refusals: Vec<(Label, Reply)>) {
    for (label, reply) in refusals {
        let (operation, reason) = (label.operation, reason(&reply));
        log::warn!(
            "the kernel refused to {operation}: {reason}; no rule uses that, and the next apply tries again"
        );
    }
}
