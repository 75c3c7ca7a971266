use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use gantry_protocol::body::TopicConfig;
use gantry_protocol::names::{AUTO_CREATE_TOPIC, SCHEDULE_TOPIC};
use gantry_protocol::perm;

/// Where records wait for a point in time (RocketMQ: TimerMessageStore.TIMER_TOPIC).
pub(crate) const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";

/// Topics that clients may not send to (RocketMQ: TopicValidator.NOT_ALLOWED_SEND_TOPIC_SET).
const NOT_FOR_SENDING: [&str; 7] = [
    SCHEDULE_TOPIC,
    TIMER_TOPIC,
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];

/// A new topic that is readable and writable by `perm` in `queues` queues.
pub(crate) fn new_topic(name: &str, queues: i32, perm: i32) -> TopicConfig {
    TopicConfig {
        topic_name: name.to_owned(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm,
        ..TopicConfig::default()
    }
}

/// A topic's settings as Java prints them in error remarks.
pub(crate) fn describe(topic: &TopicConfig) -> String {
    let bit = |mask, letter| if topic.perm & mask != 0 { letter } else { '-' };
    format!(
        "TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={}{}{}, topicFilterType={}, \
         topicSysFlag={}, order={}, attributes={{}}]",
        topic.topic_name,
        topic.read_queue_nums,
        topic.write_queue_nums,
        bit(perm::READ, 'R'),
        bit(perm::WRITE, 'W'),
        bit(perm::INHERIT, 'X'),
        topic.topic_filter_type,
        topic.topic_sys_flag,
        topic.order,
    )
}

/// The name breaks a rule (RocketMQ: TopicValidator.validateTopic).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TopicNameError {
    #[error("The specified topic is blank.")]
    Blank,
    #[error("The specified topic: {0}, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$")]
    Illegal(String),
    #[error("The specified topic: {0}, is longer than topic max length: 127")]
    TooLong(String),
}

/// Checks a topic name as every broker does.
pub(crate) fn check_name(topic: &str) -> Result<(), TopicNameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '_' | '-');
    if topic.trim().is_empty() {
        Err(TopicNameError::Blank)
    } else if !topic.chars().all(allowed) {
        Err(TopicNameError::Illegal(topic.to_owned()))
    } else if topic.len() > 127 {
        Err(TopicNameError::TooLong(topic.to_owned()))
    } else {
        Ok(())
    }
}

/// Whether clients may send to the topic.
pub(crate) fn sending_forbidden(topic: &str) -> bool {
    NOT_FOR_SENDING.contains(&topic)
}

/// Topics of the broker itself, which nobody may delete or redefine.
pub(crate) fn is_system(topic: &str) -> bool {
    topic == AUTO_CREATE_TOPIC || sending_forbidden(topic)
}

/// The topic table (RocketMQ: TopicConfigManager).
#[derive(Debug)]
pub(crate) struct Topics {
    table: RwLock<HashMap<String, Arc<TopicConfig>>>,
    limit: usize,
}

impl Topics {
    pub(crate) fn new(limit: usize) -> Self {
        Self { table: RwLock::new(HashMap::new()), limit }
    }

    pub(crate) fn get(&self, topic: &str) -> Option<Arc<TopicConfig>> {
        self.read().get(topic).map(Arc::clone)
    }

    /// Adds or replaces; `false` when the table is full.
    pub(crate) fn put(&self, config: TopicConfig) -> bool {
        let mut table = self.write();
        if table.len() >= self.limit && !table.contains_key(&config.topic_name) {
            return false;
        }
        table.insert(config.topic_name.clone(), Arc::new(config));
        true
    }

    /// Whether [`Self::put`] would take the topic now.
    pub(crate) fn has_room_for(&self, topic: &str) -> bool {
        let table = self.read();
        table.len() < self.limit || table.contains_key(topic)
    }

    pub(crate) fn remove(&self, topic: &str) -> bool {
        self.write().remove(topic).is_some()
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.read().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<TopicConfig>>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Arc<TopicConfig>>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_by_java() {
        assert_eq!(check_name("%RETRY%ns%group_1-a|b"), Ok(()));
        assert_eq!(check_name(" "), Err(TopicNameError::Blank));
        assert!(matches!(check_name("bad topic!"), Err(TopicNameError::Illegal(_))));
        assert_eq!(check_name(&"L".repeat(127)), Ok(()));
        assert!(matches!(check_name(&"L".repeat(128)), Err(TopicNameError::TooLong(_))));
    }

    #[test]
    fn the_table_has_a_bound_but_takes_changes_when_full() {
        let topics = Topics::new(1);
        assert!(topics.put(new_topic("a", 1, 6)));
        assert!(!topics.put(new_topic("b", 1, 6)));
        assert!(topics.put(new_topic("a", 4, 6)));
        assert_eq!(topics.get("a").unwrap().read_queue_nums, 4);
    }
}
