//! Why there is no component: which step, what is missing, how to get it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a plugin is not built or not created.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The directory is no plugin's.
    #[error(
        "{} has no gantry-plugin.toml (and no Cargo.toml): it is no plugin's directory; \
         `gantry plugin new NAME --lang LANGUAGE` makes one", directory.display()
    )]
    NoPlugin {
        /// The directory.
        directory: PathBuf,
    },
    /// The manifest breaks a rule.
    #[error("{}: {reason}", file.display())]
    Manifest {
        /// The manifest.
        file: PathBuf,
        /// The rule, and how to keep it.
        reason: String,
    },
    /// A program that the language needs is not there.
    #[error("{what} is missing: {fix}")]
    Missing {
        /// The program.
        what: String,
        /// How to get it.
        fix: String,
    },
    /// A step ran and failed, such as compiling.
    #[error("{step} failed: {reason}")]
    Step {
        /// The step, such as `compiling the C sources`.
        step: String,
        /// What the tool said.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something is in the way of a new plugin.
    #[error("{} exists already; choose another name or another directory", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
}

/// An I/O error at a path.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_path_buf();
    move |source| BuildError::File { path, source }
}

/// A failed step.
pub(crate) fn step(step: impl Into<String>, reason: impl std::fmt::Display) -> BuildError {
    BuildError::Step { step: step.into(), reason: format!("{reason:#}") }
}

/// A program that is not there.
pub(crate) fn missing(what: impl Into<String>, fix: impl Into<String>) -> BuildError {
    BuildError::Missing { what: what.into(), fix: fix.into() }
}
