use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::store::OffsetRow;
use crate::sync::lock;

/// Group, topic and queue id.
type Key = (Arc<str>, Arc<str>, i32);
/// Offsets by topic and queue id.
type QueueOffsets = HashMap<(Arc<str>, i32), i64>;

/// How far each group has come in each queue (RocketMQ: ConsumerOffsetManager).
///
/// Commits change memory at once; what changed is written to the store in batches.
#[derive(Debug)]
pub(crate) struct Offsets {
    table: Mutex<Table>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Table {
    groups: HashMap<Arc<str>, QueueOffsets>,
    count: usize,
    dirty: HashSet<Key>,
    /// Offsets a server-side reset asks for, answered to the next pull (RocketMQ: resetOffsetTable).
    resets: HashMap<Key, i64>,
}

impl Offsets {
    pub(crate) fn new(rows: Vec<OffsetRow>, limit: usize) -> Self {
        let mut table = Table::default();
        for row in rows {
            table.set(&row.group, &row.topic, row.queue_id, row.offset);
        }
        Self { table: Mutex::new(table), limit }
    }

    /// The stored offset.
    pub(crate) fn get(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        let table = lock(&self.table);
        table.groups.get(group)?.get(&(Arc::from(topic), queue_id)).copied()
    }

    /// Stores an offset as it is, also a smaller one; `false` when the table is full. A negative one, which the Go client
    /// commits for a queue whose offset it does not know, changes nothing.
    pub(crate) fn commit(&self, group: &str, topic: &str, queue_id: i32, offset: i64) -> bool {
        if offset < 0 {
            return true;
        }
        let mut table = lock(&self.table);
        let (group, topic) = (table.name(group), Arc::<str>::from(topic));
        let key = (group, topic, queue_id);
        if table.resets.contains_key(&key) {
            return true;
        }
        let known =
            table.groups.get(&key.0).is_some_and(|of| of.contains_key(&(Arc::clone(&key.1), queue_id)));
        if !known && table.count >= self.limit {
            return false;
        }
        table.set(&key.0, &key.1, queue_id, offset);
        table.dirty.insert(key);
        true
    }

    /// Whether only offsets that are known can be changed.
    pub(crate) fn is_full(&self) -> bool {
        lock(&self.table).count >= self.limit
    }

    /// Every offset there is.
    pub(crate) fn all(&self) -> Vec<OffsetRow> {
        let table = lock(&self.table);
        let rows = table.groups.iter().flat_map(|(group, offsets)| {
            offsets.iter().map(|((topic, queue_id), offset)| OffsetRow {
                group: Arc::clone(group),
                topic: Arc::clone(topic),
                queue_id: *queue_id,
                offset: *offset,
            })
        });
        rows.collect()
    }

    /// Takes what changed since the last time.
    pub(crate) fn take_dirty(&self) -> Vec<OffsetRow> {
        let mut table = lock(&self.table);
        let dirty = std::mem::take(&mut table.dirty);
        let row = |key: Key| {
            let offset = *table.groups.get(&key.0)?.get(&(Arc::clone(&key.1), key.2))?;
            Some(OffsetRow { group: key.0, topic: key.1, queue_id: key.2, offset })
        };
        dirty.into_iter().filter_map(row).collect()
    }

    /// Notes rows again that could not be written.
    pub(crate) fn mark_dirty(&self, rows: Vec<OffsetRow>) {
        lock(&self.table).dirty.extend(rows.into_iter().map(|row| (row.group, row.topic, row.queue_id)));
    }

