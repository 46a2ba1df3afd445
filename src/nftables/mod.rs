//! The native engine: one nftables table, whose rules are replaced in one netlink transaction.
//!
//! [`wanted`] translates the table into the kernel's terms, [`dump`] reads what is there, [`mod@plan`] compares the two
//! and decides what to do, [`change`], [`operation`] and [`mod@transaction`] do it. Nothing outside of the table `inet
//! dockfw` is touched, and no program is run.

mod chains;
mod change;
mod compare;
pub(crate) mod dump;
mod elements;
mod encode;
mod expressions;
mod operation;
mod plan;
mod probe;
#[cfg(test)]
pub(crate) mod tests;
mod transaction;
pub(crate) mod userdata;
mod wanted;
pub(crate) mod words;

use std::cell::OnceCell;
use std::collections::BTreeSet;

use dockfw_policy::difference::Difference;
use dockfw_policy::engine::{Count, Engine, EngineError, EngineName, Presence, Requirement, SetState, State};
use dockfw_policy::nft::{Features, Table, lower};
use dockfw_policy::ruleset::Ruleset;

use crate::netlink::netfilter::{RequestError, Socket};
use crate::netlink::uapi;
use chains::is_leftover;
use change::Change;
use dump::{Live, Wants};
use plan::{Limits, Operation, plan};
use transaction::{Failure, Generation, Transaction};
use wanted::{Sought, Wanted};

/// How often reading or writing is tried again after others changed the ruleset in between.
const MAX_RACES: usize = 10;
/// The largest set whose elements are always read back: the kernel's listing of an interval set takes time that
/// grows with the square of its size, below a second up to here.
const MAX_READ_BACK: u64 = 100_000;

/// The largest set whose elements an apply reads only to name those that change. That takes a few milliseconds; `read`,
/// which changes nothing, reads as many as it does to verify them.
const MAX_NAMED_BY_APPLY: u64 = 10_000;

/// The engine that programs nftables.
#[derive(Debug, Default)]
pub(crate) struct Nftables {
    verify: bool,
    features: OnceCell<Features>,
    /// A function that runs between reading and writing, so that tests can act as another process.
    #[cfg(test)]
    between: Option<fn(usize)>,
}

/// What was read, and how it differs from what is wanted.
struct Compared {
    generation: Generation,
    live: Option<Live>,
}

impl Nftables {
    /// Returns the engine. With `verify`, the elements of every set are read back, however many there are.
    pub(crate) fn new(verify: bool) -> Self {
        Self { verify, ..Self::default() }
    }

    /// Returns which of the optional features this kernel has.
    pub(crate) fn features(&self) -> Result<Features, EngineError> {
        if let Some(features) = self.features.get() {
            return Ok(*features);
        }
        let features = probe::features(&mut Socket::open()?)?;
        Ok(*self.features.get_or_init(|| features))
    }

    /// Works with the table for a kernel that has all features. Only if the kernel refuses that one, it asks which features
    /// the kernel has: the question costs more time than it saves, because the answer is nearly always the same.
    fn adapted<T>(
        &self,
        ruleset: &Ruleset,
        work: impl Fn(&Table) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match work(&lower(ruleset, Features::ALL)) {
            Err(EngineError::Refused(_)) if self.features()? != Features::ALL => {
                work(&lower(ruleset, self.features()?))
            }
            result => result,
        }
    }

    /// Puts a table in force. What is in force already stays as it is.
    pub(crate) fn apply_table(&self, table: &Table) -> Result<Vec<Difference>, EngineError> {
        Change::begin(self)?.to(table)
    }

    /// Lets the kernel judge a table without putting it in force.
    pub(crate) fn check_table(&self, table: &Table) -> Result<(), EngineError> {
        let wanted = encode(table)?;
        let mut socket = Socket::open()?;
        retry(|attempt| {
            let Compared { generation, live } =
                self.read_live(&mut socket, Some(&wanted), MAX_NAMED_BY_APPLY)?;
            self.meanwhile(attempt);
            let plan = plan(live.as_ref(), &wanted, &BTreeSet::new());
            let mut operations = [plan.fill, plan.switch].concat();
            let mut judged = transaction(&mut socket, generation, &operations);
            if !judged.fits(&socket) {
                // An apply adds them in several transactions.
                operations.retain(|operation| !matches!(operation, Operation::AddElements(..)));
                judged = transaction(&mut socket, generation, &operations);
            }
            judged.check(&mut socket)
        })
    }

    /// Finds out whether a transaction was committed whose answer was lost.
    fn find_out(&self, socket: &mut Socket, wanted: &Wanted) -> Result<(), Failure> {
        let Compared { live, .. } = self.read_live(socket, Some(wanted), 0)?;
        let is_in_force = plan(live.as_ref(), wanted, &BTreeSet::new()).switch.is_empty();
        if is_in_force { Ok(()) } else { Err(Failure::Unknown) }
    }

