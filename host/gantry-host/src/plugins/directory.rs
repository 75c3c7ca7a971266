//! The plugins directory: which `.wasm` files are new, changed or gone, and never a half-written one.
//!
//! Level-triggered: every change notice and every two seconds the directory is listed and compared with what was
//! reported before, so a lost notice only costs time. A file is reported once its length, time and inode have stood
//! still for [`SETTLE`] and did not move while it was read. A file put in place by a rename counts as any other.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant, SystemTime};

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::signature::MAX_SIGNATURE;

/// How long a file must stand still before it is read.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// How often the directory is listed when no notice comes.
const RESCAN: Duration = Duration::from_secs(2);
/// The largest file that is read.
pub const MAX_FILE: u64 = 256 << 20;
/// Reports waiting for the host.
const QUEUE: usize = 64;

/// What happened to a plugin's file. `stem` is the file's name without `.wasm`.
#[derive(Debug)]
pub(crate) enum FileEvent {
    /// A new file, or new content.
    Changed {
        /// The file's name without `.wasm`.
        stem: String,
        /// Its content, whole.
        bytes: Vec<u8>,
        /// The signature beside it, in `NAME.wasm.minisig`.
        signature: Option<String>,
    },
    /// A file that cannot be used as it stands.
    Unusable {
        /// The file's name without `.wasm`.
        stem: String,
        /// Why, for people.
        reason: String,
    },
    /// Every file that was there when the watch began has been reported. Said once.
    Surveyed,
    /// The file is gone.
    Removed {
        /// The file's name without `.wasm`.
        stem: String,
    },
}

/// The plugins directory could not be watched.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There is no such directory.
    #[error("the plugins directory {} cannot be listed: {source}; create it (mkdir -p) or name another with --plugins DIR", path.display())]
    Unlistable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start the thread that watches the plugins directory: {0}")]
    Thread(io::Error),
}

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    len: u64,
    modified: Option<SystemTime>,
    inode: u64,
    /// Length and time of the signature beside it: a file whose signature changed is another file.
    signature: Option<(u64, Option<SystemTime>)>,
}

#[derive(Debug)]
struct Seen {
    fingerprint: Fingerprint,
    since: Instant,
    reported: bool,
}

/// The comparison of listings, as a machine without a clock or a disk.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    seen: BTreeMap<String, Seen>,
}

/// A file as it was found when the watch began, and for how long nothing had changed of it then.
type Found = (String, Fingerprint, Duration);

impl Comparison {
    /// Takes what is there when the watch begins. What has stood still long enough by then need not do so again.
    fn begin(now: Instant, found: impl IntoIterator<Item = Found>) -> Self {
        let seen = |(stem, fingerprint, still): Found| {
            let since = now.checked_sub(still).unwrap_or(now);
            (stem, Seen { fingerprint, since, reported: false })
        };
        Self { seen: found.into_iter().map(seen).collect() }
    }

    /// Takes a listing; returns the stems that are gone and those that have stood still and are due to be read.
    fn compare(
        &mut self,
        now: Instant,
        listing: &BTreeMap<String, Fingerprint>,
    ) -> (Vec<String>, Vec<String>) {
        let gone: Vec<String> =
            self.seen.keys().filter(|stem| !listing.contains_key(*stem)).cloned().collect();
        for stem in &gone {
            self.seen.remove(stem);
        }
        let mut due = Vec::new();
        for (stem, fingerprint) in listing {
            match self.seen.get_mut(stem) {
                Some(seen) if seen.fingerprint == *fingerprint => {
                    if !seen.reported && now.duration_since(seen.since) >= SETTLE {
                        due.push(stem.clone());
                    }
                }
                _ => {
                    let seen = Seen { fingerprint: fingerprint.clone(), since: now, reported: false };
                    self.seen.insert(stem.clone(), seen);
                }
            }
        }
        (gone, due)
    }

    fn reported(&mut self, stem: &str) {
        if let Some(seen) = self.seen.get_mut(stem) {
            seen.reported = true;
        }
    }

