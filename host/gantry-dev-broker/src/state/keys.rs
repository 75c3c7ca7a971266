use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use crate::sync::lock;

/// The name server's keys, by namespace (RocketMQ: KVConfigManager).
#[derive(Debug)]
pub(crate) struct Keys {
    table: Mutex<HashMap<String, BTreeMap<String, String>>>,
    limit: usize,
}

impl Keys {
    pub(crate) fn new(limit: usize) -> Self {
        Self { table: Mutex::default(), limit }
    }

    pub(crate) fn get(&self, namespace: &str, key: &str) -> Option<String> {
        lock(&self.table).get(namespace)?.get(key).cloned()
    }

    /// Adds or replaces; `false` when the table is full.
    pub(crate) fn put(&self, namespace: &str, key: &str, value: &str) -> bool {
        let mut table = lock(&self.table);
        let count: usize = table.values().map(BTreeMap::len).sum();
        let known = table.get(namespace).is_some_and(|keys| keys.contains_key(key));
        if !known && count >= self.limit {
            return false;
        }
        table.entry(namespace.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
        true
    }

    /// `true` when it was there.
    pub(crate) fn remove(&self, namespace: &str, key: &str) -> bool {
        lock(&self.table).get_mut(namespace).is_some_and(|keys| keys.remove(key).is_some())
    }

    /// All keys of a namespace.
    pub(crate) fn namespace(&self, namespace: &str) -> BTreeMap<String, String> {
        lock(&self.table).get(namespace).cloned().unwrap_or_default()
    }
}