    /// Reads our table, with the elements of the sets for which that is useful. `max_named`: how large a set may be for its
    /// elements to be read only to name what differs.
    fn read_live(
        &self,
        socket: &mut Socket,
        wanted: Option<&Wanted>,
        max_named: u64,
    ) -> Result<Compared, Failure> {
        let to_verify = if self.verify { u64::MAX } else { MAX_READ_BACK };
        let limits = Limits { to_verify, to_name: max_named.min(to_verify) };
        let sought = wanted.map(Sought::of);
        let worth = |set: &dump::Set| {
            sought.as_ref().is_some_and(|sought| plan::is_worth_reading(set, sought, limits))
        };
        read(socket, &Wants { rules: true, elements: worth })
    }

    #[cfg(test)]
    fn meanwhile(&self, attempt: usize) {
        if let Some(between) = self.between {
            between(attempt);
        }
    }

    #[cfg(not(test))]
    fn meanwhile(&self, _attempt: usize) {}
}

impl Engine for Nftables {
    fn name(&self) -> EngineName {
        EngineName::Nftables
    }

    fn probe(&self) -> Result<Vec<Requirement>, EngineError> {
        probe::probe(&mut Socket::open()?)
    }

    fn check(&self, ruleset: &Ruleset) -> Result<(), EngineError> {
        self.adapted(ruleset, |table| self.check_table(table))
    }

    fn apply(&self, ruleset: &Ruleset) -> Result<Vec<Difference>, EngineError> {
        self.adapted(ruleset, |table| self.apply_table(table))
    }

    fn read(&self, ruleset: Option<&Ruleset>) -> Result<State, EngineError> {
        let Some(ruleset) = ruleset else { return read_outline() };
        let state = self.read_wanted(&encode(&lower(ruleset, Features::ALL))?)?;
        if state.presence == Presence::Nothing
            || state.differences.is_empty()
            || self.features()? == Features::ALL
        {
            return Ok(state);
        }
        self.read_wanted(&encode(&lower(ruleset, self.features()?))?)
    }

    fn remove(&self) -> Result<bool, EngineError> {
        let mut socket = Socket::open()?;
        retry(|attempt| {
            let Compared { generation, live } = self.read_live(&mut socket, None, 0)?;
            self.meanwhile(attempt);
            if live.is_none() {
                return Ok(false);
            }
            transaction(&mut socket, generation, &[Operation::DeleteTable]).commit(&mut socket).map(|()| true)
        })
    }
}

impl Nftables {
    fn read_wanted(&self, wanted: &Wanted) -> Result<State, EngineError> {
        let mut socket = Socket::open()?;
        let live = retry(|_| self.read_live(&mut socket, Some(wanted), u64::MAX))?.live;
        let differences = plan(live.as_ref(), wanted, &BTreeSet::new()).differences;
        Ok(State { differences, ..live.as_ref().map(state).unwrap_or_default() })
    }
}

/// Reads what is there without any rule: there may be thousands.
fn read_outline() -> Result<State, EngineError> {
    let mut socket = Socket::open()?;
    let live = retry(|_| read(&mut socket, &Wants { rules: false, elements: |_: &dump::Set| false }))?.live;
    Ok(live.as_ref().map(state).unwrap_or_default())
}

fn read(socket: &mut Socket, wants: &Wants<impl Fn(&dump::Set) -> bool>) -> Result<Compared, Failure> {
    match dump::read(socket, wants) {
        Ok((generation, live)) => Ok(Compared { generation, live }),
        Err(RequestError::Interrupted) => Err(Failure::Raced),
        Err(RequestError::Refused(reply)) => Err(dump::refused(&reply).into()),
        Err(RequestError::Engine(error)) => Err(error.into()),
    }
}

fn state(live: &Live) -> State {
    let counters = live.objects.iter().filter(|object| object.kind == uapi::object::COUNTER);
    State {
        presence: if live.chains.iter().all(is_leftover) { Presence::Leftovers } else { Presence::Rules },
        differences: Vec::new(),
        unfit: None,
        counters: counters
            .map(|counter| Count {
                name: counter.name.to_string(),
                packets: counter.packets,
                bytes: counter.bytes,
            })
            .collect(),
        sets: live
            .sets
            .iter()
            .map(|set| SetState {
                name: set.name.to_string(),
                elements: userdata::set_entries(&set.userdata),
            })
            .collect(),
    }
}

fn encode(table: &Table) -> Result<Wanted, EngineError> {
    Wanted::new(table).map_err(|error| EngineError::Unsupported(error.to_string()))
}

fn transaction(socket: &mut Socket, generation: Generation, operations: &[Operation<'_>]) -> Transaction {
    let mut transaction = Transaction::begin(socket, Some(generation));
    for operation in operations {
        operation.push(&mut transaction, socket);
    }
    transaction
}

/// Tries again as long as others were faster.
fn retry<T>(mut attempt: impl FnMut(usize) -> Result<T, Failure>) -> Result<T, EngineError> {
    for count in 0..MAX_RACES {
        match attempt(count) {
            Err(Failure::Raced) => log::debug!("the ruleset changed meanwhile, attempt {}", count + 1),
            result => return result.map_err(EngineError::from),
        }
    }
    Err(EngineError::Raced)
}
