//! Reading a group's dead letters, oldest first in each queue.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context as _;
use gantry_host::client_instance::{CallError, ClientInstance, PullAnswer, PullStatus, RouteError};
use gantry_protocol::body::SubscriptionGroupConfig;
use gantry_protocol::header::PullMessageRequestHeader;
use gantry_protocol::names::dlq_topic;
use gantry_protocol::{MessageExt, MessageQueue, ResponseCode, sys_flag};

use super::REPLAY_GROUP;
use super::position::Position;
use crate::commands::exit::{NotFound, unknown_group};

/// Messages asked for at once; brokers give 32 at most unless configured otherwise.
const AT_ONCE: i32 = 32;
/// How long one pull may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A dead letter, and where reading goes on after it.
pub(super) struct Letter {
    pub(super) message: MessageExt,
    pub(super) mq: MessageQueue,
    pub(super) next_offset: i64,
}

/// The dead letters of a group from some position to what was the end when reading began.
pub(super) struct Letters<'a> {
    client: &'a ClientInstance,
    spans: Vec<Span>,
    read: VecDeque<Letter>,
}

/// What is to be read of one queue.
struct Span {
    mq: MessageQueue,
    next: i64,
    end: i64,
}

impl<'a> Letters<'a> {
    /// Every dead letter of the group.
    pub(super) async fn all(client: &'a ClientInstance, group: &str) -> anyhow::Result<Self> {
        let mut spans = Vec::new();
        for mq in queues(client, group).await? {
            let (next, end) = (client.min_offset(&mq).await?, client.max_offset(&mq).await?);
            spans.push(Span { mq, next, end });
        }
        Ok(Self { client, spans, read: VecDeque::new() })
    }

    /// Those after a position.
    pub(super) async fn after(
        client: &'a ClientInstance,
        group: &str,
        position: &Position,
    ) -> anyhow::Result<Self> {
        let mut letters = Self::all(client, group).await?;
        for span in &mut letters.spans {
            if let Some(offset) = position.offset(client, &span.mq).await? {
                // A position past the end is of a topic that was deleted and made anew.
                span.next = if offset > span.end { span.next } else { offset.max(span.next) };
            }
        }
        Ok(letters)
    }

    /// How many offsets there are still to read.
    pub(super) fn left(&self) -> u64 {
        let unread: i64 = self.spans.iter().map(|span| (span.end - span.next).max(0)).sum();
        u64::try_from(unread).unwrap_or(0) + self.read.len() as u64
    }

    /// The next dead letter; none at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Letter>> {
        loop {
            if let Some(letter) = self.read.pop_front() {
                return Ok(Some(letter));
            }
            let Some(span) = self.spans.iter_mut().find(|span| span.next < span.end) else { return Ok(None) };
            let answer = pull(self.client, &span.mq, span.next).await?;
            if answer.status == PullStatus::Found {
                for message in answer.messages()? {
                    let offset = message.queue_offset();
                    if (span.next..span.end).contains(&offset) {
                        span.next = offset + 1;
                        self.read.push_back(Letter { message, mq: span.mq.clone(), next_offset: offset + 1 });
                    }
                }
            }
            if self.read.is_empty() {
                anyhow::ensure!(
                    answer.next_begin_offset > span.next,
                    "broker {} has no message at offset {} of {} and names no other ({:?})",
                    span.mq.broker_name,
                    span.next,
                    span.mq.topic,
                    answer.status
                );
                span.next = answer.next_begin_offset;
            }
        }
    }
}

/// The readable queues of the group's dead-letter topic.
async fn queues(client: &ClientInstance, group: &str) -> anyhow::Result<Vec<MessageQueue>> {
    let wire_group = client.namespace().wrap(group);
    let topic = dlq_topic(&wire_group);
    let route = match client.refresh_route(&topic).await {
        Ok(route) => route,
        Err(RouteError::Missing { .. }) if client.group_exists(&wire_group).await? => {
            return Err(NotFound(format!("group {group} has no dead letters")).into());
        }
        Err(RouteError::Missing { .. }) => return Err(unknown_group(group).into()),
        Err(error) => return Err(error.into()),
    };
    anyhow::ensure!(
        !route.subscribe_queues.is_empty(),
        "topic {topic} may not be read, as brokers before 5.0 make it; `gantry topic create '{topic}' --queues 1` permits it"
    );
    Ok(route.subscribe_queues.clone())
}

async fn pull(client: &ClientInstance, mq: &MessageQueue, offset: i64) -> anyhow::Result<PullAnswer> {
    let answer = match client.pull(&mq.broker_name, 0, reading(mq, offset), PATIENCE).await {
        // The first reader of a cluster that creates no groups by itself.
        Err(CallError::Refused { code: ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, .. }) => {
            let settings = SubscriptionGroupConfig {
                group_name: REPLAY_GROUP.to_owned(),
                ..SubscriptionGroupConfig::default()
            };
            client.create_group(&settings).await?;
            client.pull(&mq.broker_name, 0, reading(mq, offset), PATIENCE).await
        }
        answer => answer,
    };
    answer.with_context(|| format!("cannot read {} at offset {offset}", mq.topic))
}

/// A pull that needs no membership, moves no offset and does not wait.
fn reading(mq: &MessageQueue, offset: i64) -> PullMessageRequestHeader {
    PullMessageRequestHeader {
        consumer_group: REPLAY_GROUP.to_owned(),
        topic: mq.topic.to_string(),
        queue_id: mq.queue_id,
        queue_offset: offset,
        max_msg_nums: AT_ONCE,
        sys_flag: sys_flag::PULL_SUBSCRIPTION,
        subscription: Some("*".to_owned()),
        expression_type: Some("TAG".to_owned()),
        ..PullMessageRequestHeader::default()
    }
}
