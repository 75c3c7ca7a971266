//! Compiled code on disk, so that a restart does not compile again.
//!
//! An entry is found by the content hash of the component and a hash of everything about the engine that its code
//! depends on. It is written beside its place and renamed into it, and carries a checksum: a torn, altered or foreign
//! file is ignored and replaced. Compiled code is run as it is, so the directory belongs to its user alone (mode 0700),
//! and nothing is ever read from a plugins directory as compiled code.

use std::{
    fs,
    hash::Hash as _,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmtime::component::Component;

use crate::hash::ContentHash;

/// First bytes of an entry; the last is the version of the layout.
const MAGIC: &[u8; 8] = b"gantryc\x01";
/// Magic, content hash, engine hash, checksum.
const HEADER: usize = 8 + 32 + 32 + 4;

/// Why the directory is not used.
#[derive(Debug, Error)]
pub(crate) enum CacheError {
    /// It cannot be made.
    #[error("cannot make the cache directory {path}: {source}")]
    Create {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be made private.
    #[error(
        "the cache directory {path} cannot be made private to this user (mode 0700): {source}; \
         compiled code is run as it is, so others must not write there: name another directory"
    )]
    Private {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A directory of compiled components.
#[derive(Debug)]
pub(crate) struct CodeCache {
    dir: PathBuf,
    max_bytes: u64,
    engine: [u8; 32],
}

impl CodeCache {
    pub(crate) fn open(dir: &Path, max_bytes: u64, engine: &wasmtime::Engine) -> Result<Self, CacheError> {
        let path = || dir.to_path_buf();
        fs::create_dir_all(dir).map_err(|source| CacheError::Create { path: path(), source })?;
        make_private(dir).map_err(|source| CacheError::Private { path: path(), source })?;
        Ok(Self { dir: path(), max_bytes, engine: engine_hash(engine) })
    }

    /// The compiled form of the component with this content, if there is a sound one.
    pub(crate) fn load(&self, engine: &wasmtime::Engine, hash: &ContentHash) -> Option<Component> {
        let path = self.path(hash);
        let entry = fs::read(&path).ok()?;
        let Some(code) = self.check(&entry, hash) else {
            tracing::warn!("ignoring {}: not a sound entry of the compiled-code cache", path.display());
            return None;
        };
        match deserialize(engine, code) {
            Ok(component) => {
                touch(&path);
                Some(component)
            }
            Err(error) => {
                tracing::warn!("ignoring {}: {error:#}", path.display());
                None
            }
        }
    }

    /// Keeps the compiled form. A cache that cannot be written costs time, nothing else: it is logged.
    pub(crate) fn store(&self, hash: &ContentHash, component: &Component) {
        let written =
            component.serialize().map_err(io::Error::other).and_then(|code| self.write(hash, &code));
        match written {
            Ok(()) => self.prune(),
            Err(error) => tracing::warn!("cannot keep compiled code in {}: {error}", self.dir.display()),
        }
    }

    fn path(&self, hash: &ContentHash) -> PathBuf {
        let engine: String = self.engine.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        self.dir.join(format!("{hash}-{engine}.cwasm"))
    }

    /// The code of an entry that is whole and meant for this content and this engine.
    fn check<'a>(&self, entry: &'a [u8], hash: &ContentHash) -> Option<&'a [u8]> {
        let (header, code) = entry.split_at_checked(HEADER)?;
        (header == self.header(hash, code).as_slice()).then_some(code)
    }

    fn header(&self, hash: &ContentHash, code: &[u8]) -> Vec<u8> {
        let checksum = crc32fast::hash(code).to_le_bytes();
        [MAGIC.as_slice(), hash.as_bytes(), &self.engine, &checksum].concat()
    }

    fn write(&self, hash: &ContentHash, code: &[u8]) -> io::Result<()> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!(".{hash}.{}.{serial}.tmp", std::process::id()));
        let entry = [self.header(hash, code).as_slice(), code].concat();
        let renamed = fs::write(&temporary, entry).and_then(|()| fs::rename(&temporary, self.path(hash)));
        if renamed.is_err() {
            // Best effort: what is left over is pruned by age.
            let _ = fs::remove_file(&temporary);
        }
        renamed
    }

    /// Removes the entries unused longest until the rest fits.
    fn prune(&self) {
        let Ok(files) = fs::read_dir(&self.dir) else { return };
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = files
            .filter_map(|file| {
                let file = file.ok()?;
                let meta = file.metadata().ok().filter(fs::Metadata::is_file)?;
                Some((meta.modified().ok()?, meta.len(), file.path()))
            })
            .collect();
        entries.sort_unstable_by(|a, b| b.cmp(a));
        let mut total = 0_u64;
        for (_, bytes, path) in entries {
            total = total.saturating_add(bytes);
            if total > self.max_bytes && fs::remove_file(&path).is_ok() {
                tracing::debug!("removed {} from the compiled-code cache", path.display());
            }
        }
    }
}

/// Turns bytes this process, or an earlier one of the same user, has compiled back into code.
#[expect(unsafe_code, reason = "the one call that loads precompiled components")]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes come from `Component::serialize` of a compatible engine: they were read from a directory only
    // this user can write to, under a header that names the content, the engine and a checksum, all of which matched.
    unsafe { Component::deserialize(engine, code) }
}

/// Marks an entry as used now.
fn touch(path: &Path) {
    let touched =
        fs::File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::debug!("cannot mark {} as used: {error}", path.display());
    }
}

#[cfg(unix)]
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // Only the owner may change the mode, so this also tells whose directory it is.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn make_private(_dir: &Path) -> io::Result<()> {
    Ok(())
}

fn engine_hash(engine: &wasmtime::Engine) -> [u8; 32] {
    let mut hasher = ShaHasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}

/// Feeds what is hashed to SHA-256, whose result stays the same from run to run.
struct ShaHasher(Sha256);

impl std::hash::Hasher for ShaHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
}
