//! What answers at a port, and which part of the policy is meant, in words.

use super::{Answers, Exposed, Kind};

/// Returns what an operator calls a part of the policy: rule `web` is what rulesets call `allow 'web'`.
pub(crate) fn part(origin: &str) -> String {
    let rule = origin.strip_prefix("allow '").and_then(|rest| rest.strip_suffix('\''));
    rule.map_or_else(|| origin.to_owned(), |name| format!("rule `{name}`"))
}

impl Exposed {
    /// Returns who answers: a process, a container, a service, or another machine.
    pub(crate) fn holder(&self) -> String {
        let Answers { process, container, address, .. } = &self.answers;
        match (self.kind, process, container) {
            (Kind::Process, Some(process), Some(container)) => format!("{process}, in container {container}"),
            (Kind::Process, Some(process), None) => process.clone(),
            (Kind::Process, None, _) => "the kernel, or a process that can't be read".into(),
            (Kind::Published, _, Some(container)) => format!("container {container}"),
            (Kind::Published, _, None) => "a container".into(),
            (Kind::Translated, _, Some(container)) => format!("container {container}"),
            (Kind::Translated, _, None) => {
                address.map_or("another machine".into(), |address| address.to_string())
            }
            (Kind::Mesh, _, Some(service)) => format!("service {service}"),
            (Kind::Mesh, _, None) => "a service".into(),
        }
    }
}
