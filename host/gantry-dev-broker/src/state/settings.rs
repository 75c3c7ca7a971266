use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use gantry_protocol::body::{SetMessageRequestModeRequestBody, SubscriptionGroupConfig};

use crate::sync::lock;

/// Settings of groups somebody configured; every other group has the defaults.
#[derive(Debug, Default)]
pub(crate) struct SettingsTable {
    /// Groups that have pulled: RocketMQ gives them settings at that moment.
    seen: Mutex<HashSet<String>>,
    table: Mutex<HashMap<String, Arc<SubscriptionGroupConfig>>>,
    /// How groups consume topics, where somebody said so: by topic and group.
    modes: Mutex<HashMap<(String, String), SetMessageRequestModeRequestBody>>,
}

impl SettingsTable {
    /// The settings of a group, configured or default.
    pub(crate) fn of(&self, group: &str) -> Arc<SubscriptionGroupConfig> {
        let known = lock(&self.table).get(group).map(Arc::clone);
        known.unwrap_or_else(|| {
            Arc::new(SubscriptionGroupConfig {
                group_name: group.to_owned(),
                ..SubscriptionGroupConfig::default()
            })
        })
    }

    /// The settings of every group that was configured or has pulled.
    pub(crate) fn all(&self) -> Vec<Arc<SubscriptionGroupConfig>> {
        let mut names: HashSet<String> = lock(&self.table).keys().cloned().collect();
        names.extend(lock(&self.seen).iter().cloned());
        names.iter().map(|name| self.of(name)).collect()
    }

    /// Adds or replaces; `false` when the table has `limit` entries.
    pub(crate) fn put(&self, settings: SubscriptionGroupConfig, limit: usize) -> bool {
        let mut table = lock(&self.table);
        if table.len() >= limit && !table.contains_key(&settings.group_name) {
            return false;
        }
        table.insert(settings.group_name.clone(), Arc::new(settings));
        true
    }

    pub(crate) fn remove(&self, group: &str) {
        lock(&self.table).remove(group);
        lock(&self.seen).remove(group);
    }

    /// How the group consumes the topic, when somebody said so.
    pub(crate) fn mode(&self, group: &str, topic: &str) -> Option<SetMessageRequestModeRequestBody> {
        lock(&self.modes).get(&(topic.to_owned(), group.to_owned())).cloned()
    }

    /// Adds or replaces; `false` when there are `limit` of them.
    pub(crate) fn put_mode(&self, mode: SetMessageRequestModeRequestBody, limit: usize) -> bool {
        let mut modes = lock(&self.modes);
        let key = (mode.topic.clone(), mode.consumer_group.clone());
        if modes.len() >= limit && !modes.contains_key(&key) {
            return false;
        }
        modes.insert(key, mode);
        true
    }

    /// Whether the group was configured or has pulled.
    pub(crate) fn knows(&self, group: &str) -> bool {
        lock(&self.table).contains_key(group) || lock(&self.seen).contains(group)
    }

    /// Notes that a group pulls, unless `limit` groups are noted.
    pub(crate) fn see(&self, group: &str, limit: usize) {
        let mut seen = lock(&self.seen);
        if !seen.contains(group) && seen.len() < limit {
            seen.insert(group.to_owned());
        }
    }
}