    fn moved(&mut self, stem: &str) {
        self.seen.remove(stem);
    }

    fn settling(&self) -> bool {
        self.seen.values().any(|seen| !seen.reported)
    }
}

impl FileEvent {
    /// The plugin it is about; none if it is about all.
    pub(crate) fn stem(&self) -> Option<&str> {
        match self {
            Self::Changed { stem, .. } | Self::Unusable { stem, .. } | Self::Removed { stem } => Some(stem),
            Self::Surveyed => None,
        }
    }
}

/// Watches `directory` on a thread of its own until the receiver is dropped.
pub(crate) fn watch(directory: &Path) -> Result<mpsc::Receiver<FileEvent>, DirectoryError> {
    let unlistable = |source| DirectoryError::Unlistable { path: directory.to_owned(), source };
    std::fs::read_dir(directory).map_err(unlistable)?;
    let (events, receiver) = mpsc::channel(QUEUE);
    let (wake, woken) = std_mpsc::sync_channel(1);
    let directory = directory.to_owned();
    std::thread::Builder::new()
        .name("gantry-plugins-watch".into())
        .spawn(move || run(&directory, &events, &wake, &woken))
        .map_err(DirectoryError::Thread)?;
    Ok(receiver)
}

fn run(
    directory: &Path,
    events: &mpsc::Sender<FileEvent>,
    wake: &std_mpsc::SyncSender<()>,
    woken: &std_mpsc::Receiver<()>,
) {
    let wake = wake.clone();
    let watcher = notify::recommended_watcher(move |notice: notify::Result<notify::Event>| {
        if tells_of_change(&notice) {
            let _already_awake = wake.try_send(());
        }
    })
    .and_then(|mut watcher| watcher.watch(directory, RecursiveMode::NonRecursive).map(|()| watcher));
    if let Err(error) = &watcher {
        tracing::warn!(%error, "no change notices for the plugins directory; it is listed every 2 s instead");
    }
    let mut comparison = Comparison::begin(Instant::now(), found(directory));
    let mut surveyed = false;
    while !events.is_closed() {
        let delivered = match list(directory) {
            Ok(listing) => report(directory, &mut comparison, &listing, events),
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "the plugins directory cannot be listed; plugins stay as they are");
                Ok(())
            }
        };
        if delivered.is_err() {
            return;
        }
        if !surveyed && !comparison.settling() {
            surveyed = true;
            if events.blocking_send(FileEvent::Surveyed).is_err() {
                return;
            }
        }
        let pause = if comparison.settling() { SETTLE / 2 } else { RESCAN };
        let _woken_or_time = woken.recv_timeout(pause);
    }
}

/// Listing the directory is noticed as an access: whoever woke up for that would list for ever.
fn tells_of_change(notice: &notify::Result<notify::Event>) -> bool {
    !notice.as_ref().is_ok_and(|event| event.kind.is_access())
}

struct HostGone;

fn report(
    directory: &Path,
    comparison: &mut Comparison,
    listing: &BTreeMap<String, Fingerprint>,
    events: &mpsc::Sender<FileEvent>,
) -> Result<(), HostGone> {
    let (gone, due) = comparison.compare(Instant::now(), listing);
    let send = |event| events.blocking_send(event).map_err(|_closed| HostGone);
    for stem in gone {
        send(FileEvent::Removed { stem })?;
    }
    for stem in due {
        let path = directory.join(format!("{stem}.wasm"));
        match read_still(&path, listing.get(&stem)) {
            Ok(Some(bytes)) => {
                comparison.reported(&stem);
                let signature = read_signature(&path);
                send(FileEvent::Changed { stem, bytes, signature })?;
            }
            Ok(None) => comparison.moved(&stem),
            Err(error) => {
                comparison.reported(&stem);
                send(FileEvent::Unusable { stem, reason: error.to_string() })?;
            }
        }
    }
    Ok(())
}

