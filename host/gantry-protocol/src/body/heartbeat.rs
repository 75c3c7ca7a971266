use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::tag::{self, TagExpression, TagExpressionError};

/// Expression type of tag subscriptions.
pub const EXPRESSION_TAG: &str = "TAG";
/// Expression type of SQL92 subscriptions.
pub const EXPRESSION_SQL92: &str = "SQL92";

wire_enum! {
    /// How a group reads (RocketMQ: ConsumeType).
    ConsumeType, default Passively {
        /// The caller pulls.
        Actively = "CONSUME_ACTIVELY" | "pull",
        /// Messages are pushed to a listener.
        Passively = "CONSUME_PASSIVELY" | "push",
        /// The broker hands messages out one by one.
        Pop = "CONSUME_POP",
    }
}

wire_enum! {
    /// How a group shares a topic (RocketMQ: MessageModel).
    MessageModel, default Clustering {
        /// Every member gets every message.
        Broadcasting = "BROADCASTING",
        /// Each message goes to one member.
        Clustering = "CLUSTERING",
    }
}

wire_enum! {
    /// Where a group without a stored offset begins (RocketMQ: ConsumeFromWhere). Its three deprecated values read
    /// as the default, which is how Java's consumers treat them.
    ConsumeFromWhere, default LastOffset {
        /// At the end of the queue.
        LastOffset = "CONSUME_FROM_LAST_OFFSET",
        /// At the oldest message.
        FirstOffset = "CONSUME_FROM_FIRST_OFFSET",
        /// At a point in time.
        Timestamp = "CONSUME_FROM_TIMESTAMP",
    }
}

/// The body of HEART_BEAT 34 (RocketMQ: HeartbeatData).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    /// The client id, unique per process (spelt `clientID` on the wire).
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// The consumer groups the client is a member of.
    pub consumer_data_set: Vec<ConsumerData>,
    /// Hash of what the heartbeat says, for heartbeats of the second form; 0 otherwise.
    pub heartbeat_fingerprint: i32,
    /// The producer groups the client is a member of.
    pub producer_data_set: Vec<ProducerData>,
    /// Whether subscriptions are left out because the fingerprint has not changed.
    pub without_sub: bool,
}

impl HeartbeatData {
    /// What stands for everything the heartbeat says but who says it and since when, so that all members of a group that do
    /// alike come to the same; never 0, which is for heartbeats of the first form (RocketMQ: computeHeartbeatFingerprint).
    ///
    /// Brokers only compare it with the last one of the group. It is not Java's number, which depends on the order of Java's
    /// hash sets.
    pub fn compute_heartbeat_fingerprint(&self) -> i32 {
        let mut told = Self { client_id: String::new(), heartbeat_fingerprint: 0, ..self.clone() };
        told.without_sub = false;
        told.producer_data_set.sort_by(|a, b| a.group_name.cmp(&b.group_name));
        told.consumer_data_set.sort_by(|a, b| a.group_name.cmp(&b.group_name));
        for consumer in &mut told.consumer_data_set {
            consumer.subscription_data_set.sort_by(|a, b| a.topic.cmp(&b.topic));
            for subscription in &mut consumer.subscription_data_set {
                subscription.sub_version = 0;
                subscription.code_set.sort_unstable();
                subscription.tags_set.sort_unstable();
            }
        }
        // Numbers, words and lists of them can always be written.
        let text = serde_json::to_string(&told).unwrap_or_default();
        match tag::hash_code(&text) {
            0 => 1,
            fingerprint => fingerprint,
        }
    }
}

/// One producer group of a client (RocketMQ: ProducerData).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// The group.
    pub group_name: String,
}

/// One consumer group of a client (RocketMQ: ConsumerData).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// Where the group begins.
    pub consume_from_where: ConsumeFromWhere,
    /// How the group reads.
    pub consume_type: ConsumeType,
    /// The group.
    pub group_name: String,
    /// How the group shares its topics.
    pub message_model: MessageModel,
    /// What the client subscribes, its retry topic included.
    pub subscription_data_set: Vec<SubscriptionData>,
    /// Unit mode.
    pub unit_mode: bool,
}

