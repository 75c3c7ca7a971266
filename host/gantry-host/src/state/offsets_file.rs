//! The offsets of a broadcasting group, in a file of RocketMQ's own format (RocketMQ: LocalFileOffsetStore, OffsetSerializeWrapper).
//!
//! A write goes to a new file that takes the place of the old one, which becomes the backup `….bak`: at every moment one
//! of the two is whole. A damaged file is kept aside and the backup is used in its stead.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use gantry_protocol::body::OffsetTable;
use gantry_protocol::{MessageQueue, fastjson};

use super::{files, lock};

/// The largest file that is read: some 500,000 queues.
const MAX_FILE: u64 = 64 << 20;

/// A broadcasting group's offsets: in memory, and in the file as they last were persisted. Shared by reference.
#[derive(Debug)]
pub(crate) struct OffsetsFile {
    path: PathBuf,
    table: Mutex<Table>,
    /// Held while writing.
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Table {
    offsets: OffsetTable,
    /// Counts the changes.
    version: u64,
}

#[derive(Debug)]
struct Written {
    /// The table's version that is in the file.
    version: u64,
    /// What is in the file's place may become the backup.
    sound: bool,
}

impl OffsetsFile {
    /// Reads the file, or its backup where it is missing or damaged; with neither there are no offsets yet. A warning
    /// tells of everything that is not as it should be. Blocks for some file operations.
    pub(crate) fn open(path: impl Into<PathBuf>) -> (Self, Option<OffsetsWarning>) {
        let path = path.into();
        let mut faults = Vec::new();
        let mut recovered = None;
        let mut found = read(&path, &mut faults);
        let sound = found.is_some();
        if found.is_none() {
            let backup = backup(&path);
            found = read(&backup, &mut faults);
            recovered = found.is_some().then_some(backup);
        }
        let warning = (recovered.is_some() || !faults.is_empty()).then(|| OffsetsWarning {
            file: path.clone(),
            faults,
            recovered,
        });
        let table = Table { offsets: found.unwrap_or_default(), version: 0 };
        let written = Written { version: 0, sound };
        (Self { path, table: Mutex::new(table), written: Mutex::new(written) }, warning)
    }

    /// The offset of a queue: the next message to consume. None if there is none yet.
    pub(crate) fn get(&self, queue: &MessageQueue) -> Option<i64> {
        lock(&self.table).offsets.offset_table.get(queue).copied()
    }

    /// Sets the offset of a queue, which may also be lower than before.
    pub(crate) fn set(&self, queue: &MessageQueue, offset: i64) {
        let mut table = lock(&self.table);
        if table.offsets.offset_table.get(queue) != Some(&offset) {
            table.offsets.offset_table.insert(queue.clone(), offset);
            table.version += 1;
        }
    }

