//! What a group that pops asks of brokers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gantry_core::{AckRequest, Assignment, ChangeRequest, PopOutcome, PopRequest, PoppedMessage};
use gantry_protocol::body::MessageRequestMode;
use gantry_protocol::header::PopMessageRequestHeader;
use gantry_protocol::pop::PopReceipt;
use gantry_protocol::{MessageQueue, ResponseCode};
use tokio::sync::mpsc::error::SendError;

use super::Requests;
use crate::client_instance::{CallError, PopAnswer};
use crate::group::input::Input;

/// Where a new group begins, as initMode says it (RocketMQ: ConsumeInitMode).
const FROM_FIRST: i32 = 0;
const FROM_LAST: i32 = 1;
/// The invisible time of what anybody may have.
const AT_ONCE: Duration = Duration::from_millis(1);

impl Requests {
    /// What a broker assigns to this member.
    pub(super) async fn assignment(&self, topic: &str) -> Assignment {
        let assignments = match self.0.client.query_assignment(&self.0.group, topic).await {
            Ok(assignments) => assignments,
            Err(CallError::Refused { code: ResponseCode::REQUEST_CODE_NOT_SUPPORTED, .. }) => {
                return Assignment::Unset;
            }
            Err(error) => {
                tracing::debug!(group = %self.0.name, topic, %error, "no assignment");
                return Assignment::Failed(error.to_string());
            }
        };
        if assignments.iter().any(|assignment| assignment.mode != MessageRequestMode::Pop) {
            return Assignment::Unset;
        }
        Assignment::Queues(assignments.into_iter().map(|assignment| assignment.message_queue).collect())
    }

    /// Pops; the answer is waited for past the group's end, as long as the host runs. What the broker has popped for a group
    /// that is gone would be hidden from everybody else, so it is given back.
    pub(super) fn start_pop(&self, pop: PopRequest) {
        let this = self.clone();
        self.0.tasks.spawn("pop", async move {
            let (id, mq) = (pop.id, pop.mq.clone());
            let nobody_cares = async {
                this.0.ended.cancelled().await;
                this.0.tasks.cancelled().await;
            };
            let outcome = tokio::select! {
                outcome = this.pop(pop) => outcome,
                () = nobody_cares => return,
            };
            let told = this.0.inputs.send(Input::Popped(id, outcome)).await;
            if let Err(SendError(Input::Popped(_, PopOutcome::Found(messages)))) = told {
                this.give_back(&mq, messages).await;
            }
        });
    }

    async fn give_back(&self, mq: &MessageQueue, messages: Vec<PoppedMessage>) {
        tracing::info!(group = %self.0.name, messages = messages.len(), "popped after the group's end, and given back");
        for PoppedMessage { receipt, .. } in messages {
            let (topic, broker_name) = (&mq.topic, &mq.broker_name);
            let change = self.0.client.change_invisible_time(
                &self.0.group,
                broker_name,
                topic,
                &receipt,
                AT_ONCE,
                true,
            );
            if let Err(error) = change.await {
                tracing::debug!(group = %self.0.name, %error, "a message comes again after its invisible time only");
            }
        }
    }

    async fn pop(&self, pop: PopRequest) -> PopOutcome {
        let (tally, began) = (self.0.local.tallies.of(&pop.mq.topic), Instant::now());
        let answer = self.0.client.pop(&pop.mq.broker_name, self.pop_header(&pop), pop.timeout).await;
        let messages = match answer {
            Ok(PopAnswer::NothingYet) => return PopOutcome::NothingYet,
            Ok(PopAnswer::PollingFull) => return PopOutcome::PollingFull,
            Ok(found) => found.messages(),
            Err(CallError::Refused { code, remark, .. }) => return PopOutcome::Refused { code, remark },
            Err(error) => return PopOutcome::Failed(error.to_string()),
        };
        let messages = match messages {
            Ok(messages) => messages,
            Err(error) => return PopOutcome::Failed(format!("the messages cannot be read: {error}")),
        };
        if !messages.is_empty() {
            tally.pulled(messages.len(), began.elapsed());
        }
        let popped = messages.into_iter().map(|(message, receipt)| {
            let mq = || {
                let mq = self.0.client.namespace().unwrap_queue(&pop.mq);
                MessageQueue { queue_id: receipt.queue_id, ..mq }
            };
            let filtered = !self.0.local.hooks.wants(&self.0.name, mq, &message);
            PoppedMessage { message, receipt, filtered }
        });
        PopOutcome::Found(popped.collect())
    }

    fn pop_header(&self, pop: &PopRequest) -> PopMessageRequestHeader {
        let born = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        PopMessageRequestHeader {
            consumer_group: self.0.group.to_string(),
            topic: pop.mq.topic.to_string(),
            queue_id: pop.mq.queue_id,
            max_msg_nums: i32::try_from(pop.max_msg_nums).unwrap_or(i32::MAX),
            invisible_time: millis(pop.invisible_time),
            poll_time: millis(pop.poll_time),
            born_time: millis(born),
            init_mode: if pop.from_first { FROM_FIRST } else { FROM_LAST },
            expression_type: Some(pop.subscription.expression.kind().to_owned()),
            expression: Some(pop.subscription.expression.text().to_owned()),
            order: Some(false),
            attempt_id: None,
            broker_name: None,
        }
    }

    pub(super) async fn ack(&self, ack: AckRequest) -> Result<(), CallError> {
        self.0.client.ack(&self.0.group, &ack.broker_name, &ack.acks).await
    }

    pub(super) async fn change(&self, change: ChangeRequest) -> Result<PopReceipt, CallError> {
        let ChangeRequest { broker_name, topic, receipt, invisible_time, suspend, .. } = change;
        let change = self.0.client.change_invisible_time(
            &self.0.group,
            &broker_name,
            &topic,
            &receipt,
            invisible_time,
            suspend,
        );
        change.await
    }
}