/// The file's content, or none when it changed while it was read.
fn read_still(path: &Path, expected: Option<&Fingerprint>) -> io::Result<Option<Vec<u8>>> {
    let before = fingerprint(path)?;
    if Some(&before) != expected {
        return Ok(None);
    }
    if before.len > MAX_FILE {
        let message = format!("{} bytes are more than a plugin may have ({MAX_FILE})", before.len);
        return Err(io::Error::other(message));
    }
    let bytes = std::fs::read(path)?;
    let after = fingerprint(path)?;
    Ok((after == before && bytes.len() as u64 == before.len).then_some(bytes))
}

fn list(directory: &Path) -> io::Result<BTreeMap<String, Fingerprint>> {
    let mut listing = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        // A file that vanishes between listing and looking is simply not there.
        if !stem.starts_with('.')
            && path.is_file()
            && let Ok(fingerprint) = fingerprint(&path)
        {
            listing.insert(stem.to_owned(), fingerprint);
        }
    }
    Ok(listing)
}

/// What is there. Nothing, where the directory cannot be listed: the next listing tells why.
fn found(directory: &Path) -> Vec<Found> {
    let listing = list(directory).unwrap_or_default().into_iter();
    listing
        .map(|(stem, fingerprint)| {
            let still = still_for(&directory.join(format!("{stem}.wasm"))).unwrap_or_default();
            (stem, fingerprint, still)
        })
        .collect()
}

/// How long ago the file, or what is known of it, was changed last, so that neither an old date that was copied with
/// it nor a rename counts as standing still.
fn still_for(path: &Path) -> Option<Duration> {
    let metadata = std::fs::metadata(path).ok()?;
    let modified = metadata.modified().ok()?.elapsed().ok()?;
    #[cfg(unix)]
    let changed = {
        use std::os::unix::fs::MetadataExt as _;
        let at =
            Duration::new(u64::try_from(metadata.ctime()).ok()?, u32::try_from(metadata.ctime_nsec()).ok()?);
        (SystemTime::UNIX_EPOCH + at).elapsed().ok()?
    };
    #[cfg(not(unix))]
    let changed = modified;
    Some(modified.min(changed))
}

/// The signature beside a component, if there is one that may be one.
fn read_signature(component: &Path) -> Option<String> {
    let path = component.with_extension("wasm.minisig");
    let sound = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= MAX_SIGNATURE);
    if sound { std::fs::read_to_string(path).ok() } else { None }
}

/// Reads a plugin's file as it is now, with the signature beside it. Blocks.
///
/// # Errors
/// It cannot be read, is too long, or changes meanwhile.
pub(super) fn read_now(path: &Path) -> io::Result<(Vec<u8>, Option<String>)> {
    let expected = fingerprint(path)?;
    match read_still(path, Some(&expected))? {
        Some(bytes) => Ok((bytes, read_signature(path))),
        None => Err(io::Error::other("it is being written")),
    }
}