    /// Topics the group has offsets of, sorted.
    pub(crate) fn topics_of(&self, group: &str) -> Vec<Arc<str>> {
        let table = lock(&self.table);
        let Some(of_group) = table.groups.get(group) else { return Vec::new() };
        let mut topics: Vec<Arc<str>> = of_group.keys().map(|(topic, _)| Arc::clone(topic)).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Groups that have offsets of the topic.
    pub(crate) fn groups_of(&self, topic: &str) -> Vec<String> {
        let table = lock(&self.table);
        let of_topic =
            |(_, offsets): &(&Arc<str>, &QueueOffsets)| offsets.keys().any(|(of, _)| &**of == topic);
        table.groups.iter().filter(of_topic).map(|(group, _)| group.to_string()).collect()
    }

    /// Whether the group has any offset.
    pub(crate) fn knows(&self, group: &str) -> bool {
        lock(&self.table).groups.contains_key(group)
    }

    pub(crate) fn remove_group(&self, group: &str) {
        let mut table = lock(&self.table);
        let removed = table.groups.remove(group).map_or(0, |of_group| of_group.len());
        table.count -= removed;
        table.resets.retain(|key, _| &*key.0 != group);
    }

    pub(crate) fn remove_topic(&self, topic: &str) {
        let mut table = lock(&self.table);
        for of_group in table.groups.values_mut() {
            of_group.retain(|key, _| &*key.0 != topic);
        }
        table.groups.retain(|_, of_group| !of_group.is_empty());
        table.count = table.groups.values().map(HashMap::len).sum();
        table.resets.retain(|key, _| &*key.1 != topic);
    }

    /// Resets a group's offset: stored at once, and told to the next pull of the queue.
    pub(crate) fn reset(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        let mut table = lock(&self.table);
        let key: Key = (table.name(group), Arc::from(topic), queue_id);
        table.set(&key.0, &key.1, queue_id, offset);
        table.dirty.insert(key.clone());
        table.resets.insert(key, offset);
    }

    /// Takes the pending reset of a queue.
    pub(crate) fn take_reset(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        let mut table = lock(&self.table);
        if table.resets.is_empty() {
            return None;
        }
        table.resets.remove(&(Arc::from(group), Arc::from(topic), queue_id))
    }
}

impl Table {
    fn name(&self, group: &str) -> Arc<str> {
        self.groups.get_key_value(group).map_or_else(|| Arc::from(group), |(name, _)| Arc::clone(name))
    }

    fn set(&mut self, group: &Arc<str>, topic: &Arc<str>, queue_id: i32, offset: i64) {
        let of_group = self.groups.entry(Arc::clone(group)).or_default();
        if of_group.insert((Arc::clone(topic), queue_id), offset).is_none() {
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_stored_as_it_is_even_when_smaller() {
        let offsets = Offsets::new(Vec::new(), 10);
        offsets.commit("g", "t", 0, 3);
        offsets.commit("g", "t", 0, 1);
        assert_eq!(offsets.get("g", "t", 0), Some(1));
        assert_eq!(offsets.take_dirty().len(), 1);
        assert!(offsets.take_dirty().is_empty());
    }

    #[test]
    fn a_negative_commit_changes_nothing() {
        let offsets = Offsets::new(Vec::new(), 10);
        assert!(offsets.commit("g", "t", 0, -1));
        assert_eq!(offsets.get("g", "t", 0), None);
        offsets.commit("g", "t", 0, 3);
        assert!(offsets.commit("g", "t", 0, -1));
        assert_eq!(offsets.get("g", "t", 0), Some(3));
    }

    #[test]
    fn a_pending_reset_swallows_commits_until_it_was_told() {
        let offsets = Offsets::new(Vec::new(), 10);
        offsets.reset("g", "t", 0, 2);
        offsets.commit("g", "t", 0, 9);
        assert_eq!(offsets.get("g", "t", 0), Some(2));
        assert_eq!(offsets.take_reset("g", "t", 0), Some(2));
        offsets.commit("g", "t", 0, 9);
        assert_eq!(offsets.get("g", "t", 0), Some(9));
    }

    #[test]
    fn the_table_has_a_bound_but_takes_changes_when_full() {
        let offsets = Offsets::new(Vec::new(), 1);
        assert!(offsets.commit("g", "t", 0, 1));
        assert!(!offsets.commit("g", "t", 1, 1));
        assert!(offsets.commit("g", "t", 0, 2));
        offsets.remove_topic("t");
        assert!(offsets.commit("g", "t", 1, 1));
    }
}
