//! Taking over from the rules of the old layout: the Ansible role's and the manual method's.
//!
//! The new policy is in force before the old rules go, and in between both decide: a packet that either drops is dropped.
//! What is taken out is kept in the records, so that a policy that is taken back leaves the host with its old rules
//! again, and not without any; so does `dockfw remove`. The set of the old rules stays for that until it is
//! [retired](retire).

use anyhow::Context;
use dockfw_compat::old::{self, OldPart, OldRules};
use dockfw_policy::address::Family;
use dockfw_policy::difference::{Difference, DifferenceKind, Part};
use dockfw_policy::engine::EngineError;

use crate::host::{persistence, programs};
use crate::lock::Lock;
use crate::records::Store;
use crate::talk::say;

/// The variants of iptables.
const VARIANTS: [&str; 2] = ["legacy", "nft"];

/// The old rules that are there.
pub(crate) struct Takeover {
    found: Vec<OldRules>,
}

impl Takeover {
    /// Looks for them.
    pub(crate) fn find() -> Result<Self, EngineError> {
        old::find().map(|found| Self { found })
    }

    /// What is to go.
    pub(crate) fn differences(&self) -> Vec<Difference> {
        let parts = self.found.iter().flat_map(|rules| rules.parts.iter().map(|part| (rules.variant, part)));
        parts.map(|(variant, part)| difference(variant, part)).collect()
    }

    /// Takes them out, now that the new policy is in force. Returns what is gone.
    pub(crate) fn carry_out(&self, store: &Store) -> anyhow::Result<Vec<Difference>> {
        for rules in &self.found {
            take_out(rules, store)
                .context("the policy is in force, but so are the old rules: they could not be taken out")?;
        }
        Ok(self.differences())
    }

    /// What of the old layout is still there, or may come back.
    pub(crate) fn notes(&self) -> Vec<String> {
        let set = (!self.found.is_empty() && old::is_set_there())
            .then(|| format!("the set {} is left; dockfw apply --retire-old destroys it", old::SET));
        set.into_iter().chain(persistence::notes()).collect()
    }
}

fn take_out(rules: &OldRules, store: &Store) -> anyhow::Result<()> {
    let kept = store.keep_old_rules(rules.variant, &rules.put_back)?;
    old::take_out(rules.variant)?;
    log::info!("the old rules of iptables-{} are kept in {}", rules.variant, kept.display());
    Ok(())
}

fn difference(variant: &'static str, part: &OldPart) -> Difference {
    let old = Part::Old { chain: part.chain.clone(), variant };
    let shown = |rule: &String| rule.replace(|c: char| c.is_control(), " ");
    Difference {
        family: Some(Family::Ipv4),
        table: Some("filter"),
        live: part.rules.iter().map(shown).collect(),
        ..Difference::new(DifferenceKind::Foreign, old)
    }
}

/// Puts back what was taken out, before dockfw's own rules go. Returns whether there was anything.
pub(crate) fn put_back(store: &Store, lock: &Lock) -> anyhow::Result<bool> {
    lock.share().context("can't share the lock")?;
    let mut is_back = false;
    for variant in VARIANTS {
        let Some(saved) = store.old_rules(variant)? else { continue };
        if !old::is_set_there() {
            say(format_args!("the old rules do not come back: their set {} is not there", old::SET));
            break;
        }
        old::put_back(variant, &saved)
            .with_context(|| format!("can't put the old rules of iptables-{variant} back"))?;
        is_back = true;
    }
    store.forget_old_rules()?;
    Ok(is_back)
}

/// Makes the take-over final: the set goes, and the services that would bring the old rules back are disabled, but not
/// stopped: to stop them empties tables and sets, dockfw's among them.
pub(crate) fn retire(store: &Store) -> anyhow::Result<()> {
    if old::destroy_set()? {
        say(format_args!("destroyed the set {}", old::SET));
    }
    for service in persistence::find() {
        programs::must_run("systemctl", &["disable", service.unit])?;
        say(format_args!("disabled {}, which would have loaded {} at boot", service.unit, service.file));
    }
    Ok(store.forget_old_rules()?)
}
