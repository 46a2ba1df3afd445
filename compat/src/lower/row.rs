//! The matches of one rule, as they are combined.

/// One condition of iptables: an option, of a match module or of iptables itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    module: Option<&'static str>,
    negated: bool,
    option: &'static str,
    values: Vec<String>,
}

impl Part {
    /// Returns an option of iptables itself.
    pub(super) fn base(option: &'static str, value: &str) -> Self {
        Self { module: None, negated: false, option, values: vec![value.into()] }
    }

    /// Returns the same, negated.
    pub(super) fn negated(option: &'static str, value: &str) -> Self {
        Self { negated: true, ..Self::base(option, value) }
    }

    /// Returns an option of a match module.
    pub(super) fn of(module: &'static str, option: &'static str, values: &[&str]) -> Self {
        let values = values.iter().map(ToString::to_string).collect();
        Self { module: Some(module), negated: false, option, values }
    }

    /// Returns the same, negated.
    pub(super) fn not(self) -> Self {
        Self { negated: true, ..self }
    }

    /// Returns one condition in place of two different ones of the same option: a packet has one protocol, and one interface
    /// that it arrives on. Returns nothing if they can't both hold. An error if iptables has no such condition.
    fn and(&self, other: &Self) -> Result<Option<Self>, String> {
        match self.option {
            "-p" if !self.negated && !other.negated => Ok(None),
            "-i" | "-o" if !self.negated && !other.negated => Ok(self.narrower(other).cloned()),
            _ => Err(format!("two conditions `{}` in one rule", self.option)),
        }
    }

    /// Returns which of two conditions on an interface is part of the other one, if one is.
    fn narrower<'a>(&'a self, other: &'a Self) -> Option<&'a Self> {
        match (self.covers(other), other.covers(self)) {
            (true, _) => Some(other),
            (false, true) => Some(self),
            (false, false) => None,
        }
    }

    /// Returns whether this one, of an interface, holds whenever the other one does. A `+` at the end stands for anything.
    fn covers(&self, other: &Self) -> bool {
        self.values.iter().zip(&other.values).all(|(own, other)| match own.strip_suffix('+') {
            Some(prefix) => other.starts_with(prefix),
            None => own == other,
        })
    }

    fn words(&self) -> Vec<String> {
        let negation = self.negated.then(|| "!".to_owned());
        negation.into_iter().chain([self.option.to_owned()]).chain(self.values.iter().cloned()).collect()
    }
}

/// The conditions of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    base: Vec<Part>,
    modules: Vec<Vec<Part>>,
}

impl Row {
    /// Adds these conditions to the row. Returns nothing if they can't all hold. An error if iptables can't ask for all of
    /// them at once.
    pub(super) fn with(mut self, parts: &[Part]) -> Result<Option<Self>, String> {
        for part in parts {
            match part.module {
                Some(module) => self.add_to_module(module, part),
                None => match self.base.iter_mut().find(|other| other.option == part.option) {
                    None => self.base.push(part.clone()),
                    Some(other) if other == part => {}
                    Some(other) => match other.and(part)? {
                        Some(both) => *other = both,
                        None => return Ok(None),
                    },
                },
            }
        }
        Ok(Some(self))
    }

    /// A module is asked once for several options if that has the same meaning.
    fn add_to_module(&mut self, module: &'static str, part: &Part) {
        let is_free = |group: &&mut Vec<Part>| {
            group.iter().all(|other| other.module == Some(module) && other.option != part.option)
        };
        let group =
            self.modules.iter_mut().find(is_free).filter(|_| module == "conntrack" || module == "addrtype");
        match group {
            Some(group) => group.push(part.clone()),
            None => self.modules.push(vec![part.clone()]),
        }
    }

    /// Returns the words: iptables' own options first, because modules ask for the protocol.
    pub(super) fn words(&self) -> Vec<String> {
        let base = self.base.iter().flat_map(Part::words);
        let modules = self.modules.iter().flat_map(|group| {
            let module = group.first().and_then(|part| part.module).unwrap_or_default();
            let name = ["-m".to_owned(), module.to_owned()];
            name.into_iter().chain(group.iter().flat_map(Part::words))
        });
        base.chain(modules).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(one: Part, other: Part) -> Result<Option<Vec<String>>, String> {
        let row = Row::default().with(&[one])?.and_then(|row| row.with(&[other]).transpose()).transpose()?;
        Ok(row.map(|row| row.words()))
    }

    #[test]
    fn of_two_interfaces_the_narrower_counts() {
        for (one, other, expected) in [
            ("docker0", "docker0", Some("docker0")),
            ("br-+", "br-1", Some("br-1")),
            ("br-1", "br-+", Some("br-1")),
            ("b+", "br-+", Some("br-+")),
            ("docker0", "br-+", None),
            ("eth0", "eth1", None),
        ] {
            let words = both(Part::base("-i", one), Part::base("-i", other)).unwrap();
            assert_eq!(words, expected.map(|name| vec!["-i".to_owned(), name.to_owned()]), "{one} {other}");
        }
        assert!(both(Part::base("-i", "eth0"), Part::negated("-i", "wg0")).is_err());
    }
}
