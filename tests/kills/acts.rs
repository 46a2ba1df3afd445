//! What dockfw is killed at, and what must be so afterwards.

use std::fmt;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Call, Counted, Dies};

use crate::host::{Engine, Host, Order, Policy};
use crate::state::{Ends, State};

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
        let nothing = host.look()?;
        let [old, new] = [Policy::Old, Policy::New].map(|policy| {
            host.does(Order::Apply(policy))?;
            host.does(Order::Diff(policy))?;
            host.look()
        });
        let (old, new) = (old?, new?);
        host.does(Order::Remove)?;
        ensure!(host.look()?.is_as(&nothing), "remove leaves something: {:#?}", host.look()?);
        let known = Self { nothing, old, new };
        ensure!(
            known.ends(Act::Change).changed(&known.new) == known.ends(Act::First).changed(&known.new),
            "a family is the same in both policies"
        );
        Ok(known)
    }

    pub(crate) fn ends(&self, act: Act) -> Ends<'_> {
        let (before, after) = match act {
            Act::Change => (&self.old, &self.new),
            Act::First => (&self.nothing, &self.new),
            Act::Remove => (&self.old, &self.nothing),
        };
        Ends { before, after, policies: [&self.old, &self.new] }
    }
}

/// A host on which dockfw is killed at one act again and again.
pub(crate) struct Scene<'a> {
    host: Host,
    act: Act,
    pub(crate) dies: Dies,
    pub(crate) ends: Ends<'a>,
    /// The state before the act, with its records.
    before: State,
    /// States that the next try was seen to end well from.
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

impl<'a> Scene<'a> {
    pub(crate) fn raise(engine: Engine, act: Act, dies: Dies, known: &'a Known) -> Result<Self> {
        let host = Host::raise(engine)?;
        if act != Act::First {
            host.does(act.undo())?;
        }
        let before = host.look()?;
        let scene = Self { host, act, dies, ends: known.ends(act), before, tried: Vec::new() };
        ensure!(scene.before.is_as(scene.ends.before), "two hosts differ");
        Ok(scene)
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
            wrong.extend(self.next_try(&found).err().map(|error| format!("{error:#}")));
            self.go_back()?;
        }
        Ok(Kill { at: traced.death, calls: traced.calls, found, wrong })
    }

    /// The next try ends with what was wanted, and leaves nothing. Asked once of each state.
    fn next_try(&mut self, found: &State) -> Result<()> {
        if self.tried.iter().any(|tried| tried.is_like(found)) {
            return Ok(());
        }
        self.host.does(self.act.order()).context("the next try fails")?;
        let after = self.host.look()?;
        let mixtures = self.ends.mixtures(&after).join("\n");
        ensure!(after.is_as(self.ends.after), "after the next try: {mixtures}; unused: {:?}", after.unused);
        self.tried.push(found.clone());
        Ok(())
    }

    fn go_back(&mut self) -> Result<()> {
        self.host.does(self.act.undo()).context("there is no way back")?;
        self.before = self.host.look()?;
        ensure!(self.before.is_as(self.ends.before), "after the way back, unused: {:?}", self.before.unused);
        Ok(())
    }
}
