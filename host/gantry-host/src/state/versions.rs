//! The versions of one plugin that have served, and their components, so that one of them can be brought back: a folder for
//! each plugin, with `versions.json` and a file for each content, `HASH.wasm`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{StateDirectory, files, unix_millis};
use crate::status::{HeldBack, Quarantined, VersionLine};

/// Versions that are remembered of each plugin.
const MOST_VERSIONS: usize = 10;
/// Bytes of components that are kept of each plugin; the version that serves and the one before it are kept in any case.
const MOST_BYTES: u64 = 512 << 20;
/// Contents in quarantine that are remembered of each plugin.
const MOST_QUARANTINED: usize = 32;
/// The longest reason that is kept, in characters.
const REASON: usize = 500;
/// The largest `versions.json` that is read.
const RECORD_MAX: u64 = 1 << 20;

/// What is remembered of a plugin's versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VersionRecord {
    /// Oldest first; the last one without an end serves, or did when the host stopped.
    pub(crate) served: Vec<VersionLine>,
    pub(crate) held_back: Option<HeldBack>,
    /// Oldest first.
    pub(crate) quarantined: Vec<Quarantined>,
}

/// The versions of one plugin. Every change blocks for some file operations; one that cannot be written is logged, and
/// holds until the host stops.
#[derive(Debug)]
pub(crate) struct Versions {
    folder: PathBuf,
    record: Arc<VersionRecord>,
}

/// Where a version's component is kept, with its signature beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptContent(PathBuf);

/// The folder with the components of one plugin.
#[derive(Debug, Clone)]
pub(crate) struct Contents(PathBuf);

impl Contents {
    /// Where the component of this hash is kept, or would be.
    pub(crate) fn content(&self, hash: &str) -> KeptContent {
        KeptContent(self.0.join(format!("{hash}.wasm")))
    }
}

impl KeptContent {
    /// Reads the component and its signature, if it had one.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(&self, max: u64, max_signature: u64) -> io::Result<(Vec<u8>, Option<String>)> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let bytes = files::read(&self.0, max)?.ok_or_else(missing)?;
        let signature = files::read(&signature_beside(&self.0), max_signature)?;
        Ok((bytes, signature.and_then(|bytes| String::from_utf8(bytes).ok())))
    }

    /// Keeps a component and its signature; what is kept already is not written again.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, bytes: &[u8], signature: Option<&str>) -> io::Result<()> {
        if let Some(signature) = signature {
            files::replace(&signature_beside(&self.0), signature.as_bytes(), None)?;
        }
        let kept = fs::metadata(&self.0).is_ok_and(|metadata| metadata.len() == bytes.len() as u64);
        if kept { Ok(()) } else { files::replace(&self.0, bytes, None) }
    }

    fn exists(&self) -> bool {
        self.0.is_file()
    }
}

fn signature_beside(content: &Path) -> PathBuf {
    files::beside(content, ".minisig")
}

impl Versions {
    /// What is remembered of the plugin in the file `stem`. A damaged record is kept aside.
    pub(crate) fn open(state: &StateDirectory, stem: &str) -> Self {
        let folder = state.versions_folder(stem);
        let file = folder.join("versions.json");
        let read = files::read(&file, RECORD_MAX).and_then(|bytes| match bytes {
            Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
            None => Ok(VersionRecord::default()),
        });
        let record = read.unwrap_or_else(|fault| {
            let aside = files::set_aside(&file).map(|aside| format!("it is kept as {}", aside.display()));
            let aside = aside.unwrap_or_else(|error| format!("it could not be kept aside: {error}"));
            tracing::warn!(
                plugin = stem,
                "{} cannot be used: {fault}; {aside}; earlier versions are forgotten",
                file.display()
            );
            VersionRecord::default()
        });
        Self { folder, record: Arc::new(record) }
    }

    /// What is remembered.
    pub(crate) fn record(&self) -> &Arc<VersionRecord> {
        &self.record
    }

    /// Where the component of this hash is kept, or would be.
    pub(crate) fn content(&self, hash: &str) -> KeptContent {
        self.contents().content(hash)
    }

    /// Where components are kept, for whoever loads one elsewhere.
    pub(crate) fn contents(&self) -> Contents {
        Contents(self.folder.clone())
    }

