//! Names that clients and brokers derive or reserve (RocketMQ: MixAll, TopicValidator, KeyBuilder).

/// Prefix of a consumer group's retry topic.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of a consumer group's dead-letter topic.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// The topic whose route is used for topics that do not exist yet.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
/// The topic that holds delayed messages; queue id = delay level - 1.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// The topic that holds prepared transaction messages.
pub const TRANS_HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// What the topics of replies end with, behind the cluster's name.
const REPLY_TOPIC_POSTFIX: &str = "_REPLY_TOPIC";
/// The topic of message traces.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// The producer group every Java client instance keeps for its own sends.
pub const CLIENT_INNER_PRODUCER: &str = "CLIENT_INNER_PRODUCER";
/// Broker id of a master.
pub const MASTER_ID: i64 = 0;
/// Longest topic name a client or broker accepts, in characters.
pub const MAX_TOPIC_LENGTH: usize = 127;
/// Longest group name a client accepts, in characters.
pub const MAX_GROUP_LENGTH: usize = 120;

/// The topic a group's failed messages return through.
pub fn retry_topic(group: &str) -> String {
    [RETRY_PREFIX, group].concat()
}

/// The topic that takes a group's messages past their last retry.
pub fn dlq_topic(group: &str) -> String {
    [DLQ_PREFIX, group].concat()
}

/// The retry topic of a group that pops `topic`, first form (the default of 5.x brokers).
pub fn pop_retry_topic_v1(group: &str, topic: &str) -> String {
    [RETRY_PREFIX, group, "_", topic].concat()
}

/// The retry topic of a group that pops `topic`, second form.
pub fn pop_retry_topic_v2(group: &str, topic: &str) -> String {
    [RETRY_PREFIX, group, "+", topic].concat()
}

/// The topic whose messages come again to a group that pops through this retry topic, of either form; `None` for another
/// topic.
pub fn pop_retry_origin<'t>(group: &str, retry_topic: &'t str) -> Option<&'t str> {
    let named = retry_topic.strip_prefix(RETRY_PREFIX)?.strip_prefix(group)?;
    named.strip_prefix(['_', '+']).filter(|topic| !topic.is_empty())
}

/// The topic that carries the answers of request messages in a cluster.
pub fn reply_topic(cluster: &str) -> String {
    [cluster, REPLY_TOPIC_POSTFIX].concat()
}

/// Whether a topic carries the replies of a cluster.
pub fn is_reply_topic(topic: &str) -> bool {
    topic.ends_with(REPLY_TOPIC_POSTFIX)
}

/// Whether the topic is a retry topic, of pull or of POP.
pub fn is_retry(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX)
}

/// Whether the topic is a dead-letter topic.
pub fn is_dlq(topic: &str) -> bool {
    topic.starts_with(DLQ_PREFIX)
}

/// The group of a retry or dead-letter topic; `None` for another topic.
pub fn group_of(topic: &str) -> Option<&str> {
    topic.strip_prefix(RETRY_PREFIX).or_else(|| topic.strip_prefix(DLQ_PREFIX))
}

/// Whether brokers keep the topic for themselves: it is not wrapped by namespaces nor open to every client.
pub fn is_system_topic(topic: &str) -> bool {
    const NAMES: [&str; 12] = [
        AUTO_CREATE_TOPIC,
        SCHEDULE_TOPIC,
        "BenchmarkTest",
        TRANS_HALF_TOPIC,
        TRACE_TOPIC,
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
        "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
        "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
        "CHECKPOINT_TOPIC",
    ];
    topic.starts_with("rmq_sys_") || NAMES.contains(&topic)
}

/// Whether producers refuse to send to the topic, because brokers alone write it (RocketMQ:
/// TopicValidator.isNotAllowedSendTopic).
pub fn is_not_allowed_send_topic(topic: &str) -> bool {
    matches!(
        topic,
        SCHEDULE_TOPIC
            | TRANS_HALF_TOPIC
            | "RMQ_SYS_TRANS_OP_HALF_TOPIC"
            | "TRANS_CHECK_MAX_TIME_TOPIC"
            | "SELF_TEST_TOPIC"
            | "OFFSET_MOVED_EVENT"
    )
}

