//! What an operator asks of a group through a broker, and how the driver answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use gantry_core::{ConsumeMode, ListenerId};
use gantry_protocol::body::{ConsumeMessageDirectlyResult, ConsumerRunningInfo, QueueMap};
use gantry_protocol::{MessageExt, MessageQueue};
use tokio::sync::oneshot;

use super::consume::Consumption;
use super::direct::{Directly, consume_directly};
use super::listener::Listener;
use super::machine::Machine;
use super::rates::Rates;
use super::running_info::{Sight, running_info};
use super::tally::Tallies;
use crate::client_instance::{ClientInstance, Unanswered};

type Reply<T> = oneshot::Sender<Result<T, Unanswered>>;

/// One question, with where its answer goes. Nobody may be waiting for it any more.
#[derive(Debug)]
pub(super) enum Question {
    /// Move these queues (RESET_CONSUMER_CLIENT_OFFSET); answered when it has begun.
    Reset {
        /// The queues, and where to.
        offsets: Vec<(MessageQueue, i64)>,
        reply: Reply<()>,
    },
    /// How far each queue of a topic is (GET_CONSUMER_STATUS_FROM_CLIENT).
    Status {
        /// The topic.
        topic: String,
        reply: Reply<QueueMap<i64>>,
    },
    /// What goes on (GET_CONSUMER_RUNNING_INFO).
    RunningInfo {
        /// Whether the batches at listeners are listed too.
        jstack: bool,
        reply: Reply<ConsumerRunningInfo>,
    },
    /// Consume this message once, now (CONSUME_MESSAGE_DIRECTLY).
    Consume {
        /// The broker that has it.
        broker_name: Arc<str>,
        /// The message.
        message: MessageExt,
        reply: Reply<ConsumeMessageDirectlyResult>,
    },
}

/// The driver's part that answers.
pub(super) struct Answers {
    client: ClientInstance,
    started: SystemTime,
    tallies: Arc<Tallies>,
    rates: Rates,
}

/// What the driver has to answer from.
pub(super) struct Group<'d> {
    pub(super) machine: &'d mut Machine,
    pub(super) listeners: &'d BTreeMap<ListenerId, Arc<Listener>>,
    pub(super) consumption: &'d Consumption,
}

impl Answers {
    pub(super) fn new(client: &ClientInstance, tallies: Arc<Tallies>) -> Self {
        Self { client: client.clone(), started: SystemTime::now(), tallies, rates: Rates::default() }
    }

    /// To be called often: keeps what rates are made of.
    pub(super) fn sample(&mut self, now: Instant) {
        self.rates.sample(now, &self.tallies);
    }

    pub(super) fn answer(&mut self, now: Instant, question: Question, group: Group<'_>) {
        match question {
            Question::Reset { offsets, reply } => {
                group.machine.reset_offsets(now, &offsets);
                let _asker_gone = reply.send(Ok(()));
            }
            Question::Status { topic, reply } => {
                let _asker_gone = reply.send(Ok(offsets(now, group.machine, &topic)));
            }
            Question::RunningInfo { jstack, reply } => {
                let name_servers: String =
                    self.client.name_servers().iter().map(|addr| format!("{addr};")).collect();
                let sight = Sight {
                    now,
                    wall: SystemTime::now(),
                    started: self.started,
                    name_servers: &name_servers,
                    machine: group.machine,
                    listeners: group.listeners,
                    status_table: self.rates.status_table(now, &self.tallies),
                };
                let _asker_gone = reply.send(Ok(running_info(sight, jstack)));
            }
            Question::Consume { broker_name, message, reply } => consume(group, broker_name, message, reply),
        }
    }
}

fn offsets(now: Instant, machine: &Machine, topic: &str) -> QueueMap<i64> {
    let queues = machine.queues(now).into_iter();
    let located = queues.filter(|queue| *queue.mq.topic == *topic && queue.commit_offset >= 0);
    located.map(|queue| (queue.mq, queue.commit_offset)).collect()
}

fn consume(
    group: Group<'_>,
    broker_name: Arc<str>,
    message: MessageExt,
    reply: Reply<ConsumeMessageDirectlyResult>,
) {
    let Group { machine, listeners, consumption } = group;
    let wanted = machine.listener_of(&message);
    let Some((listener, topic)) = wanted.and_then(|(id, topic)| Some((listeners.get(&id)?, topic))) else {
        let (topic, tags) = (message.origin_topic(), message.tags().unwrap_or("none"));
        let refusal = format!(
            "no plugin of group {} wants a message of topic {topic} with the tag {tags}; see what they subscribe to",
            machine.config().consumer_group
        );
        let _asker_gone = reply.send(Err(Unanswered::Refused(refusal)));
        return;
    };
    let topic = consumption.namespace.unwrap_shared(&topic);
    let order = machine.config().consume_mode == ConsumeMode::Orderly;
    consume_directly(consumption, listener, Directly { topic, broker_name, message, order, reply });
}
