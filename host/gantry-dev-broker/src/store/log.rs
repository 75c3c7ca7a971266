//! The runs of a large transaction lie in files beside the database, which has only their places: a run is written once there, where
//! the database would write it to its log, read it again and write it to its file. Behind a run's records are its entries and keys.
//!
//! A file is appended to before the transaction with the run's place commits. What lies behind the last committed place
//! is of no transaction and is written over. A file is flushed when it is full; the last two may lack what a power failure took.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::buffers::Buffers;
use crate::error::StoreError;
use crate::sync::lock;

/// Transactions with at least so many bytes of runs have them in files.
pub(super) const LARGE: usize = 16 * 1024;
/// A file of this size or more is not appended to.
const FILE_BYTES: u32 = 64 * 1024 * 1024;

/// The runs in files, as they are read.
#[derive(Debug)]
pub(super) struct Log {
    files: Arc<Files>,
    /// Whether a read waits for the disk.
    waits: bool,
}

/// The files, open or to be opened.
#[derive(Debug)]
struct Files {
    /// `None` in memory, where every run is in the database.
    directory: Option<PathBuf>,
    open: Mutex<BTreeMap<i64, Arc<File>>>,
    buffers: Arc<Buffers>,
}

/// Where a run is in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InFile {
    pub(super) file: i64,
    pub(super) at: u32,
    pub(super) size: u32,
    /// Checksum (CRC-32), which tells whether all of it reached the disk.
    pub(super) crc: u32,
}

impl InFile {
    /// What the commit log's file, at, size and crc say, which a row has from this column on; `None` for a run that is in the database.
    pub(super) fn of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Self>> {
        let Some(file) = row.get(column)? else { return Ok(None) };
        let (at, size, crc) = (row.get(column + 1)?, row.get(column + 2)?, row.get(column + 3)?);
        Ok(Some(Self { file, at, size, crc }))
    }
}

/// Where the next run goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    file: i64,
    at: u32,
}

impl Log {
    pub(super) fn new(directory: Option<PathBuf>) -> Self {
        let files = Files { directory, open: Mutex::default(), buffers: Arc::default() };
        Self { files: Arc::new(files), waits: true }
    }

    /// The same files, of which only that is read which the system has in memory; anything else is an error.
    pub(super) fn without_waiting(&self) -> Self {
        Self { files: Arc::clone(&self.files), waits: false }
    }

    /// All of a run, as it was written.
    fn whole(&self, place: InFile) -> io::Result<Bytes> {
        self.read(place, 0..place.size as usize)
    }

    /// Some of the bytes of a run.
    pub(super) fn read(&self, place: InFile, part: Range<usize>) -> io::Result<Bytes> {
        let file = self.files.file(place.file, false)?;
        let mut buffer = self.files.buffers.lend(part.len());
        let begin = u64::from(place.at) + part.start as u64;
        match self.waits {
            true => file.read_exact_at(buffer.as_mut(), begin)?,
            false => read_present(&file, buffer.as_mut(), begin)?,
        }
        Ok(Bytes::from_owner(buffer))
    }

    /// Whether all of a run is there. An error where that cannot be told: then nothing is known to be lost.
    fn holds(&self, place: InFile) -> io::Result<bool> {
        match self.whole(place) {
            Ok(run) => Ok(crc32fast::hash(&run) == place.crc),
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Files {
    fn file(&self, number: i64, create: bool) -> io::Result<Arc<File>> {
        let mut open = lock(&self.open);
        if let Some(file) = open.get(&number) {
            return Ok(Arc::clone(file));
        }
        let path = self.path(number).ok_or(io::ErrorKind::NotFound)?;
        let file = File::options().read(true).write(true).create(create).open(path)?;
        let file = Arc::new(file);
        open.insert(number, Arc::clone(&file));
        Ok(file)
    }

    fn path(&self, number: i64) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(format!("records.{number}")))
    }

    /// The numbers and sizes of the files there are.
    fn sizes(&self) -> io::Result<BTreeMap<i64, u64>> {
        let Some(directory) = &self.directory else { return Ok(BTreeMap::new()) };
        let mut sizes = BTreeMap::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("records.")?.parse().ok());
            if let Some(number) = number {
                sizes.insert(number, entry.metadata()?.len());
            }
        }
        Ok(sizes)
    }

    fn remove(&self, number: i64) -> io::Result<()> {
        lock(&self.open).remove(&number);
        self.path(number).map_or(Ok(()), std::fs::remove_file)
    }
}