/// One subscription (RocketMQ: SubscriptionData).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    /// Whether a class on a filter server filters; not since RocketMQ 4.
    pub class_filter_mode: bool,
    /// Hashes of the tags, each once.
    pub code_set: Vec<i32>,
    /// `TAG` or `SQL92`.
    pub expression_type: String,
    /// The expression.
    pub sub_string: String,
    /// Version, in milliseconds since the epoch: brokers keep the newest.
    pub sub_version: i64,
    /// The tags; empty means all.
    pub tags_set: Vec<String>,
    /// The topic.
    pub topic: String,
}

impl Default for SubscriptionData {
    fn default() -> Self {
        Self {
            class_filter_mode: false,
            code_set: Vec::new(),
            expression_type: EXPRESSION_TAG.to_owned(),
            sub_string: String::new(),
            sub_version: 0,
            tags_set: Vec::new(),
            topic: String::new(),
        }
    }
}

impl SubscriptionData {
    /// A tag subscription (RocketMQ: FilterAPI.buildSubscriptionData). `sub_version` is the time, in milliseconds.
    ///
    /// # Errors
    /// The expression names no tag.
    pub fn by_tags(topic: &str, expression: &str, sub_version: i64) -> Result<Self, TagExpressionError> {
        let parsed = TagExpression::parse(expression)?;
        let sub_string = if parsed == TagExpression::All { "*" } else { expression };
        Ok(Self {
            code_set: parsed.tags().map(tag::hash_code).collect::<BTreeSet<_>>().into_iter().collect(),
            sub_string: sub_string.to_owned(),
            sub_version,
            tags_set: parsed.tags().map(str::to_owned).collect(),
            topic: topic.to_owned(),
            ..Self::default()
        })
    }

    /// A SQL92 subscription; the broker checks the expression.
    pub fn by_sql92(topic: &str, expression: &str, sub_version: i64) -> Self {
        Self {
            expression_type: EXPRESSION_SQL92.to_owned(),
            sub_string: expression.to_owned(),
            sub_version,
            topic: topic.to_owned(),
            ..Self::default()
        }
    }

    /// Whether the broker filters by tags; an absent expression type counts as that.
    pub fn is_tag_type(&self) -> bool {
        self.expression_type.is_empty() || self.expression_type == EXPRESSION_TAG
    }
}

/// The answer to GET_CONSUMER_LIST_BY_GROUP 38 (RocketMQ: GetConsumerListByGroupResponseBody).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerListBody {
    /// The members' client ids, in no order.
    pub consumer_id_list: Vec<String>,
}

/// The body of CHECK_CLIENT_CONFIG 46 (RocketMQ: CheckClientRequestBody).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClientRequestBody {
    /// The client id.
    pub client_id: String,
    /// The consumer group.
    pub group: String,
    /// The namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The subscription to check.
    pub subscription_data: SubscriptionData,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(client_id: &str, sub_version: i64, expressions: &[(&str, &str)]) -> HeartbeatData {
        let subscription =
            |(topic, tags): &(&str, &str)| SubscriptionData::by_tags(topic, tags, sub_version).unwrap();
        let consumer = ConsumerData {
            group_name: "g".to_owned(),
            subscription_data_set: expressions.iter().map(subscription).collect(),
            ..ConsumerData::default()
        };
        HeartbeatData {
            client_id: client_id.to_owned(),
            consumer_data_set: vec![consumer],
            ..HeartbeatData::default()
        }
    }

    #[test]
    fn members_that_do_alike_have_one_fingerprint_and_others_another() {
        let one = heartbeat("a", 1, &[("t", "x || y"), ("%RETRY%g", "*")]);
        let fingerprint = one.compute_heartbeat_fingerprint();
        assert_ne!(fingerprint, 0);
        let sent = HeartbeatData { heartbeat_fingerprint: fingerprint, without_sub: true, ..one };
        assert_eq!(sent.compute_heartbeat_fingerprint(), fingerprint);
        let alike = heartbeat("b", 2, &[("%RETRY%g", "*"), ("t", "x || y")]);
        assert_eq!(alike.compute_heartbeat_fingerprint(), fingerprint);
        let otherwise = heartbeat("a", 1, &[("%RETRY%g", "*"), ("t", "x")]);
        assert_ne!(otherwise.compute_heartbeat_fingerprint(), fingerprint);
    }
}
