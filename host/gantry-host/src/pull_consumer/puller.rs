//! One pull: the request of a consumer that brings its subscription along, and the answer made ready.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gantry_protocol::body::{EXPRESSION_SQL92, EXPRESSION_TAG, SubscriptionData};
use gantry_protocol::header::PullMessageRequestHeader;
use gantry_protocol::names::MASTER_ID;
use gantry_protocol::tag::TagExpression;
use gantry_protocol::{MessageExt, MessageQueue, sys_flag};

use super::error::PullConsumerError;
use super::plain::PlainClient;
use crate::FilterExpression;
use crate::client_instance::PullStatus;

/// What a pull brought (RocketMQ: PullResult).
#[derive(Debug, Clone)]
pub struct PullResult {
    /// The status.
    pub status: PullStatus,
    /// Where the next pull reads, whatever the status.
    pub next_begin_offset: i64,
    /// The smallest offset the broker has.
    pub min_offset: i64,
    /// One past the largest.
    pub max_offset: i64,
    /// The messages, in the order of their offsets; some with [`PullStatus::Found`], none otherwise.
    pub messages: Vec<MessageExt>,
}

/// A subscription expression that was read.
#[derive(Debug)]
pub(super) struct Filter {
    kind: &'static str,
    text: String,
    /// Brokers compare hashes of tags; the tags themselves are compared here. All for SQL92.
    tags: TagExpression,
    version: i64,
}

impl Filter {
    pub(super) fn new(expression: &FilterExpression) -> Result<Self, PullConsumerError> {
        let version = unix_millis();
        Ok(match expression {
            FilterExpression::Tag(text) => {
                let tags = TagExpression::parse(text)?;
                let text = if tags == TagExpression::All { "*" } else { text };
                Self { kind: EXPRESSION_TAG, text: text.to_owned(), tags, version }
            }
            FilterExpression::Sql92(text) => {
                Self { kind: EXPRESSION_SQL92, text: text.clone(), tags: TagExpression::All, version }
            }
        })
    }

    /// As heartbeats name it.
    pub(super) fn subscription(&self, topic: &str) -> Result<SubscriptionData, PullConsumerError> {
        Ok(match self.kind {
            EXPRESSION_TAG => SubscriptionData::by_tags(topic, &self.text, self.version)?,
            _ => SubscriptionData::by_sql92(topic, &self.text, self.version),
        })
    }
}

/// What to pull.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) mq: &'a MessageQueue,
    pub(super) filter: &'a Filter,
    pub(super) offset: i64,
    /// Most messages.
    pub(super) max: u32,
    /// How long the broker may hold the request where there is nothing.
    pub(super) hold: Option<Duration>,
    pub(super) timeout: Duration,
}

/// Pulls for one group.
#[derive(Debug)]
pub(super) struct Puller {
    client: PlainClient,
    /// Whether requests go as LITE_PULL_MESSAGE.
    lite: bool,
    /// Queues whose broker suggested another than its master (RocketMQ: pullFromWhichNodeTable).
    slaves: Mutex<BTreeMap<MessageQueue, i64>>,
}

impl Puller {
    pub(super) fn new(client: PlainClient, lite: bool) -> Self {
        Self { client, lite, slaves: Mutex::default() }
    }

    pub(super) async fn pull(&self, wanted: Wanted<'_>) -> Result<PullResult, PullConsumerError> {
        let Wanted { mq, filter, offset, timeout, .. } = wanted;
        let header = self.header(wanted);
        let answered = self.client.pull(mq, self.broker_id(mq), header, timeout).await;
        // The slave that was suggested may be what failed; the master is always right to ask.
        let suggested = answered.as_ref().map_or(MASTER_ID, |answer| answer.suggest_which_broker_id);
        self.remember(mq, suggested);
        let answer = answered?;
        let unreadable = |source| PullConsumerError::Body { queue: mq.clone(), source };
        let mut messages = answer.messages().map_err(unreadable)?;
        // Of a record that holds several messages the first may be older than what was asked for.
        messages.retain(|message| message.queue_offset() >= offset && filter.tags.matches(message.tags()));
        let moved_by_slave = answer.status == PullStatus::OffsetIllegal && answer.broker_id != MASTER_ID;
        let next_begin_offset = if moved_by_slave { offset } else { answer.next_begin_offset };
        let status = match answer.status {
            // It may lag behind its master: what it does not have says nothing about the queue.
            _ if moved_by_slave => PullStatus::NoNewMsg,
            PullStatus::Found if messages.is_empty() => PullStatus::NoMatchedMsg,
            status => status,
        };
        Ok(PullResult {
            status,
            next_begin_offset,
            min_offset: answer.min_offset,
            max_offset: answer.max_offset,
            messages,
        })
    }

    fn header(&self, wanted: Wanted<'_>) -> PullMessageRequestHeader {
        let Wanted { mq, filter, offset, max, hold, .. } = wanted;
        let suspend = if hold.is_some() { sys_flag::PULL_SUSPEND } else { 0 };
        let lite = if self.lite { sys_flag::PULL_LITE } else { 0 };
        PullMessageRequestHeader {
            queue_id: mq.queue_id,
            queue_offset: offset,
            max_msg_nums: i32::try_from(max).unwrap_or(i32::MAX),
            sys_flag: sys_flag::PULL_SUBSCRIPTION | suspend | lite,
            suspend_timeout_millis: hold.map_or(0, millis),
            subscription: Some(filter.text.clone()),
            sub_version: if filter.kind == EXPRESSION_TAG { 0 } else { filter.version },
            expression_type: Some(filter.kind.to_owned()),
            ..PullMessageRequestHeader::default()
        }
    }

    fn broker_id(&self, mq: &MessageQueue) -> i64 {
        let slaves = self.slaves.lock().unwrap_or_else(PoisonError::into_inner);
        slaves.get(mq).copied().unwrap_or(MASTER_ID)
    }

    fn remember(&self, mq: &MessageQueue, broker_id: i64) {
        let mut slaves = self.slaves.lock().unwrap_or_else(PoisonError::into_inner);
        match broker_id {
            MASTER_ID => _ = slaves.remove(mq),
            slave => _ = slaves.insert(mq.clone(), slave),
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The time by this machine's clock, in milliseconds since the epoch.
pub(super) fn unix_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_and_pulls_name_the_same_expression() {
        let tags = Filter::new(&FilterExpression::Tag("a || b".to_owned())).unwrap();
        let subscription = tags.subscription("t").unwrap();
        assert_eq!((subscription.sub_string.as_str(), tags.text.as_str()), ("a || b", "a || b"));
        let all = Filter::new(&FilterExpression::Tag(String::new())).unwrap();
        assert_eq!((all.text.as_str(), all.kind), ("*", "TAG"));
        let sql = Filter::new(&FilterExpression::Sql92("a > 1".to_owned())).unwrap();
        assert_eq!(sql.subscription("t").unwrap().expression_type, "SQL92");
        assert!(Filter::new(&FilterExpression::Tag("||".to_owned())).is_err());
    }
}