    /// Writes the offsets if they have changed since the last time. Blocks for some file operations; `get` and `set`
    /// go on meanwhile.
    ///
    /// # Errors
    /// They could not be written: file or backup hold what they held, and the next call tries again.
    pub(crate) fn persist(&self) -> io::Result<()> {
        let mut written = lock(&self.written);
        let (version, offsets) = {
            let table = lock(&self.table);
            if table.version == written.version {
                return Ok(());
            }
            (table.version, table.offsets.clone())
        };
        let bytes = fastjson::to_vec(&offsets)?;
        let backup = written.sound.then(|| backup(&self.path));
        files::replace(&self.path, &bytes, backup.as_deref())?;
        *written = Written { version, sound: true };
        Ok(())
    }
}

fn backup(path: &Path) -> PathBuf {
    files::beside(path, ".bak")
}

/// The offsets in a file, if it is there and sound; one that is not is set aside.
fn read(path: &Path, faults: &mut Vec<Fault>) -> Option<OffsetTable> {
    let parsed = files::read(path, MAX_FILE)
        .and_then(|bytes| Ok(bytes.map(|bytes| fastjson::from_slice::<OffsetTable>(&bytes)).transpose()?));
    match parsed {
        Ok(table) => table.map(|mut table| {
            // Java's -1 stands for no offset.
            table.offset_table.retain(|_, offset| *offset >= 0);
            table
        }),
        Err(reason) => {
            faults.push(Fault { file: path.to_owned(), reason, kept: files::set_aside(path) });
            None
        }
    }
}

/// The offsets could not be read where they should be. An operator should know.
#[derive(Debug)]
pub(crate) struct OffsetsWarning {
    file: PathBuf,
    faults: Vec<Fault>,
    recovered: Option<PathBuf>,
}

#[derive(Debug)]
struct Fault {
    file: PathBuf,
    reason: io::Error,
    /// Where the damaged file is now.
    kept: io::Result<PathBuf>,
}

impl fmt::Display for OffsetsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.faults.is_empty() {
            write!(f, "the offsets file {} is missing; ", self.file.display())?;
        }
        for fault in &self.faults {
            write!(f, "{fault}; ")?;
        }
        match &self.recovered {
            Some(backup) => write!(f, "the offsets of the backup {} are used", backup.display()),
            None => {
                f.write_str("there is no sound backup either, so the group begins as one without offsets")
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, reason, kept } = self;
        write!(f, "the offsets file {} cannot be used: {reason}; ", file.display())?;
        match kept {
            Ok(aside) => write!(f, "it is kept as {}", aside.display()),
            Err(error) => write!(f, "it could not be kept aside: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn queue(id: i32) -> MessageQueue {
        MessageQueue::new("orders", "broker-a", id)
    }

    fn open(path: &Path) -> OffsetsFile {
        let (file, warning) = OffsetsFile::open(path);
        assert!(warning.is_none(), "{}", warning.unwrap());
        file
    }

    fn warned(path: &Path) -> (OffsetsFile, String) {
        let (file, warning) = OffsetsFile::open(path);
        (file, warning.unwrap().to_string())
    }

    fn write(path: &Path, offset: i64) {
        let file = open(path);
        file.set(&queue(0), offset);
        file.persist().unwrap();
    }

    #[test]
    fn javas_file_is_read() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/java-offsets.json");
        let file = open(&sample);
        assert_eq!(
            [0, 1, 2, 3].map(|id| file.get(&queue(id))),
            [Some(7), Some(1_000_000_007), Some(4_000_000_007), None]
        );
        let odd = MessageQueue::new("%RETRY%tenant|x", "brok\"er-é\\", 0);
        assert_eq!(file.get(&odd), Some(9_007_199_254_740_995));
    }

    #[test]
    fn other_shapes_of_the_same_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets.json");
        let key = r#"{"topic":"orders","queueId":0,"brokerName":"broker-a"}"#;
        let quoted = serde_json::to_string(key).unwrap();
        for (json, offset) in [
            (format!("{{\"offsetTable\":{{{key}:5}}}}"), Some(5)),
            (format!("{{\"offsetTable\":{{{quoted}:5}}}}"), Some(5)),
            (format!("{{\"offsetTable\":{{{key}:-1}},\"more\":null}}\n"), None),
            ("{\"offsetTable\":null}".to_owned(), None),
            ("{}".to_owned(), None),
        ] {
            fs::write(&path, &json).unwrap();
            assert_eq!(open(&path).get(&queue(0)), offset, "{json}");
        }
    }

