//! The names by which dockfw's chains and sets are known among those of others.

use dockfw_policy::address::Family;
use dockfw_policy::digest::Digest;

/// The chain of the Prerouting hook.
pub const PREROUTING: &str = "DOCKFW-PRE";
/// The chain to which packets of live connections go from there.
pub const LIVE: &str = "DOCKFW-LIVE";
/// The chain to which packets from some interfaces go from there: the only hook at which iptables can ask for the route
/// back to a source.
pub const SOURCES: &str = "DOCKFW-SOURCES";
/// The chain of the Input hook.
pub const INPUT: &str = "FILTERS";
/// The chain of the Forward hook.
pub const FORWARD: &str = "DOCKFW-USER";
/// The chain that dockfw had in table raw, before everything that depends on the policy was in one table.
const RAW: &str = "DOCKFW-RAW";
/// Docker's chain for the operator's rules.
pub const DOCKER_USER: &str = "DOCKER-USER";

/// The comment of a jump that Docker itself would have made, if it had been there.
const STAND_IN: &str = "dockfw, until Docker comes";

/// Returns whether a chain is the engine's own: one of these, a continuation of one, or one for some ports.
pub(crate) fn is_own_chain(name: &str) -> bool {
    [PREROUTING, LIVE, SOURCES, INPUT, FORWARD, RAW].iter().any(|own| match name.strip_prefix(own) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('-').is_some_and(|rest| rest.split('-').all(is_number_or_port)),
        None => false,
    })
}

/// Returns whether only the engine has chains of this name: others have chains called FILTERS too.
pub(crate) fn is_unmistakable(name: &str) -> bool {
    name.starts_with("DOCKFW-") && is_own_chain(name)
}

/// Returns whether this is a number, or a port after the letter of its protocol.
fn is_number_or_port(text: &str) -> bool {
    let text = text.strip_prefix(['T', 'U', 'S']).unwrap_or(text);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the words of the jump to DOCKER-USER that stands in for Docker's until Docker makes its own.
pub fn stand_in_for_docker() -> Vec<String> {
    ["-m", "comment", "--comment", STAND_IN, "-j", DOCKER_USER].map(String::from).to_vec()
}

/// The beginning of the names of sets that are being filled, before the family and the digest.
const FILLING: &str = "dockfw-new";

/// Returns the beginning of the names of a family's sets.
pub fn set_prefix(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "dockfw4-",
        Family::Ipv6 => "dockfw6-",
    }
}

/// Returns the name under which a set is filled. `name` is its final name, which ends in a digest.
pub fn filling_set(name: &str, family: Family) -> String {
    let digest = name.rsplit_once('-').map_or("", |(_, digest)| digest);
    let family = if family == Family::Ipv4 { '4' } else { '6' };
    format!("{FILLING}{family}-{digest}")
}

/// Returns whether a set is the engine's own, finished or not.
pub fn is_own_set(name: &str) -> bool {
    let beginnings = [set_prefix(Family::Ipv4), set_prefix(Family::Ipv6), FILLING];
    let is_known = beginnings.iter().any(|beginning| name.starts_with(beginning));
    is_known && name.rsplit_once('-').is_some_and(|(_, digest)| Digest::is_letters(digest))
}

/// Returns whether a set is one that was never finished.
pub fn is_filling_set(name: &str) -> bool {
    is_own_set(name) && name.starts_with(FILLING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_known_by_their_names() {
        for own in [
            "FILTERS",
            "FILTERS-2",
            "DOCKFW-LIVE",
            "DOCKFW-USER-12",
            "DOCKFW-USER-2-T1-16383",
            "FILTERS-2-U53-53",
        ] {
            assert!(is_own_chain(own), "{own}");
        }
        for other in [
            "FILTERS-",
            "FILTERS2",
            "FILTERS-web",
            "FILTERS-2-T",
            "DOCKFW",
            "DOCKER-USER",
            "DOCKFW-USER-2-X1-2",
        ] {
            assert!(!is_own_chain(other), "{other}");
        }
    }
}
