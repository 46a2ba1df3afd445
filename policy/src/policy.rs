//! The meaning of a policy file: validated, with references resolved and defaults set.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::address::{AddressRange, AddressSet};
use crate::engine_name::EngineName;
use crate::interface::IfPattern;
use crate::service::Services;

/// A whole policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Sources that reach everything.
    pub trusted: AddressSet,
    /// Sources that reach nothing.
    pub blocked: AddressSet,
    /// The exceptions, in the order of the file.
    pub allow: Vec<AllowRule>,
    /// How interfaces are sorted.
    pub interfaces: Interfaces,
    /// Who may ping the host.
    pub echo: Echo,
    /// What the other nodes of a Swarm need.
    pub swarm: Swarm,
    /// Whether drops are logged.
    pub log: Log,
    /// How the policy is put in force.
    pub engine: EngineOptions,
}

/// One `[[allow]]`: who may reach which services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowRule {
    /// The rule's name, unique in its policy.
    pub name: String,
    /// Who may reach them.
    pub from: Source,
    /// The interfaces by which they come; empty: any.
    pub incoming: Vec<IfPattern>,
    /// What they may reach.
    pub services: Services,
    /// Where the service may be.
    pub to: Target,
    /// Whether nobody else may, trusted or not.
    pub only: bool,
    /// Where the rule was written.
    pub place: Place,
}

/// The `from` of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// No `from`: everyone, containers among them.
    Everyone,
    /// The named sources.
    These {
        /// Whether `"containers"` is among them: packets that arrive on Docker's bridges.
        containers: bool,
        /// Whether `"inside"` is among them: packets that arrive on inside interfaces.
        inside: bool,
        /// The lists of addresses, none of them empty. A source is on any of them.
        lists: Vec<SourceList>,
    },
}

/// A list of addresses that a rule names. Lists are not merged, because rules share those of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceList {
    /// The group that it is; nothing for what the rule itself lists.
    pub group: Option<String>,
    /// The addresses; never empty.
    pub addresses: AddressSet,
}

impl Source {
    /// Returns the lists of addresses.
    pub fn lists(&self) -> &[SourceList] {
        match self {
            Self::Everyone => &[],
            Self::These { lists, .. } => lists,
        }
    }

    /// Returns all addresses, list by list.
    pub fn ranges(&self) -> impl Iterator<Item = AddressRange> + '_ {
        self.lists().iter().flat_map(|list| list.addresses.ranges())
    }
}

/// The `to` of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// No `to`: a process of the host, or a published port.
    Any,
    /// A process of the host, by the number that clients dial.
    Host,
    /// A published port, by the number that clients dial.
    Docker,
    /// A container's own port, after translation.
    Container,
    /// What the host forwards to anything but containers, by the number that clients dial.
    Forward,
}

impl Target {
    /// Returns whether this may be answered at an address of the host: by a process, which docker-proxy is too.
    pub fn is_answered_here(self) -> bool {
        match self {
            Self::Any | Self::Host | Self::Docker => true,
            Self::Container | Self::Forward => false,
        }
    }
}

/// The `[interfaces]` table. An interface belongs to the first class that matches: `lo`, Docker's, exempt, inside,
/// crossing, filtered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interfaces {
    /// Those whose traffic is filtered.
    pub filtered: Vec<IfPattern>,
    /// Those whose traffic is let through, except for blocked and impossible sources.
    pub exempt: Vec<IfPattern>,
    /// Docker's bridges.
    pub docker: Vec<IfPattern>,
    /// Those that lead to other networks behind this host.
    pub inside: Vec<IfPattern>,
    /// Bridges that are filtered, except for frames which only cross them.
    pub crossing: Vec<IfPattern>,
}

impl Interfaces {
    /// Returns whether `docker` matches an interface of this name.
    pub fn is_docker(&self, name: &str) -> bool {
        any_matches(&self.docker, name)
    }

    /// Returns whether `exempt` matches an interface of this name.
    pub fn is_exempt(&self, name: &str) -> bool {
        any_matches(&self.exempt, name)
    }

    /// Returns whether `inside` matches an interface of this name.
    pub fn is_inside(&self, name: &str) -> bool {
        any_matches(&self.inside, name)
    }

    /// Returns whether a pattern of any class matches an interface of this name. If none does, it is not filtered.
    pub fn covers(&self, name: &str) -> bool {
        self.patterns().any(|pattern| pattern.matches(name))
    }

    /// Returns the same, without `*`: whether the author of the policy had such an interface in mind.
    pub fn lists(&self, name: &str) -> bool {
        self.patterns().any(|pattern| !pattern.is_any() && pattern.matches(name))
    }

    fn patterns(&self) -> impl Iterator<Item = &IfPattern> {
        let Self { filtered, exempt, docker, inside, crossing } = self;
        [filtered, exempt, docker, inside, crossing].into_iter().flatten()
    }
}

fn any_matches(patterns: &[IfPattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

/// Who may ping the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Echo {
    /// Everyone.
    Accept,
    /// Trusted sources only.
    Trusted,
}

/// The `[swarm]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// The other nodes.
    pub peers: AddressSet,
    /// The UDP port of Swarm's VXLAN (`docker swarm init --data-path-port`).
    pub data_path_port: u16,
}

/// The `[log]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Whether drops are logged.
    pub drops: bool,
    /// How many lines at most.
    pub rate: Rate,
}

/// The `[engine]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Which engine.
    pub backend: Backend,
    /// Whether packets are dropped early that no rule could let through.
    pub prefilter: bool,
}

/// The engine that a policy or an operator asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Whichever suits the host.
    #[default]
    Auto,
    /// This one.
    Named(EngineName),
}

impl Backend {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::Auto, Self::Named(EngineName::Nftables), Self::Named(EngineName::Iptables)];

    /// Returns the name as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Named(engine) => engine.as_str(),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number per unit of time, as in `10/second`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    unit: RateUnit,
}

/// The unit of a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateUnit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl RateUnit {
    /// All of them, shortest first.
    pub const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    /// Returns the name as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Returns the unit's length.
    pub fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
        }
    }
}

/// The error for a string that is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number from 1 to {}, `/`, and second, minute, hour or day", Rate::MAX)]
pub struct RateError;

impl Rate {
    /// The highest count: the resolution of iptables' `limit` (XT_LIMIT_SCALE, linux/netfilter/xt_limit.h).
    pub const MAX: u32 = 10_000;

    /// Returns the rate of `count` in each `unit`, or nothing if `count` is out of bounds.
    pub fn new(count: u32, unit: RateUnit) -> Option<Self> {
        (1..=Self::MAX).contains(&count).then_some(Self { count, unit })
    }

    /// Returns how many.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Returns in what time.
    pub fn unit(self) -> RateUnit {
        self.unit
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self { count: 10, unit: RateUnit::Second }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (count, unit) = text.split_once('/').ok_or(RateError)?;
        let unit = RateUnit::ALL.into_iter().find(|known| known.name() == unit).ok_or(RateError)?;
        let digits = count.bytes().all(|byte| byte.is_ascii_digit());
        let count = digits.then(|| count.parse().ok()).flatten();
        count.and_then(|count| Self::new(count, unit)).ok_or(RateError)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit.name())
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A line of a policy file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, as it was named when it was read.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_back_and_bad_ones_are_refused() {
        for text in ["1/second", "10/minute", "10000/hour", "3/day"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in ["0/second", "10001/second", "+1/second", "10/week", "10", ""] {
            assert_eq!(text.parse::<Rate>(), Err(RateError), "{text}");
        }
    }
}