    /// The version that serves, or did when the host stopped.
    pub(crate) fn serving(&self) -> Option<&VersionLine> {
        self.record.served.last().filter(|line| line.ended.is_none())
    }

    /// The newest version other than `hash` that may be brought back.
    pub(crate) fn before(&self, hash: &str) -> Option<&VersionLine> {
        self.record.served.iter().rev().find(|line| {
            line.hash != hash && self.quarantine_of(&line.hash).is_none() && self.content(&line.hash).exists()
        })
    }

    /// The newest version whose hash begins so and whose component is kept.
    pub(crate) fn find(&self, prefix: &str) -> Option<&VersionLine> {
        let mut newest = self.record.served.iter().rev();
        newest.find(|line| line.hash.starts_with(prefix) && self.content(&line.hash).exists())
    }

    /// Why this content is in quarantine, if it is.
    pub(crate) fn quarantine_of(&self, hash: &str) -> Option<&Quarantined> {
        self.record.quarantined.iter().find(|entry| entry.hash == hash)
    }

    /// A version serves from now on, and the one before it ends for this reason.
    pub(crate) fn began(&mut self, hash: &str, version: &str, bytes: u64, reason: &str) {
        if self.serving().is_some_and(|line| line.hash == hash) {
            return;
        }
        self.change(|record| {
            end(record, reason);
            record.served.push(VersionLine {
                hash: hash.to_owned(),
                version: version.to_owned(),
                bytes,
                began: now(),
                ended: None,
                reason: None,
            });
        });
    }

    /// No version serves from now on.
    pub(crate) fn ended(&mut self, reason: &str) {
        if self.serving().is_some() {
            self.change(|record| end(record, reason));
        }
    }

    /// The file's content of this hash does not serve until it changes; none for whatever content it has.
    pub(crate) fn hold_back(&mut self, held_back: Option<HeldBack>) {
        if self.record.held_back != held_back {
            self.change(|record| record.held_back = held_back);
        }
    }

    /// This content is not tried again by itself.
    pub(crate) fn quarantine(&mut self, hash: &str, reason: &str) {
        self.change(|record| {
            record.quarantined.retain(|entry| entry.hash != hash);
            let reason = bounded(reason);
            record.quarantined.push(Quarantined { hash: hash.to_owned(), since: now(), reason });
            let excess = record.quarantined.len().saturating_sub(MOST_QUARANTINED);
            record.quarantined.drain(..excess);
        });
    }

    /// This content may serve again.
    pub(crate) fn release(&mut self, hash: &str) {
        let held = self.record.held_back.as_ref().is_some_and(|held| held.hash == hash);
        if !held && self.quarantine_of(hash).is_none() {
            return;
        }
        self.change(|record| {
            record.quarantined.retain(|entry| entry.hash != hash);
            record.held_back.take_if(|held| held.hash == hash);
        });
    }

    fn change(&mut self, edit: impl FnOnce(&mut VersionRecord)) {
        let mut record = VersionRecord::clone(&self.record);
        edit(&mut record);
        bound(&mut record.served);
        self.record = Arc::new(record);
        if let Err(error) = self.save() {
            tracing::warn!(
                "the versions of a plugin cannot be kept in {}: {error}; a rollback after a restart may miss some",
                self.folder.display()
            );
        }
    }

    fn save(&self) -> io::Result<()> {
        files::replace(&self.folder.join("versions.json"), &serde_json::to_vec_pretty(&*self.record)?, None)?;
        self.prune()
    }

