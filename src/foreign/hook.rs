//! Where chains of others are hooked in.

/// A hook that incoming packets meet, with chains of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// Before routing.
    Prerouting,
    /// Towards the host itself.
    Input,
    /// Towards elsewhere.
    Forward,
    /// Out of the host.
    Postrouting,
}

/// Where a chain is hooked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hooked {
    /// The hook.
    pub(crate) hook: Hook,
    /// Its place among the chains of the hook: the lowest is first.
    pub(crate) priority: i32,
    /// Whether it translates addresses, and filters nothing.
    pub(crate) translates: bool,
    /// Whether it drops what no rule decides about.
    pub(crate) drops: bool,
}