/// Reads what the system has in memory, or nothing.
#[cfg(target_os = "linux")]
fn read_present(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    use rustix::io::{ReadWriteFlags, preadv2};
    let size = bytes.len();
    match preadv2(file, &mut [io::IoSliceMut::new(bytes)], at, ReadWriteFlags::NOWAIT)? {
        read if read == size => Ok(()),
        _ => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Other systems do not say what they have.
#[cfg(not(target_os = "linux"))]
fn read_present(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// Drops runs that a power failure kept from the disk: their places may have reached it before them.
pub(super) fn drop_damaged(connection: &Connection, log: &Log) -> rusqlite::Result<()> {
    let mut select = connection.prepare(
        "SELECT physical, file, at, size, crc FROM commit_log
         WHERE file >= (SELECT MAX(file) - 1 FROM commit_log)
         AND physical >= COALESCE((SELECT value FROM meta WHERE name = 'flushed_physical'), 0)",
    )?;
    for row in select.query_map([], |row| Ok((row.get::<_, i64>(0)?, InFile::of(row, 1)?)))? {
        let (physical, Some(place)) = row? else { continue };
        if log.holds(place).map_err(unreadable)? {
            continue;
        }
        tracing::warn!(physical, bytes = place.size, "messages were lost in a power failure");
        // Physical offsets are parts of messages' ids and do not come back.
        connection.execute(
            "INSERT OR REPLACE INTO meta(name, value) VALUES('next_physical', MAX(?1,
                 COALESCE((SELECT value FROM meta WHERE name = 'next_physical'), 0)))",
            [physical.saturating_add(i64::from(place.size))],
        )?;
        for table in ["consume_queue", "message_key", "schedule", "prepared", "commit_log"] {
            connection.execute(&format!("DELETE FROM {table} WHERE physical = ?1"), [physical])?;
        }
    }
    Ok(())
}

/// The side that appends, which is the writer thread's.
#[derive(Debug)]
pub(super) struct LogWriter {
    pub(super) log: Arc<Log>,
    end: End,
    /// Sizes of the files, what no transaction committed included.
    sizes: BTreeMap<i64, u64>,
    /// Whether each commit is flushed.
    flush_commits: bool,
    /// Most bytes that files and database may take.
    max_bytes: Option<u64>,
    flushing: Option<JoinHandle<io::Result<()>>>,
}

impl LogWriter {
    /// Goes on behind the last committed run, and removes files without one.
    pub(super) fn open(
        log: Arc<Log>,
        connection: &Connection,
        flush_commits: bool,
        max_bytes: Option<u64>,
    ) -> Result<Self, StoreError> {
        let last = connection
            .query_row(
                "SELECT file, at + size FROM commit_log WHERE file IS NOT NULL ORDER BY file DESC, at DESC LIMIT 1",
                [],
                |row| Ok(End { file: row.get(0)?, at: row.get(1)? }),
            )
            .optional()?;
        let sizes = log.files.sizes().map_err(failed)?;
        let newest = sizes.keys().next_back().copied().unwrap_or(0);
        let end = last.unwrap_or(End { file: newest + 1, at: 0 });
        let mut writer = Self { log, end, sizes, flush_commits, max_bytes, flushing: None };
        writer.forget_dead(connection)?;
        Ok(writer)
    }

    /// Where the next run goes, to come back to when a transaction fails.
    pub(super) fn end(&self) -> End {
        self.end
    }

    pub(super) fn back_to(&mut self, end: End) {
        self.end = end;
    }

    /// Whether the runs of a transaction are for files, which have so many bytes of records together.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        bytes >= LARGE && self.log.files.directory.is_some()
    }

    /// Writes a run to a file.
    pub(super) fn append(&mut self, connection: &Connection, run: &[u8]) -> Result<InFile, StoreError> {
        // A run that no offset within a file could be behind does not come: frames are shorter.
        let size = u32::try_from(run.len()).ok().filter(|size| *size <= u32::MAX - FILE_BYTES);
        let size = size.ok_or_else(|| failed(io::ErrorKind::FileTooLarge.into()))?;
        if self.end.at >= FILE_BYTES {
            self.next_file()?;
        }
        let End { file, at } = self.end;
        let end = at + size;
        let more = u64::from(end).saturating_sub(self.sizes.get(&file).copied().unwrap_or(0));
        self.make_room(connection, more)?;
        self.log.files.file(file, true).and_then(|to| to.write_all_at(run, at.into())).map_err(failed)?;
        let known = self.sizes.entry(file).or_default();
        *known = u64::from(end).max(*known);
        self.end.at = end;
        Ok(InFile { file, at, size, crc: crc32fast::hash(run) })
    }

    /// Flushes what a transaction appended since `before`, where commits are flushed.
    pub(super) fn before_commit(&self, before: End) -> Result<(), StoreError> {
        if !self.flush_commits || before == self.end {
            return Ok(());
        }
        (before.file..=self.end.file)
            .filter(|file| self.sizes.contains_key(file))
            .try_for_each(|file| self.log.files.file(file, false)?.sync_data())
            .map_err(failed)
    }

    /// Flushes what is not flushed yet.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        self.await_flush()?;
        match self.sizes.contains_key(&self.end.file) {
            true => {
                self.log.files.file(self.end.file, false).and_then(|file| file.sync_data()).map_err(failed)
            }
            false => Ok(()),
        }
    }

    /// Removes files of which no run is left, after a topic was deleted.
    pub(super) fn forget_dead(&mut self, connection: &Connection) -> Result<(), StoreError> {
        if self.sizes.is_empty() {
            return self.limit_database(connection);
        }
        let mut select = connection.prepare("SELECT DISTINCT file FROM commit_log WHERE file IS NOT NULL")?;
        let live: Vec<i64> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let dead: Vec<i64> = self.sizes.keys().filter(|file| !live.contains(file)).copied().collect();
        for file in dead {
            // Somebody may still read it; its number does not come back.
            self.log.files.remove(file).map_err(failed)?;
            self.sizes.remove(&file);
            if file == self.end.file {
                self.end = End { file: file + 1, at: 0 };
            }
        }
        self.limit_database(connection)
    }

    /// Leaves the full file to a thread that flushes it, and begins the next one.
    fn next_file(&mut self) -> Result<(), StoreError> {
        self.await_flush()?;
        let full = self.log.files.file(self.end.file, false).map_err(failed)?;
        let flush = std::thread::Builder::new().name("gantry-broker-flush".to_owned());
        self.flushing = Some(flush.spawn(move || full.sync_data()).map_err(failed)?);
        self.end = End { file: self.end.file + 1, at: 0 };
        Ok(())
    }

    fn await_flush(&mut self) -> Result<(), StoreError> {
        let Some(flushing) = self.flushing.take() else { return Ok(()) };
        flushing.join().unwrap_or_else(|_| Err(io::Error::other("the flush panicked"))).map_err(failed)
    }

    fn make_room(&self, connection: &Connection, more: u64) -> Result<(), StoreError> {
        let Some(max_bytes) = self.max_bytes else { return Ok(()) };
        let page = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        let database = u64::from(page("page_count")?) * u64::from(page("page_size")?);
        if database + self.size() + more > max_bytes {
            return Err(StoreError::Full);
        }
        self.limit(connection, self.size() + more)
    }

    fn limit_database(&self, connection: &Connection) -> Result<(), StoreError> {
        self.limit(connection, self.size())
    }

    /// Leaves the database what the files do not take.
    fn limit(&self, connection: &Connection, files: u64) -> Result<(), StoreError> {
        let rest = self.max_bytes.map(|max_bytes| max_bytes.saturating_sub(files));
        Ok(super::schema::limit_size(connection, rest)?)
    }

    fn size(&self) -> u64 {
        self.sizes.values().sum()
    }
}

