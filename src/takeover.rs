//! Taking over from the rules of the old layout: the Ansible role's and the manual method's.
//!
//! The new policy is in force before the old rules are removed, and in between both decide: a packet that either drops
//! is dropped. Only the chain FILTERS is removed earlier if the engine needs its name, once the new rules are in force
//! in another table. What is removed is first [saved](Takeover::save) in the records, before anything changes. So after
//! a rollback the host has its old rules again, and is not without any; `dockfw remove` restores them too. The set of
//! the old rules stays for that until it is [retired](retire).

use anyhow::Context;
use dockfw_policy::address::Family;
use dockfw_policy::difference::{Difference, DifferenceKind, Part};
use dockfw_policy::engine::EngineError;
use dockfw_xtables::old::{self, OldPart, OldRules};
use dockfw_xtables::tools::Variant;

use crate::filters::persistence;
use crate::host::programs;
use crate::lock::Lock;
use crate::message::Message;
use crate::output::{note, warning};
use crate::records::Store;

/// Why nothing is applied if the old rules can't be saved.
const UNKEPT: &str = "not applied: the old rules could not be saved for a later rollback";

/// The old rules that are there.
pub(crate) struct Takeover {
    found: Vec<OldRules>,
}

impl Takeover {
    /// Looks for them. If that fails, the policy is put in force all the same: if there are any old rules, both rulesets
    /// decide.
    pub(crate) fn find() -> Self {
        let found = old::find().unwrap_or_else(|error| {
            let message =
                format!("unknown whether rules of the old layout are on this host: {}", error.in_full());
            warning(Message::new(message).meaning("if they are, they filter packets too"));
            vec![]
        });
        Self { found }
    }

    /// Returns what is to be removed.
    pub(crate) fn differences(&self) -> Vec<Difference> {
        let parts = self.found.iter().flat_map(|rules| rules.parts.iter().map(|part| (rules.variant, part)));
        parts.map(|(variant, part)| difference(variant, part)).collect()
    }

    /// Saves them in the records. This must come before the policy is put in force: the chain FILTERS may be replaced then.
    pub(crate) fn save(&self, store: &Store) -> anyhow::Result<()> {
        self.found.iter().try_for_each(|rules| save(rules, store)).context(UNKEPT)
    }

    /// Removes them, now that they are saved and the new policy is in force. Returns what was removed.
    pub(crate) fn carry_out(&self) -> Result<Vec<Difference>, EngineError> {
        let doing = "the policy is in force, but the old rules could not be removed, and filter packets too";
        for rules in &self.found {
            old::take_out(rules.variant).map_err(|error| error.after_the_fact(doing))?;
        }
        Ok(self.differences())
    }

    /// Reports what of the old layout is still there, or may come back.
    pub(crate) fn notes(&self) -> Vec<Message> {
        let set = (!self.found.is_empty() && old::is_set_there().unwrap_or(true))
            .then(|| Message::new(format!("the set {} is kept, for a rollback to the old rules", old::SET)));
        let set = set.map(|message| message.help("when you are sure: dockfw apply --retire-old"));
        set.into_iter().chain(persistence::notes()).collect()
    }
}

/// Saves rules. What was saved before stays: after an interrupted take-over, part of it may be nowhere else.
fn save(rules: &OldRules, store: &Store) -> anyhow::Result<()> {
    let text = match store.old_rules(rules.variant.name())? {
        Some(before) => old::merge(&rules.put_back, &before),
        None => rules.put_back.clone(),
    };
    let place = store.save_old_rules(rules.variant.name(), &text)?;
    log::info!("the old rules of iptables-{} are kept in {}", rules.variant, place.display());
    Ok(())
}

fn difference(variant: Variant, part: &OldPart) -> Difference {
    let old = Part::Old { chain: part.chain.clone(), variant: variant.name() };
    let shown = |rule: &String| rule.replace(|c: char| c.is_control(), " ");
    Difference {
        family: Some(Family::Ipv4),
        table: Some("filter"),
        live: part.rules.iter().map(shown).collect(),
        ..Difference::new(DifferenceKind::Foreign, old)
    }
}

/// What was removed, by its variant of iptables.
pub(crate) type SavedRules = Vec<(Variant, String)>;

/// Returns what was removed and is saved.
pub(crate) fn saved(store: &Store) -> anyhow::Result<SavedRules> {
    let of = |variant: Variant| Ok(store.old_rules(variant.name())?.map(|text| (variant, text)));
    Variant::ALL.into_iter().filter_map(|variant| of(variant).transpose()).collect()
}

/// Saves again what was saved once, and may be lost.
pub(crate) fn save_again(store: &Store, saved: &SavedRules) -> anyhow::Result<()> {
    saved.iter().try_for_each(|(variant, text)| store.save_old_rules(variant.name(), text).map(drop))?;
    Ok(())
}

/// Restores what was removed, before dockfw's own rules are removed. Returns whether there was anything.
pub(crate) fn put_back(store: &Store, lock: &Lock) -> anyhow::Result<bool> {
    lock.share().context("can't share the lock")?;
    let mut saved = saved(store)?;
    if !saved.is_empty() && old::is_set_gone().context("unknown whether the set of the old rules is there")? {
        warning(format_args!(
            "the old rules are not restored: their set {} does not exist any more",
            old::SET
        ));
        saved.clear();
    }
    for (variant, saved) in &saved {
        old::put_back(*variant, saved)
            .with_context(|| format!("can't restore the old rules of iptables-{variant}"))?;
    }
    store.forget_old_rules()?;
    Ok(!saved.is_empty())
}

/// Makes the take-over final: removes the set, and disables the services that would restore the old rules. It does not
/// stop them: stopping them empties tables and sets, dockfw's among them.
pub(crate) fn retire(store: &Store) -> anyhow::Result<()> {
    if old::destroy_set()? {
        note(format_args!("destroyed the set {}", old::SET));
    }
    for service in persistence::find() {
        programs::must_run("systemctl", &["disable", service.unit])?;
        note(format_args!("disabled {}, which would have loaded {} at boot", service.unit, service.file));
    }
    Ok(store.forget_old_rules()?)
}
