//! Which engine `auto` means. Pure: facts in, decision out.

use dockfw_policy::engine::{EngineName, Requirement};

use super::facts::{Survey, Version};

/// From this version on, iptables can be a front end of nf_tables, and platforms that ship it have a kernel whose
/// nf_tables is more than a preview (CentOS 7: 1.4.21, Ubuntu 18.04: 1.6.1).
const NF_TABLES_ERA: Version = Version(1, 8, 0);

/// The engine to use, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The engine.
    pub(crate) engine: EngineName,
    /// Why this one.
    pub(crate) reason: String,
}

/// Decides. The error is all that is missing.
pub(crate) fn decide(facts: &Survey) -> Result<Decision, Vec<String>> {
    let (native, compat) = (missing(&facts.nftables), missing(&facts.iptables));
    let is_usable = |engine: &EngineName| match engine {
        EngineName::Nftables => native.is_empty(),
        EngineName::Iptables => compat.is_empty(),
    };
    if let Some(engine) = facts.in_force.filter(|engine| is_usable(engine)) {
        return Ok(Decision { engine, reason: "it is in force, and works".into() });
    }
    match facts.program.as_ref().filter(|program| program.version < NF_TABLES_ERA) {
        Some(program) if compat.is_empty() => {
            let version = program.version;
            Ok(Decision {
                engine: EngineName::Iptables,
                reason: format!("iptables {version} is older than {NF_TABLES_ERA}"),
            })
        }
        Some(_) => Err(compat),
        None if native.is_empty() => Ok(Decision {
            engine: EngineName::Nftables,
            reason: "the kernel takes all that the engine needs".into(),
        }),
        None if compat.is_empty() => {
            let reason = format!("the native engine can't be used: {}", native.join("; "));
            Ok(Decision { engine: EngineName::Iptables, reason })
        }
        None => Err([native, compat].concat()),
    }
}

/// Returns what an engine needs and this host lacks, in words.
pub(crate) fn missing(requirements: &[Requirement]) -> Vec<String> {
    let missing = requirements.iter().filter(|requirement| !requirement.optional);
    missing
        .filter_map(|requirement| Some(format!("{}: {}", requirement.what, requirement.missing.as_ref()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::facts::Program;

    fn requirement(missing: Option<&str>) -> Vec<Requirement> {
        let missing = missing.map(str::to_owned);
        vec![Requirement { what: "it".into(), source: "test".into(), missing, optional: false }]
    }

    fn facts(version: Option<Version>, native: Option<&str>, compat: Option<&str>) -> Survey {
        Survey {
            nftables: requirement(native),
            iptables: requirement(compat),
            program: version.map(|version| Program { version, variant: "legacy".into() }),
            in_force: None,
            unknown: Vec::new(),
        }
    }

    fn engine(facts: &Survey) -> Option<EngineName> {
        decide(facts).ok().map(|decision| decision.engine)
    }

    const OLD: Option<Version> = Some(Version(1, 6, 1));
    const NEW: Option<Version> = Some(Version(1, 8, 0));

    #[test]
    fn old_iptables_means_compat_whatever_the_kernel_takes() {
        assert_eq!(engine(&facts(OLD, None, None)), Some(EngineName::Iptables));
        assert_eq!(engine(&facts(OLD, None, Some("no ipset"))), None);
    }

    #[test]
    fn otherwise_native_is_first_and_compat_second() {
        for version in [NEW, None] {
            assert_eq!(engine(&facts(version, None, None)), Some(EngineName::Nftables));
            assert_eq!(engine(&facts(version, None, Some("no ipset"))), Some(EngineName::Nftables));
            assert_eq!(engine(&facts(version, Some("no nf_tables"), None)), Some(EngineName::Iptables));
        }
    }

    #[test]
    fn where_neither_works_all_is_named() {
        let Err(missing) = decide(&facts(NEW, Some("no nf_tables"), Some("no ipset"))) else {
            panic!("something was chosen")
        };
        assert_eq!(missing, ["it: no nf_tables", "it: no ipset"]);
    }

    #[test]
    fn what_is_in_force_stays_while_it_works() {
        let compat = Survey { in_force: Some(EngineName::Iptables), ..facts(NEW, None, None) };
        assert_eq!(engine(&compat), Some(EngineName::Iptables));
        let broken = Survey { in_force: Some(EngineName::Iptables), ..facts(NEW, None, Some("no ipset")) };
        assert_eq!(engine(&broken), Some(EngineName::Nftables));
        let native = Survey { in_force: Some(EngineName::Nftables), ..facts(OLD, None, None) };
        assert_eq!(engine(&native), Some(EngineName::Nftables));
    }
}