/// A run whose file cannot be read, as the database's error.
pub(super) fn unreadable(error: io::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(1, Type::Blob, error.into())
}

fn failed(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Database(format!("the files of records: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "CREATE TABLE commit_log(physical INTEGER PRIMARY KEY, file INTEGER, at INTEGER, size INTEGER)";

    fn writer(directory: &std::path::Path, max_bytes: Option<u64>) -> (LogWriter, Connection) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLE).unwrap();
        let log = Arc::new(Log::new(Some(directory.into())));
        (LogWriter::open(log, &connection, false, max_bytes).unwrap(), connection)
    }

    #[test]
    fn what_was_not_committed_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, connection) = writer(directory.path(), None);
        let append = |writer: &mut LogWriter, byte: u8, size: usize| {
            writer.append(&connection, &vec![byte; size]).unwrap()
        };
        let first = append(&mut writer, 1, LARGE);
        let end = writer.end();
        append(&mut writer, 2, 2 * LARGE);
        writer.back_to(end);
        let third = append(&mut writer, 3, LARGE);
        assert_eq!((first.at, third.at), (0, 16 * 1024));
        assert_eq!(writer.log.whole(first).unwrap(), vec![1; LARGE]);
        assert_eq!(writer.log.whole(third).unwrap(), vec![3; LARGE]);
    }

    #[test]
    fn a_run_is_lost_where_it_is_cut_off_or_damaged_and_not_where_it_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, connection) = writer(directory.path(), None);
        let run = writer.append(&connection, &vec![1; LARGE]).unwrap();
        let log = || Log::new(Some(directory.path().into()));
        assert!(log().holds(run).unwrap());
        assert!(!log().holds(InFile { crc: run.crc ^ 1, ..run }).unwrap());
        assert!(!log().holds(InFile { size: run.size + 1, ..run }).unwrap());
        assert!(!log().holds(InFile { file: run.file + 1, ..run }).unwrap());
        let path = directory.path().join(format!("records.{}", run.file));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(log().holds(run).is_err());
    }

    #[test]
    fn a_read_that_does_not_wait_has_all_or_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, connection) = writer(directory.path(), None);
        let run: Vec<u8> = (0..=255).cycle().take(200 * 1024).collect();
        let place = writer.append(&connection, &run).unwrap();
        let log = writer.log.without_waiting();
        for part in [0..run.len(), 5..70_000, 100..100] {
            match log.read(place, part.clone()) {
                Ok(read) => assert_eq!(read, run[part]),
                // A file system that cannot tell.
                Err(error) => {
                    assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported));
                }
            }
        }
        assert!(log.read(place, 1..run.len() + 1).is_err());
    }

    #[test]
    fn a_full_file_is_followed_by_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, connection) = writer(directory.path(), None);
        let run = vec![1; 33 * 1024 * 1024];
        let mut append = || writer.append(&connection, &run).map(|place| (place.file, place.at));
        assert_eq!([append(), append(), append()].map(Result::unwrap), [(1, 0), (1, 33 << 20), (2, 0)]);
        writer.flush().unwrap();
    }

    #[test]
    fn few_bytes_are_not_for_files_and_many_only_where_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, connection) = writer(directory.path(), Some(64 * 1024));
        let mut append = |size: usize| writer.append(&connection, &vec![1; size]);
        append(LARGE).unwrap();
        assert!(matches!(append(3 * LARGE), Err(StoreError::Full)));
        assert_eq!([LARGE - 1, LARGE].map(|bytes| writer.takes(bytes)), [false, true]);
        let in_memory = Arc::new(Log::new(None));
        let writer = LogWriter::open(in_memory, &connection, false, None).unwrap();
        assert!(!writer.takes(LARGE));
    }
}