    /// Removes components that no remembered version has.
    fn prune(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let hash = name.split_once(".wasm").map(|(hash, _)| hash);
            if hash.is_some_and(|hash| self.record.served.iter().all(|line| line.hash != hash)) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

fn end(record: &mut VersionRecord, reason: &str) {
    if let Some(line) = record.served.last_mut().filter(|line| line.ended.is_none()) {
        (line.ended, line.reason) = (Some(now()), Some(bounded(reason)));
    }
}

/// The oldest go first. Of the two newest contents none does.
fn bound(served: &mut Vec<VersionLine>) {
    let bytes = |served: &[VersionLine]| -> u64 {
        let mut contents: Vec<_> = served.iter().map(|line| (&line.hash, line.bytes)).collect();
        contents.sort_unstable();
        contents.dedup();
        contents.iter().map(|(_, bytes)| bytes).sum()
    };
    while served.len() > 2 && (served.len() > MOST_VERSIONS || bytes(served) > MOST_BYTES) {
        served.remove(0);
    }
}

fn bounded(reason: &str) -> String {
    reason.chars().take(REASON).collect()
}

fn now() -> u64 {
    u64::try_from(unix_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        base: tempfile::TempDir,
        state: StateDirectory,
    }

    fn place() -> Place {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::take(base.path(), "h").unwrap();
        Place { base, state }
    }

    fn serve(versions: &mut Versions, hash: &str) {
        versions.content(hash).write(hash.as_bytes(), None).unwrap();
        versions.began(hash, "1", hash.len() as u64, "another took over");
    }

    fn hashes(versions: &Versions) -> Vec<&str> {
        versions.record.served.iter().map(|line| line.hash.as_str()).collect()
    }

    #[test]
    fn what_served_is_found_again_and_the_one_before_it_can_be_read() {
        let place = place();
        let mut versions = Versions::open(&place.state, "orders");
        for hash in ["aa", "bb", "bb", "cc"] {
            serve(&mut versions, hash);
        }
        assert_eq!(hashes(&versions), ["aa", "bb", "cc"]);
        let again = Versions::open(&place.state, "orders");
        assert_eq!(again.record, versions.record);
        assert_eq!(again.serving().unwrap().hash, "cc");
        let before = again.before("cc").unwrap();
        assert_eq!((&*before.hash, before.reason.as_deref()), ("bb", Some("another took over")));
        assert_eq!(again.content("bb").read(9, 9).unwrap(), (b"bb".to_vec(), None));
        assert_eq!(again.find("a").unwrap().hash, "aa");
        assert!(again.find("dd").is_none());
        assert_eq!(Versions::open(&place.state, "other").record, Arc::default());
    }

    #[test]
    fn a_version_in_quarantine_is_not_brought_back() {
        let place = place();
        let mut versions = Versions::open(&place.state, "orders");
        for hash in ["aa", "bb", "cc"] {
            serve(&mut versions, hash);
        }
        versions.quarantine("bb", "it crashed");
        assert_eq!(versions.before("cc").unwrap().hash, "aa");
        assert_eq!(versions.quarantine_of("bb").unwrap().reason, "it crashed");
        versions.release("bb");
        assert_eq!(versions.before("cc").unwrap().hash, "bb");
        for number in 0..100 {
            versions.quarantine(&number.to_string(), &"x".repeat(10_000));
        }
        assert_eq!(
            (versions.record.quarantined.len(), versions.record.quarantined[0].reason.len()),
            (32, 500)
        );
    }

    #[test]
    fn versions_and_their_components_are_bounded() {
        let place = place();
        let mut versions = Versions::open(&place.state, "orders");
        for number in 0..30 {
            serve(&mut versions, &format!("{number:02}"));
        }
        assert_eq!(hashes(&versions).len(), 10);
        assert_eq!(hashes(&versions)[0], "20");
        let files = fs::read_dir(place.base.path().join("h/plugins/orders")).unwrap().count();
        assert_eq!(files, 11, "ten components and the record");
        let line =
            |hash: &str, bytes| VersionLine { hash: hash.into(), bytes, ..versions.record.served[0].clone() };
        let mut large = vec![line("aa", 1), line("bb", MOST_BYTES), line("cc", MOST_BYTES)];
        bound(&mut large);
        assert_eq!(large.len(), 2);
    }

    #[test]
    fn a_damaged_record_is_kept_aside() {
        let place = place();
        let mut versions = Versions::open(&place.state, "orders");
        serve(&mut versions, "aa");
        let file = place.base.path().join("h/plugins/orders/versions.json");
        fs::write(&file, b"{").unwrap();
        assert_eq!(Versions::open(&place.state, "orders").record, Arc::default());
        assert_eq!(fs::read(files::beside(&file, ".corrupt-1")).unwrap(), b"{");
    }

    #[test]
    fn a_version_keeps_its_signature() {
        let place = place();
        let versions = Versions::open(&place.state, "orders");
        versions.content("aa").write(b"aa", Some("signed")).unwrap();
        assert_eq!(versions.content("aa").read(9, 9).unwrap().1.as_deref(), Some("signed"));
    }
}
