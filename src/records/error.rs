//! Why there is no record.

use std::io;
use std::path::PathBuf;

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The system's reason.
    #[error("can't {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Not what dockfw writes.
    #[error("the record {} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Not what dockfw could write.
    #[error("the policy can't be recorded: {0}")]
    Unrecordable(String),
}
