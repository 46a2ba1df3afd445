//! The lists of a policy that have names, for who asks about one: `trusted`, `blocked` and the groups.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::address::AddressSet;
use crate::policy::Place;

/// The lists, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists(pub(crate) BTreeMap<String, Vec<Entry>>);

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where it was written.
    pub(crate) place: Place,
    /// Its addresses: of a file or a group, all of them.
    pub(crate) addresses: AddressSet,
}

impl Lists {
    /// Returns the names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the addresses of a list, if there is one of this name.
    pub fn addresses(&self, name: &str) -> Option<AddressSet> {
        Some(AddressSet::joined(self.0.get(name)?.iter().map(|entry| &entry.addresses)))
    }

    /// Returns where the first entry of a list that holds an address was written.
    pub fn place(&self, name: &str, address: IpAddr) -> Option<&Place> {
        let entries = self.0.get(name)?;
        entries.iter().find(|entry| entry.addresses.contains(address)).map(|entry| &entry.place)
    }
}
