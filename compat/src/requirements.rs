//! What the engine needs of a host.

use dockfw_policy::engine::{EngineError, Requirement};
use dockfw_system::programs::find;
use dockfw_xtables::ipset::Ipset;

use crate::facts::Facts;
use crate::host::Host;

/// Programs that the engine runs.
const PROGRAMS: [&str; 6] =
    ["ipset", "iptables", "iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"];

/// Looks for each requirement. Changes nothing.
pub(crate) fn requirements(facts: &Facts) -> Result<Vec<Requirement>, EngineError> {
    let mut found: Vec<_> = PROGRAMS.iter().map(|name| program(name)).collect();
    if found.iter().all(|requirement| requirement.missing.is_none()) {
        found.push(set_match()?);
        found.push(variant(facts)?);
    }
    Ok(found)
}

fn program(name: &str) -> Requirement {
    let path = find(name);
    let source = path.as_ref().map_or_else(|| "PATH".into(), |path| path.display().to_string());
    let missing = path.is_none().then(|| "not there".into());
    Requirement { what: format!("program {name}"), source, missing, optional: false }
}

/// Returns whether kernel and program understand each other: an old ipset does not know a new kernel's protocol.
fn set_match() -> Result<Requirement, EngineError> {
    let missing = complaint(Ipset::find_or_fail().and_then(|ipset| ipset.names()))?.err();
    Ok(Requirement { what: "sets of ipset".into(), source: "ipset list -n".into(), missing, optional: false })
}

fn variant(facts: &Facts) -> Result<Requirement, EngineError> {
    let fit = |host: Host| host.must_be_fit().and_then(|()| host.read()).map(|_| host);
    let (what, missing) = match complaint(Host::find(facts).and_then(fit))? {
        Ok(host) => (format!("tables of iptables-{}", host.tools().variant.name()), None),
        Err(complaint) => ("tables of iptables".into(), Some(complaint)),
    };
    Ok(Requirement { what, source: "iptables-save, ip6tables-save".into(), missing, optional: false })
}

/// Returns what was found, or why nothing was. An error if this process may not ask.
fn complaint<T>(found: Result<T, EngineError>) -> Result<Result<T, String>, EngineError> {
    match found {
        Err(EngineError::NotPermitted) => Err(EngineError::NotPermitted),
        found => Ok(found.map_err(|error| error.in_full())),
    }
}
