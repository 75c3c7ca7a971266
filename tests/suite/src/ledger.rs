//! Which member of a group consumed which message when: of hosts in this process, of processes of their own, of Java.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use gantry_host::{Observer, Settled, SettledAs};

/// Bytes of one line of a ledger in a file: four numbers with leading zeros, three spaces, a line feed.
const LINE: u64 = 50;

/// One message consumed with success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When, in microseconds since the Unix epoch.
    pub at: u64,
    /// When the broker had stored it, in microseconds since the Unix epoch.
    pub stored: u64,
    /// Who, as an index of [`Ledger::members`].
    pub member: usize,
    /// The queue it came from.
    pub queue: i32,
    /// Its offset there.
    pub offset: i64,
}

/// What all members of a group consumed of one topic.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Vec<Member>>>);

#[derive(Debug)]
struct Member {
    name: String,
    book: Book,
}

#[derive(Debug)]
enum Book {
    Memory(Vec<Entry>),
    File(PathBuf),
}

impl Ledger {
    /// A pen for a member in this process.
    pub fn scribe(&self, name: &str) -> Scribe {
        let member = self.add(name, Book::Memory(Vec::new()));
        Scribe(Paper::Memory { ledger: self.clone(), member })
    }

    /// Takes in what a process writes into this file, now and later.
    pub fn follow(&self, name: &str, file: &Path) {
        self.add(name, Book::File(file.to_owned()));
    }

    fn add(&self, name: &str, book: Book) -> usize {
        let mut members = self.0.lock().unwrap();
        members.push(Member { name: name.to_owned(), book });
        members.len() - 1
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().iter().map(|member| member.book.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries the members of this name have.
    pub fn len_of(&self, name: &str) -> usize {
        let members = self.0.lock().unwrap();
        members.iter().filter(|member| member.name == name).map(|member| member.book.len()).sum()
    }

    /// The members' names.
    pub fn members(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|member| member.name.clone()).collect()
    }

    /// Every entry, by time.
    pub fn entries(&self) -> Vec<Entry> {
        let members = self.0.lock().unwrap();
        let all = members.iter().enumerate().flat_map(|(index, member)| member.book.entries(index));
        let mut entries: Vec<_> = all.collect();
        entries.sort_by_key(|entry| entry.at);
        entries
    }
}

impl Book {
    fn len(&self) -> usize {
        match self {
            Self::Memory(entries) => entries.len(),
            Self::File(file) => {
                let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
                usize::try_from(bytes / LINE).unwrap()
            }
        }
    }

    fn entries(&self, member: usize) -> Vec<Entry> {
        match self {
            Self::Memory(entries) => entries.clone(),
            Self::File(file) => {
                let text = std::fs::read_to_string(file).unwrap_or_default();
                // A line without its end is one a kill has cut off: its message was not answered.
                let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
                whole.map(|line| parse(line, member)).collect()
            }
        }
    }
}

fn parse(line: &str, member: usize) -> Entry {
    let fields: Vec<u64> = line.split_whitespace().map(|field| field.parse().unwrap()).collect();
    let &[at, stored, queue, offset] = fields.as_slice() else { panic!("not a ledger's line: {line:?}") };
    Entry { at, stored, member, queue: i32::try_from(queue).unwrap(), offset: i64::try_from(offset).unwrap() }
}

/// What a member writes its entries with. As an observer it writes down each success.
#[derive(Debug)]
pub struct Scribe(Paper);

#[derive(Debug)]
enum Paper {
    Memory { ledger: Ledger, member: usize },
    File(Mutex<File>),
}

impl Scribe {
    /// A pen that appends to a file, so that what is written outlives the process however it ends.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn to_file(file: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(file)?;
        Ok(Self(Paper::File(Mutex::new(file))))
    }

    /// Writes down that a message, stored at this millisecond since the Unix epoch, is consumed now.
    pub fn consumed(&self, queue: i32, offset: i64, stored_millis: i64) {
        let (at, stored) = (now(), u64::try_from(stored_millis).unwrap() * 1_000);
        match &self.0 {
            Paper::Memory { ledger, member } => {
                let entry = Entry { at, stored, member: *member, queue, offset };
                if let Book::Memory(entries) = &mut ledger.0.lock().unwrap()[*member].book {
                    entries.push(entry);
                }
            }
            Paper::File(file) => {
                let line = format!("{at:016} {stored:016} {queue:04} {offset:010}\n");
                file.lock().unwrap().write_all(line.as_bytes()).unwrap();
            }
        }
    }
}

impl Observer for Scribe {
    fn settled(&self, settled: &Settled<'_>) {
        let message = settled.message;
        if settled.as_ == SettledAs::Success {
            self.consumed(message.queue_id(), message.queue_offset(), message.store_timestamp());
        }
    }
}

/// Microseconds since the Unix epoch, now.
pub fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_wrote_is_read_but_for_the_line_a_kill_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ledger");
        let scribe = Scribe::to_file(&file).unwrap();
        scribe.consumed(7, 12_345, 1_700_000_000_123);
        scribe.consumed(0, 0, 1_700_000_000_124);
        File::options().append(true).open(&file).unwrap().write_all(b"0000000000000001 00000").unwrap();
        let ledger = Ledger::default();
        ledger.scribe("another").consumed(1, 2, 3);
        ledger.follow("process", &file);
        assert_eq!((ledger.len(), ledger.len_of("process")), (3, 2));
        let read: Vec<_> = ledger.entries().into_iter().filter(|entry| entry.member == 1).collect();
        assert_eq!((read[0].queue, read[0].offset, read[0].stored), (7, 12_345, 1_700_000_000_123_000));
        assert!(read[0].at <= read[1].at && read[1].at <= now());
    }
}