/// Whether brokers keep the consumer group for themselves (RocketMQ: MixAll.isSysConsumerGroup).
pub fn is_system_group(group: &str) -> bool {
    group.starts_with("CID_RMQ_SYS_")
}

/// A topic or group name that a broker would refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty or only white space.
    #[error("the {kind} name is empty; give it 1 to {max} characters of A-Z a-z 0-9 _ - % |")]
    Blank {
        /// `topic` or `group`.
        kind: &'static str,
        /// Longest accepted name.
        max: usize,
    },
    /// The name is too long.
    #[error("the {kind} name has {length} characters; at most {max} are accepted")]
    TooLong {
        /// `topic` or `group`.
        kind: &'static str,
        /// Length in characters.
        length: usize,
        /// Longest accepted name.
        max: usize,
    },
    /// The name has a character that is not accepted.
    #[error("the {kind} name {name:?} contains {character:?}; only A-Z a-z 0-9 _ - % | are accepted")]
    BadCharacter {
        /// `topic` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The first character that is not accepted.
        character: char,
    },
}

/// Checks a topic name as brokers and clients do (RocketMQ: TopicValidator.validateTopic).
///
/// # Errors
/// The name is blank, longer than [`MAX_TOPIC_LENGTH`], or has a character outside `A-Z a-z 0-9 _ - % |`.
pub fn check_topic(topic: &str) -> Result<(), NameError> {
    check("topic", topic, MAX_TOPIC_LENGTH)
}

/// Checks a group name as clients do (RocketMQ: Validators.checkGroup).
///
/// # Errors
/// The name is blank, longer than [`MAX_GROUP_LENGTH`], or has a character outside `A-Z a-z 0-9 _ - % |`.
pub fn check_group(group: &str) -> Result<(), NameError> {
    check("group", group, MAX_GROUP_LENGTH)
}

fn check(kind: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::Blank { kind, max });
    }
    let bad =
        name.chars().find(|&character| !(character.is_ascii_alphanumeric() || "_-%|".contains(character)));
    if let Some(character) = bad {
        return Err(NameError::BadCharacter { kind, name: name.chars().take(max).collect(), character });
    }
    if name.len() > max {
        return Err(NameError::TooLong { kind, length: name.len(), max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pop_retry_topic_tells_its_origin_to_its_group() {
        for topic in [pop_retry_topic_v1("g_1", "t_2"), pop_retry_topic_v2("g_1", "t_2")] {
            assert_eq!(pop_retry_origin("g_1", &topic), Some("t_2"), "{topic}");
            assert_eq!(pop_retry_origin("other", &topic), None, "{topic}");
        }
        assert_eq!(pop_retry_origin("g", &retry_topic("g")), None);
        assert_eq!(pop_retry_origin("g", "%RETRY%g_"), None);
    }

    #[test]
    fn derived_topics_have_rocketmqs_prefixes() {
        assert_eq!(retry_topic("g"), "%RETRY%g");
        assert_eq!(dlq_topic("g"), "%DLQ%g");
        assert_eq!(pop_retry_topic_v1("g", "t"), "%RETRY%g_t");
        assert_eq!(pop_retry_topic_v2("g", "t"), "%RETRY%g+t");
        assert_eq!(group_of("%DLQ%g"), Some("g"));
        assert_eq!(group_of("t"), None);
    }

    #[test]
    fn names_are_checked_as_by_a_broker() {
        assert_eq!(check_topic(&"a".repeat(127)), Ok(()));
        assert_eq!(
            check_topic(&"a".repeat(128)),
            Err(NameError::TooLong { kind: "topic", length: 128, max: 127 })
        );
        assert!(matches!(check_topic(" "), Err(NameError::Blank { .. })));
        assert!(matches!(check_group("a b"), Err(NameError::BadCharacter { character: ' ', .. })));
        assert_eq!(check_group("%RETRY%a|b-c_D9"), Ok(()));
    }
}