    #[test]
    fn what_is_written_is_what_java_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("group/offsets.json");
        let file = open(&path);
        file.set(&queue(1), 6);
        file.set(&queue(0), 9);
        file.set(&queue(0), 5);
        file.persist().unwrap();
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(
            written,
            r#"{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"orders"}:5,{"brokerName":"broker-a","queueId":1,"topic":"orders"}:6}}"#
        );
    }

    #[test]
    fn only_a_change_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets.json");
        write(&path, 5);
        let file = open(&path);
        fs::remove_file(&path).unwrap();
        file.set(&queue(0), 5);
        file.persist().unwrap();
        assert!(!path.exists());
        file.set(&queue(0), 4);
        file.persist().unwrap();
        assert_eq!(open(&path).get(&queue(0)), Some(4));
    }

    #[test]
    fn a_write_that_fails_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("group/offsets.json");
        let file = open(&path);
        file.set(&queue(0), 5);
        fs::write(directory.path().join("group"), "in the way").unwrap();
        file.persist().unwrap_err();
        fs::remove_file(directory.path().join("group")).unwrap();
        file.persist().unwrap();
        assert_eq!(open(&path).get(&queue(0)), Some(5));
    }

    #[test]
    fn a_kill_between_the_two_renames_leaves_the_backup() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets.json");
        write(&path, 5);
        fs::rename(&path, backup(&path)).unwrap();
        let (file, warning) = warned(&path);
        assert_eq!(file.get(&queue(0)), Some(5));
        assert!(warning.contains("offsets.json is missing; the offsets of the backup"), "{warning}");
        file.set(&queue(0), 6);
        file.persist().unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(warned(&path).0.get(&queue(0)), Some(5), "the backup was not given away");
    }

    #[test]
    fn without_a_sound_file_the_group_begins_anew_and_both_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets.json");
        fs::write(&path, [0; 40]).unwrap();
        fs::write(backup(&path), "[1").unwrap();
        let (file, warning) = warned(&path);
        assert_eq!(file.get(&queue(0)), None);
        assert!(warning.contains("offsets.json.corrupt-1"), "{warning}");
        assert!(warning.contains("offsets.json.bak.corrupt-1; there is no sound backup"), "{warning}");
        assert_eq!(fs::read(directory.path().join("offsets.json.corrupt-1")).unwrap(), [0; 40]);
        file.set(&queue(0), 1);
        file.persist().unwrap();
        assert_eq!(open(&path).get(&queue(0)), Some(1));
    }

    #[test]
    fn truncation_at_any_byte_falls_back_to_the_backup() {
        let directory = tempfile::tempdir().unwrap();
        let (path, aside) =
            (directory.path().join("offsets.json"), directory.path().join("offsets.json.corrupt-1"));
        write(&path, 5);
        write(&path, 6);
        let (whole, former) = (fs::read(&path).unwrap(), fs::read(backup(&path)).unwrap());
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let (file, warning) = warned(&path);
            assert_eq!(file.get(&queue(0)), Some(5), "{length}");
            assert!(
                warning.contains("offsets.json cannot be used: ") && warning.contains("corrupt-1"),
                "{warning}"
            );
            assert_eq!(fs::read(&aside).unwrap(), whole[..length]);
            assert_eq!(fs::read(backup(&path)).unwrap(), former);
            file.set(&queue(0), 6);
            file.persist().unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole);
            assert_eq!(fs::read(backup(&path)).unwrap(), former, "a damaged file is never the backup");
            fs::remove_file(&aside).unwrap();
        }
    }

    fn any_queue() -> impl Strategy<Value = MessageQueue> {
        ("\\PC{0,12}", "\\PC{0,12}", any::<i32>())
            .prop_map(|(topic, broker, id)| MessageQueue::new(topic, broker, id))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn what_was_persisted_is_read(steps in proptest::collection::vec((any_queue(), 0..i64::MAX), 0..20)) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("offsets.json");
            let file = open(&path);
            for (queue, offset) in &steps {
                file.set(queue, *offset);
                file.persist().unwrap();
            }
            let again = open(&path);
            for (queue, ..) in &steps {
                prop_assert_eq!(again.get(queue), file.get(queue));
            }
        }

        #[test]
        fn damaged_bytes_never_cost_the_backup(
            at in any::<prop::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 0..16),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("offsets.json");
            write(&path, 5);
            write(&path, 6);
            let mut whole = fs::read(&path).unwrap();
            let at = at.index(whole.len());
            whole.splice(at.., bytes);
            fs::write(&path, &whole).unwrap();
            let (file, warning) = OffsetsFile::open(&path);
            if warning.is_some() {
                prop_assert_eq!(file.get(&queue(0)), Some(5));
            }
            prop_assert_eq!(open(&backup(&path)).get(&queue(0)), Some(5));
        }
    }
}