fn fingerprint(path: &Path) -> io::Result<Fingerprint> {
    let metadata = std::fs::metadata(path)?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    let signature = std::fs::metadata(path.with_extension("wasm.minisig")).ok();
    let signature = signature.map(|metadata| (metadata.len(), metadata.modified().ok()));
    Ok(Fingerprint { len: metadata.len(), modified: metadata.modified().ok(), inode, signature })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(files: &[(&str, u64)]) -> BTreeMap<String, Fingerprint> {
        let print = |len| Fingerprint { len, modified: None, inode: 1, signature: None };
        files.iter().map(|(stem, len)| ((*stem).to_owned(), print(*len))).collect()
    }

    #[test]
    fn a_file_is_due_once_it_has_stood_still() {
        let (mut c, t) = (Comparison::default(), Instant::now());
        assert_eq!(c.compare(t, &listing(&[("a", 1)])).1, Vec::<String>::new());
        assert_eq!(c.compare(t + SETTLE / 2, &listing(&[("a", 2)])).1, Vec::<String>::new(), "it grew");
        assert_eq!(c.compare(t + SETTLE, &listing(&[("a", 2)])).1, Vec::<String>::new(), "not long enough");
        assert_eq!(c.compare(t + SETTLE * 2, &listing(&[("a", 2)])).1, vec!["a"]);
        c.reported("a");
        assert_eq!(c.compare(t + SETTLE * 9, &listing(&[("a", 2)])).1, Vec::<String>::new(), "reported once");
    }

    #[test]
    fn a_file_that_stood_still_before_the_watch_is_due_at_once() {
        let t = Instant::now() + SETTLE * 10;
        let all = listing(&[("fresh", 1), ("grows", 1), ("old", 1)]);
        let ages = [("fresh", Duration::ZERO), ("grows", SETTLE * 2), ("old", SETTLE * 2)];
        let found = ages.map(|(stem, still)| (stem.to_owned(), all[stem].clone(), still));
        let mut c = Comparison::begin(t, found);
        let now = listing(&[("fresh", 1), ("grows", 2), ("old", 1)]);
        assert_eq!(c.compare(t, &now).1, vec!["old"]);
        c.reported("old");
        assert_eq!(c.compare(t + SETTLE, &now).1, vec!["fresh", "grows"]);
    }

    #[test]
    fn a_copied_date_does_not_make_a_fresh_file_old() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("orders.wasm");
        let file = std::fs::File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - SETTLE * 1_000).unwrap();
        assert!(still_for(&path).unwrap() < SETTLE * 900);
    }

    #[test]
    fn listing_the_directory_wakes_nobody_and_a_change_does() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("orders.wasm"), b"one").unwrap();
        let (sender, notices) = std_mpsc::channel();
        let mut watcher = notify::recommended_watcher(move |notice| {
            if tells_of_change(&notice) {
                sender.send(notice.unwrap()).unwrap();
            }
        })
        .unwrap();
        watcher.watch(directory.path(), RecursiveMode::NonRecursive).unwrap();
        for _ in 0..3 {
            assert_eq!(list(directory.path()).unwrap().len(), 1);
            assert_eq!(std::fs::read(directory.path().join("orders.wasm")).unwrap(), b"one");
        }
        std::fs::write(directory.path().join("changed.wasm"), b"two").unwrap();
        let first = notices.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(first.paths.iter().all(|path| path.ends_with("changed.wasm")), "{first:?}");
    }

    #[test]
    fn a_vanished_file_is_gone_once() {
        let (mut c, t) = (Comparison::default(), Instant::now());
        c.compare(t, &listing(&[("a", 1)]));
        assert_eq!(c.compare(t, &listing(&[])).0, vec!["a"]);
        assert_eq!(c.compare(t, &listing(&[])).0, Vec::<String>::new());
    }

    async fn next(events: &mut mpsc::Receiver<FileEvent>) -> FileEvent {
        tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn files_are_reported_whole_when_written_renamed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("orders.wasm");
        std::fs::write(&file, b"one").unwrap();
        std::fs::write(directory.path().join("notes.txt"), b"not a plugin").unwrap();
        let mut events = watch(directory.path()).unwrap();
        assert!(
            matches!(next(&mut events).await, FileEvent::Changed { stem, bytes, .. } if stem == "orders" && bytes == b"one")
        );
        assert!(matches!(next(&mut events).await, FileEvent::Surveyed));

        let aside = directory.path().join("orders.wasm.new");
        std::fs::write(&aside, b"two").unwrap();
        std::fs::rename(&aside, &file).unwrap();
        assert!(matches!(next(&mut events).await, FileEvent::Changed { bytes, .. } if bytes == b"two"));

        std::fs::remove_file(&file).unwrap();
        assert!(matches!(next(&mut events).await, FileEvent::Removed { stem } if stem == "orders"));
    }

    #[test]
    fn a_missing_directory_is_refused_with_the_way_to_mend_it() {
        let error = watch(Path::new("/nonexistent/plugins")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/plugins") && error.contains("mkdir -p"), "{error}");
    }
}
