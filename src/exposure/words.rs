//! What answers at a port, and which part of the policy is meant, in words.

use super::{Answers, Exposed, Kind};

/// Returns what an operator calls a part of the policy: rule `web` is what rulesets call `allow 'web'`, and group `office`
/// what they call `group 'office'`.
pub(crate) fn part(origin: &str) -> String {
    let [rule, group] = ["allow '", "group '"].map(|kind| origin.strip_prefix(kind)?.strip_suffix('\''));
    match (rule, group) {
        (Some(name), _) => format!("rule `{name}`"),
        (None, Some(name)) => format!("group `{name}`"),
        (None, None) => origin.to_owned(),
    }
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
