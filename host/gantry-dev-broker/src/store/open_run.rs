use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gantry_protocol::sys_flag::BORN_HOST_V6;
use rusqlite::{Transaction, params};

use super::command::NewRecords;
use super::log::{InFile, LogWriter};
use super::queue::Queue;
use super::run::{Entry, KeyHash, RUN_BYTES, RUN_RECORDS, Run, pack_entries, pack_keys};
use crate::error::StoreError;

/// A run that a transaction makes.
#[derive(Debug)]
pub(super) struct OpenRun {
    pub(super) queue: Arc<Queue>,
    /// Where its first record is in the log, once [`Self::stamp`] has said so.
    pub(super) physical: i64,
    offset: i64,
    pub(super) messages: i64,
    stored_ms: i64,
    pub(super) bytes: BytesMut,
    entries: Vec<Entry>,
    keys: Vec<KeyHash>,
    /// Where scheduled records begin, and when they are due.
    scheduled: Vec<(usize, i64)>,
    /// Where prepared records begin, and when they are asked about.
    prepared: Vec<(usize, i64)>,
}

impl OpenRun {
    /// Without a record yet, and with room for so many bytes; the first message gets this offset.
    pub(super) fn new(queue: Arc<Queue>, offset: i64, room: usize) -> Self {
        Self {
            queue,
            physical: 0,
            offset,
            messages: 0,
            stored_ms: 0,
            bytes: BytesMut::with_capacity(room),
            entries: Vec::new(),
            keys: Vec::new(),
            scheduled: Vec::new(),
            prepared: Vec::new(),
        }
    }

    pub(super) fn has_room(&self, records: &NewRecords) -> bool {
        self.bytes.len() + records.bytes.len() <= RUN_BYTES
            && self.entries.len() + records.entries.len() <= RUN_RECORDS
    }

    /// Adds records; answers how many messages they hold.
    pub(super) fn push(&mut self, records: &NewRecords) -> i64 {
        let begin = self.bytes.len();
        let shift = u32::try_from(begin).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&records.bytes);
        let moved = |entry: &Entry| Entry { end: entry.end.saturating_add(shift), ..*entry };
        self.entries.extend(records.entries.iter().map(moved));
        let moved = |key: &KeyHash| KeyHash { at: key.at.saturating_add(shift), ..*key };
        self.keys.extend(records.keys.iter().map(moved));
        self.scheduled.extend(records.due_ms.map(|due_ms| (begin, due_ms)));
        self.prepared.extend(records.check_ms.map(|check_ms| (begin, check_ms)));
        let messages = records.entries.iter().map(|entry| i64::from(entry.messages)).sum();
        self.messages += messages;
        messages
    }

    /// Writes what only the store knows into the records: queue offset, physical offset, store timestamp.
    pub(super) fn stamp(&mut self, physical: i64, stored_ms: i64) {
        (self.physical, self.stored_ms) = (physical, stored_ms);
        let (mut begin, mut offset) = (0, self.offset);
        for entry in &self.entries {
            let end = entry.end as usize;
            if let Some(record) = self.bytes.get_mut(begin..end) {
                stamp(record, offset, physical + i64::try_from(begin).unwrap_or_default(), stored_ms);
            }
            offset += i64::from(entry.messages);
            begin = end;
        }
    }

    /// Writes the run: to a file where one is to have it, and its rows. Answers the bytes of its records.
    pub(super) fn write(
        &mut self,
        tx: &Transaction<'_>,
        files: Option<&mut LogWriter>,
    ) -> Result<i64, StoreError> {
        let records = self.bytes.len();
        pack_entries(&self.entries, &mut self.bytes);
        pack_keys(&self.keys, &mut self.bytes);
        let in_file = files.map(|files| files.append(tx, &self.bytes)).transpose()?;
        let in_row = if in_file.is_some() { &[] } else { &self.bytes[..] };
        self.write_rows(tx, in_file, in_row)?;
        self.bytes.truncate(records);
        Ok(i64::try_from(records).unwrap_or(i64::MAX))
    }

    fn write_rows(
        &self,
        tx: &Transaction<'_>,
        in_file: Option<InFile>,
        in_row: &[u8],
    ) -> Result<(), StoreError> {
        let physical_of = |at: usize| self.physical + i64::try_from(at).unwrap_or_default();
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        tx.prepare_cached(
            "INSERT INTO commit_log(physical, records, file, at, size, crc, entries, keys)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            self.physical,
            in_row,
            in_file.map(|place| place.file),
            in_file.map(|place| place.at),
            in_file.map(|place| place.size),
            in_file.map(|place| place.crc),
            count(self.entries.len()),
            count(self.keys.len())
        ])?;
        tx.prepare_cached(
            "INSERT INTO consume_queue(queue, position, physical, messages, stored_ms, entries)
             VALUES(?1, ?2, ?3, ?4, ?5, x'')",
        )?
        .execute(params![
            self.queue.id,
            self.offset,
            self.physical,
            self.messages,
            self.stored_ms
        ])?;
        for (at, due_ms) in &self.scheduled {
            tx.prepare_cached("INSERT INTO schedule(due_ms, physical) VALUES(?1, ?2)")?
                .execute(params![due_ms, physical_of(*at)])?;
        }
        for (at, check_ms) in &self.prepared {
            tx.prepare_cached("INSERT INTO prepared(physical, checks, next_check_ms) VALUES(?1, 0, ?2)")?
                .execute(params![physical_of(*at), check_ms])?;
        }
        Ok(())
    }

    /// When the first of its scheduled records is due.
    pub(super) fn earliest_due(&self) -> Option<i64> {
        self.scheduled.iter().map(|(_, due_ms)| *due_ms).min()
    }

    /// The run as it is read.
    pub(super) fn close(self) -> Run {
        Run {
            offset: self.offset,
            end: self.offset + self.messages,
            stored_ms: self.stored_ms,
            entries: self.entries.into(),
            // What a growing buffer has to spare would stay as long as the run.
            bytes: match self.bytes.capacity() > self.bytes.len() + self.bytes.len() / 8 {
                true => Bytes::copy_from_slice(&self.bytes),
                false => self.bytes.freeze(),
            },
        }
    }
}

fn stamp(record: &mut [u8], offset: i64, physical: i64, stored_ms: i64) {
    const QUEUE_OFFSET_AT: usize = 20;
    const PHYSICAL_OFFSET_AT: usize = 28;
    const SYS_FLAG_AT: usize = 36;
    /// Where the store timestamp is, behind a born host of either family.
    const STORED_AT: [usize; 2] = [56, 68];
    let flag = record.get(SYS_FLAG_AT..).and_then(|rest| rest.first_chunk()).copied().map(i32::from_be_bytes);
    let [behind_v4, behind_v6] = STORED_AT;
    let stored_at = if flag.is_some_and(|flag| flag & BORN_HOST_V6 != 0) { behind_v6 } else { behind_v4 };
    for (at, value) in [(QUEUE_OFFSET_AT, offset), (PHYSICAL_OFFSET_AT, physical), (stored_at, stored_ms)] {
        if let Some(slot) = record.get_mut(at..at + 8) {
            slot.copy_from_slice(&value.to_be_bytes());
        }
    }
}
