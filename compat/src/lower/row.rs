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
                None => match self.base.iter().find(|other| other.option == part.option) {
                    None => self.base.push(part.clone()),
                    Some(other) if other == part => {}
                    // A packet has one protocol.
                    Some(other) if part.option == "-p" && !part.negated && !other.negated => return Ok(None),
                    Some(_) => return Err(format!("two conditions `{}` in one rule", part.option)),
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
