//! Names of network interfaces, and the patterns by which a policy sorts them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The longest name of an interface in bytes: `IFNAMSIZ` (linux/if.h) without the closing NUL.
pub(crate) const MAX_NAME: usize = 15;

/// A pattern for names of interfaces: a name, or a prefix that ends in `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IfPattern {
    /// Exactly this name.
    Name(String),
    /// Every name that starts like this; the empty prefix is `*`, every name.
    Prefix(String),
}

/// Why a string is not a pattern for interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IfPatternError {
    /// It is empty.
    #[error("an interface needs a name")]
    Empty,
    /// It is longer than the kernel lets a name be.
    #[error("names of interfaces have at most {MAX_NAME} bytes")]
    TooLong,
    /// A character that no interface has in its name.
    #[error("no interface has this character in its name")]
    Character(char),
    /// A `*` that is not the last character.
    #[error("`*` can only stand at the end")]
    Star,
}

impl IfPattern {
    /// Returns whether the pattern matches an interface of this name.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }

    /// Returns whether this pattern matches every name that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Name(name)) => self.matches(name),
            (Self::Prefix(own), Self::Prefix(other)) => other.starts_with(own.as_str()),
            (Self::Name(_), Self::Prefix(_)) => false,
        }
    }

    /// Returns whether the pattern is `*`.
    pub fn is_any(&self) -> bool {
        matches!(self, Self::Prefix(prefix) if prefix.is_empty())
    }
}

/// Returns the patterns, sorted, without those that another one covers.
pub fn reduced(patterns: &[IfPattern]) -> Vec<IfPattern> {
    let mut kept = patterns.to_vec();
    kept.sort();
    kept.dedup();
    kept.retain(|pattern| !patterns.iter().any(|other| other != pattern && other.covers(pattern)));
    kept
}

impl FromStr for IfPattern {
    type Err = IfPatternError;

    fn from_str(text: &str) -> Result<Self, IfPatternError> {
        let (name, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if text.is_empty() {
            return Err(IfPatternError::Empty);
        }
        if name.len() > MAX_NAME {
            return Err(IfPatternError::TooLong);
        }
        match name.chars().find(|c| !is_name_character(*c)) {
            Some('*') => Err(IfPatternError::Star),
            Some(c) => Err(IfPatternError::Character(c)),
            None if is_prefix => Ok(Self::Prefix(name.into())),
            None => Ok(Self::Name(name.into())),
        }
    }
}

/// Returns whether dockfw accepts a character in a name. The kernel accepts more (dev_valid_name), but `"` and control
/// characters could not be written into a ruleset, and iptables reads a `+` at the end as a wildcard.
fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-@".contains(c)
}

impl fmt::Display for IfPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl Serialize for IfPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_and_prefixes() {
        let pattern = |text: &str| text.parse::<IfPattern>().unwrap();
        assert!(pattern("br-*").matches("br-0123456789ab"));
        assert!(pattern("*").matches("eth0") && pattern("*").is_any());
        assert!(pattern("docker0").matches("docker0") && !pattern("docker0").matches("docker01"));
    }

    #[test]
    fn each_misspelling_has_its_own_error() {
        let error = |text: &str| text.parse::<IfPattern>().unwrap_err();
        assert_eq!(error(""), IfPatternError::Empty);
        assert_eq!(error("b*r"), IfPatternError::Star);
        assert_eq!(error("eth0\""), IfPatternError::Character('"'));
        assert_eq!(error("eth+"), IfPatternError::Character('+'));
        assert_eq!(error("sixteen-letters-"), IfPatternError::TooLong);
    }
}
