use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use gantry_protocol::body::TopicConfig;
use gantry_protocol::names::{self, MAX_TOPIC_LENGTH, SCHEDULE_TOPIC};
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

/// Longest name of a retry or dead-letter topic (RocketMQ: RETRY_OR_DLQ_TOPIC_MAX_LENGTH).
const MAX_GROUP_TOPIC_LENGTH: usize = 255;

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
    #[error("The specified topic: {0}, is longer than topic max length: {MAX_TOPIC_LENGTH}")]
    TooLong(String),
    #[error(
        "The specified topic is DLQ or Retry topic: {0}, and it's longer than topic max length: {MAX_GROUP_TOPIC_LENGTH}"
    )]
    GroupTopicTooLong(String),
}

/// Checks a topic name as every broker does.
pub(crate) fn check_name(topic: &str) -> Result<(), TopicNameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '_' | '-');
    if topic.trim().is_empty() {
        Err(TopicNameError::Blank)
    } else if !topic.chars().all(allowed) {
        Err(TopicNameError::Illegal(topic.to_owned()))
    } else if names::group_of(topic).is_some() {
        let fits = topic.len() <= MAX_GROUP_TOPIC_LENGTH;
        fits.then_some(()).ok_or_else(|| TopicNameError::GroupTopicTooLong(topic.to_owned()))
    } else if topic.len() > MAX_TOPIC_LENGTH {
        Err(TopicNameError::TooLong(topic.to_owned()))
    } else {
        Ok(())
    }
}

/// The attribute that says how a topic's queues keep batches (RocketMQ: TopicAttributes.QUEUE_TYPE_ATTRIBUTE).
pub(crate) const QUEUE_TYPE: &str = "queue.type";

/// Whether the topic keeps batches as they are sent, one record each (RocketMQ: CQType.BatchCQ).
pub(crate) fn keeps_batches(topic: &TopicConfig) -> bool {
    topic.attributes.get(QUEUE_TYPE).is_some_and(|kind| kind == "BatchCQ")
}

/// Whether clients may send to the topic.
pub(crate) fn sending_forbidden(topic: &str) -> bool {
    NOT_FOR_SENDING.contains(&topic)
}

/// The topic table (RocketMQ: TopicConfigManager).
#[derive(Debug)]
pub(crate) struct Topics {
    table: RwLock<HashMap<String, Arc<TopicConfig>>>,
    limit: usize,
    /// Topics named after this broker and its cluster, which are the broker's own too.
    own: Vec<String>,
}

impl Topics {
    /// An empty table; `own` names the topics that are system topics of this broker only.
    pub(crate) fn new(limit: usize, own: Vec<String>) -> Self {
        Self { table: RwLock::new(HashMap::new()), limit, own }
    }

    /// Topics of the broker itself, which nobody may delete or redefine (RocketMQ: TopicValidator.isSystemTopic).
    pub(crate) fn is_system(&self, topic: &str) -> bool {
        names::is_system_topic(topic) || self.own.iter().any(|own| own == topic)
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
        let of_group = |length: usize| format!("%RETRY%{}", "g".repeat(length - 7));
        assert_eq!(check_name(&of_group(255)), Ok(()));
        assert!(matches!(check_name(&of_group(256)), Err(TopicNameError::GroupTopicTooLong(_))));
    }

    #[test]
    fn the_table_has_a_bound_but_takes_changes_when_full() {
        let topics = Topics::new(1, Vec::new());
        assert!(topics.put(new_topic("a", 1, 6)));
        assert!(!topics.put(new_topic("b", 1, 6)));
        assert!(topics.put(new_topic("a", 4, 6)));
        assert_eq!(topics.get("a").unwrap().read_queue_nums, 4);
    }
}
