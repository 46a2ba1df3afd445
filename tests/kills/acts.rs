//! What dockfw is killed at, and what must be so afterwards.

use std::fmt;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Call, Counted, Dies};

use crate::host::{Engine, Host, Order, Policy};
use crate::packets::{InForce, meet_one_of};
use crate::state::{Ends, FAMILIES, State};

/// Something that dockfw is killed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A policy takes the place of another one.
    Change,
    /// The first policy.
    First,
    /// The last one goes.
    Remove,
}

impl Act {
    pub(crate) const ALL: [Self; 3] = [Self::Change, Self::First, Self::Remove];

    /// What it is that dockfw is told.
    fn order(self) -> Order {
        if self == Self::Remove { Order::Remove } else { Order::Apply(Policy::New) }
    }

    /// What is in force before it and after it.
    fn ends(self) -> [InForce; 2] {
        match self {
            Self::Change => [InForce::Old, InForce::New],
            Self::First => [InForce::Nothing, InForce::New],
            Self::Remove => [InForce::Old, InForce::Nothing],
        }
    }

    /// What leads to the state before it.
    fn undo(self) -> Order {
        if self == Self::First { Order::Remove } else { Order::Apply(Policy::Old) }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Change => "apply over a policy",
            Self::First => "first apply",
            Self::Remove => "remove",
        })
    }
}

/// What is in force on a host when nobody is killed.
pub(crate) struct Known {
    nothing: State,
    old: State,
    new: State,
}

impl Known {
    pub(crate) fn of(engine: Engine) -> Result<Self> {
        let host = Host::raise(engine)?;
        let nothing = seen(&host, InForce::Nothing)?;
        host.does(Order::Apply(Policy::Old))?;
        host.does(Order::Diff(Policy::Old))?;
        let old = seen(&host, InForce::Old)?;
        host.does(Order::Apply(Policy::New))?;
        host.does(Order::Diff(Policy::New))?;
        let new = seen(&host, InForce::New)?;
        host.does(Order::Remove)?;
        let rest = host.look()?;
        ensure!(rest.is_as(&nothing), "remove leaves something: {rest:#?}");
        Ok(Self { nothing, old, new })
    }

    fn state(&self, in_force: InForce) -> &State {
        match in_force {
            InForce::Nothing => &self.nothing,
            InForce::Old => &self.old,
            InForce::New => &self.new,
        }
    }

    fn ends(&self, act: Act) -> Ends<'_> {
        let [before, after] = act.ends().map(|end| self.state(end));
        Ends { before, after, policies: [&self.old, &self.new] }
    }
}

/// The state of a host, of which packets say the same.
fn seen(host: &Host, in_force: InForce) -> Result<State> {
    FAMILIES.into_iter().try_for_each(|family| meet_one_of(&host.neighbour, family, &[in_force]))?;
    host.look()
}

/// A host on which dockfw is killed at one act again and again.
pub(crate) struct KillFixture<'a> {
    host: Host,
    act: Act,
    pub(crate) dies: Dies,
    pub(crate) ends: Ends<'a>,
    /// The state before the act, with its records.
    before: State,
    /// States after which all was asked already.
    tried: Vec<State>,
}

/// What a kill came to.
pub(crate) struct Kill {
    /// The call that was not made any more; nothing where the program came to its end.
    pub(crate) at: Option<Call>,
    pub(crate) calls: usize,
    pub(crate) found: State,
    pub(crate) wrong: Vec<String>,
}

impl<'a> KillFixture<'a> {
    pub(crate) fn raise(engine: Engine, act: Act, dies: Dies, known: &'a Known) -> Result<Self> {
        let host = Host::raise(engine)?;
        if act != Act::First {
            host.does(act.undo())?;
        }
        let before = host.look()?;
        let fixture = Self { host, act, dies, ends: known.ends(act), before, tried: Vec::new() };
        ensure!(fixture.before.is_as(fixture.ends.before), "two hosts differ");
        Ok(fixture)
    }

    /// How many calls there are when nobody is killed.
    pub(crate) fn count(&mut self, counted: Counted) -> Result<usize> {
        let (traced, said) = self.host.traced(self.act.order(), self.dies, counted, None)?;
        ensure!(traced.code == Some(0), "exit code {:?}: {said}", traced.code);
        self.go_back()?;
        Ok(traced.calls)
    }

    /// Kills at the n-th call, and judges what is in force then, and what comes of the next try.
    pub(crate) fn kill(&mut self, counted: Counted, at: usize) -> Result<Kill> {
        let (traced, said) = self.host.traced(self.act.order(), self.dies, counted, Some(at))?;
        ensure!(traced.death.is_some() || traced.code == Some(0), "exit code {:?}: {said}", traced.code);
        let found = self
            .host
            .look()
            .context("whoever was killed holds the lock, or what is in force can't be read")?;
        let mut wrong = self.ends.mixtures(&found);
        // Where nothing at all was changed, the next try is but the same once more.
        if found != self.before {
            let tries = [self.meet(&found), self.next_try(&found)];
            wrong.extend(tries.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")));
            self.tried.push(found.clone());
            self.go_back()?;
        }
        Ok(Kill { at: traced.death, calls: traced.calls, found, wrong })
    }

    /// Where rules alone do not tell, packets do.
    fn meet(&self, found: &State) -> Result<()> {
        if !self.ends.has_part_of_end(found) || self.is_tried(found) {
            return Ok(());
        }
        let mut families = FAMILIES.into_iter();
        families.try_for_each(|family| meet_one_of(&self.host.neighbour, family, &self.act.ends()))
    }

    fn is_tried(&self, found: &State) -> bool {
        self.tried.iter().any(|tried| tried.is_like(found))
    }

    /// The next try ends with what was wanted, and leaves nothing. Asked once of each state.
    fn next_try(&self, found: &State) -> Result<()> {
        if self.is_tried(found) {
            return Ok(());
        }
        self.host.does(self.act.order()).context("the next try fails")?;
        let after = self.host.look()?;
        let mixtures = self.ends.mixtures(&after).join("\n");
        ensure!(after.is_as(self.ends.after), "after the next try: {mixtures}; unused: {:?}", after.unused);
        Ok(())
    }

    fn go_back(&mut self) -> Result<()> {
        // What is recorded once is not written a second time.
        self.host.forget()?;
        self.host.does(self.act.undo()).context("there is no way back")?;
        self.before = self.host.look()?;
        ensure!(self.before.is_as(self.ends.before), "after the way back, unused: {:?}", self.before.unused);
        Ok(())
    }
}
