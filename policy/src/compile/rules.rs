//! The rules of one hook, in the making.

use super::lists::Allowed;
use super::{names, services, title};
use crate::policy::{AllowRule, Place, Policy};
use crate::ruleset::{Action, Match, Origin, PortField, Rule, SetName};

/// The rules of one hook, as they are added.
pub(super) struct Rules<'a> {
    pub(super) policy: &'a Policy,
    pub(super) rules: Vec<Rule>,
}

impl Rules<'_> {
    pub(super) fn pass(&mut self, matches: Vec<Match>, counter: Option<SetName>, what: &str) {
        self.push(matches, Action::Pass, counter, what.into(), None);
    }

    pub(super) fn pass_for(&mut self, rule: &AllowRule, matches: Vec<Match>, counter: Option<SetName>) {
        self.push(matches, Action::Pass, counter, title(rule), Some(rule.place.clone()));
    }

    pub(super) fn allow(&mut self, allowed: &Allowed<'_>, matches: Vec<Match>) {
        self.pass_for(allowed.rule, matches, Some(allowed.counter.clone()));
    }

    /// Passes a rule's services, by the number that was dialled, to these sources.
    pub(super) fn allow_dialled(&mut self, allowed: &Allowed<'_>, sources: &[Vec<Match>]) {
        for service in services(&allowed.rule.services, PortField::Dialled) {
            for source in sources {
                self.allow(allowed, [vec![service.clone()], source.clone()].concat());
            }
        }
    }

    pub(super) fn drop_impossible(&mut self, conditions: Vec<Vec<Match>>) {
        for matches in conditions {
            self.drop(matches, names::DROP_IMPOSSIBLE, "impossible address");
        }
    }

    pub(super) fn drop_blocked(&mut self, conditions: impl IntoIterator<Item = Vec<Match>>) {
        for matches in conditions {
            self.drop(matches, names::DROP_BLOCKED, "blocked");
        }
    }

    /// Drops what others than the rule's own sources send to its ports.
    pub(super) fn drop_others(&mut self, rule: &AllowRule, matches: Vec<Match>) {
        self.drop(matches, names::DROP_ONLY, &format!("others than {}", title(rule)));
    }

    pub(super) fn drop(&mut self, matches: Vec<Match>, counter: SetName, what: &str) {
        if self.policy.log.drops {
            let log = Action::Log { prefix: format!("dockfw {counter}: "), rate: self.policy.log.rate };
            self.push(matches.clone(), log, None, format!("log {what}"), None);
        }
        self.push(matches, Action::Drop, Some(counter), what.into(), None);
    }

    fn push(
        &mut self,
        matches: Vec<Match>,
        action: Action,
        counter: Option<SetName>,
        what: String,
        place: Option<Place>,
    ) {
        self.rules.push(Rule { matches, action, counter, origin: Origin { what, place } });
    }

    pub(super) fn done(self) -> Vec<Rule> {
        self.rules
    }
}
