//! Where chains of others are hooked in.

/// Where chains of others are hooked in that packets meet which come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// Before routing.
    Prerouting,
    /// On the way to the host itself.
    Input,
    /// On the way to elsewhere.
    Forward,
    /// On the way out of the host.
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
