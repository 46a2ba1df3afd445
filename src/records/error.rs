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
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Something that dockfw does not write.
    #[error("the record {} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that dockfw can't write.
    #[error("the policy can't be recorded: {0}")]
    Unrecordable(String),
}
