use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the broker did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is in use, or the address is not this machine's.
    #[error("cannot listen on {address}: {source}; choose another address or stop what uses it")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The data directory cannot be created, read or written.
    #[error("cannot use the data directory {path}: {source}")]
    DataDirectory {
        /// The configured directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another broker has the data directory open.
    #[error("the data directory {path} is in use by another broker; stop it or choose another directory")]
    DataDirectoryHeld {
        /// The configured directory.
        path: PathBuf,
    },
    /// The database in the data directory is damaged, or cannot be made.
    #[error("cannot open the message store in {place}: {source}")]
    Store {
        /// The database file, or `memory`.
        place: String,
        /// What the database said.
        source: rusqlite::Error,
    },
    /// The database was written by another version of Gantry.
    #[error(
        "the message store in {place} has format {found}, this version reads {expected}; move the directory away"
    )]
    StoreFormat {
        /// The database file.
        place: String,
        /// The format found.
        found: i64,
        /// The format this version reads.
        expected: i64,
    },
    /// The operating system gave no thread.
    #[error("cannot start the thread {name}: {source}")]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A setting breaks a rule.
    #[error("{setting}: {rule}")]
    Config {
        /// The field of [`crate::BrokerConfig`].
        setting: &'static str,
        /// The rule it breaks.
        rule: String,
    },
}

/// Why a write to the store failed. What was acknowledged before is untouched.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// No room: the disk, or the configured bound.
    #[error("the message store is full; free space or raise its limit")]
    Full,
    /// The database refused.
    #[error("the message store failed: {0}")]
    Database(String),
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Database(error.to_string()),
        }
    }
}
