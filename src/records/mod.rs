//! The records of dockfw's applies: the policy that is confirmed, the one before it, the one that waits to be
//! confirmed, and the one that was rolled back.
//!
//! A policy is recorded as the files that it was read from ([`Sources`]), not as the kernel's rules: it can be compiled
//! again, by either engine and by a later dockfw. [`State`] holds the role of each policy, and all its changes are
//! functions of plain data. [`Store`] keeps both in `/var/lib/dockfw`; whoever writes there holds the
//! [lock](crate::lock).

mod clock;
mod error;
mod sources;
mod state;
mod store;
mod summary;

pub(crate) use clock::{Now, new_id, unix_seconds};
pub(crate) use error::RecordError;
pub(crate) use sources::{Recorder, Sealed, Sources};
pub(crate) use state::{Pending, Record, RolledBack, State};
pub(crate) use store::Store;
pub(crate) use summary::{Summary, wall_time};
