//! Apache RocketMQ: one cluster for a whole test process, or one to be killed.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gantry_apache::{Cluster, Options};

use crate::component::project;
use crate::scenario::installation;

/// The process's cluster, started by whoever asks first. Its servers end with the process.
pub(crate) fn shared() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    SHARED.get_or_init(|| start(&directory())).as_ref()
}

/// A cluster with its storage in this directory.
pub(crate) fn start(directory: &Path) -> Option<Cluster> {
    let installation = installation()?;
    Some(Cluster::start(&installation, Options::new(directory)).unwrap())
}

/// This process's directory. Those of processes that are no more are removed: nobody else does.
fn directory() -> PathBuf {
    let all = project().join("target/suite/apache");
    for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            let _gone_already = std::fs::remove_dir_all(entry.path());
        }
    }
    all.join(std::process::id().to_string())
}
