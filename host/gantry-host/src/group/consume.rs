//! A batch's way to its listener.

use std::sync::Arc;
use std::time::Duration;

use gantry_core::{Batch, BatchId, DEFAULT_MAX_RECONSUME_TIMES};
use gantry_engine::{Calls, Job, Order};
use gantry_protocol::Namespace;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::batch::HostBatch;
use super::hand_over::{HandOver, Handed};
use super::input::Input;
use super::listener::Listener;
use super::outcomes::Terms;
use super::tally::Tallies;
use super::threads::ListenerThreads;
use crate::client_instance::TraceDispatcher;
use crate::observer::SharedObserver;

/// What every batch of a group needs on its way; batches share it.
pub(super) struct Consumption {
    /// The group's name in this host.
    pub(super) name: Arc<str>,
    /// The consumer group, as its listeners and traces know it.
    pub(super) group: Arc<str>,
    /// What listeners and observers do not see of topics.
    pub(super) namespace: Namespace,
    pub(super) threads: Arc<ListenerThreads>,
    pub(super) observer: SharedObserver,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) tallies: Arc<Tallies>,
    /// Where batches are told of, if anywhere.
    pub(super) traces: Option<TraceDispatcher>,
}

/// Where a batch comes from, and how long a call with it may take.
#[derive(Clone)]
pub(super) struct Way {
    /// The topic the listener subscribed to.
    pub(super) topic: Arc<str>,
    pub(super) broker_name: Arc<str>,
    pub(super) queue_id: u32,
    pub(super) deadline: Duration,
    pub(super) order: Order,
}

/// The batch was not taken: no version serves, or the listener's threads are busy and their queue full.
pub(super) struct NotTaken(pub(super) BatchId);

impl Consumption {
    /// Hands the batch to guest threads; what becomes of it arrives as [`Input::Succeeded`] or [`Input::Consumed`], or in parts once it is recalled.
    pub(super) fn submit(
        self: &Arc<Self>,
        listener: &Arc<Listener>,
        batch: Batch,
    ) -> Result<Arc<HandOver>, NotTaken> {
        let Batch { id, topic, mq, messages, call_size, head_retries, in_order, .. } = batch;
        let queue_id = mq.queue_id.max(0).unsigned_abs();
        let call = listener.call().ok_or(NotTaken(id))?;
        let (plan, count) = (listener.plan(), messages.len());
        let (sound, corrupt) = HostBatch::new(messages, head_retries, in_order);
        let handed = Handed {
            id,
            consumption: Arc::clone(self),
            listener: Arc::clone(listener),
            call,
            trial: listener.trial(),
            way: Way {
                topic: self.namespace.unwrap_shared(&topic),
                broker_name: mq.broker_name,
                queue_id,
                deadline: plan.consume_timeout,
                order: if in_order { Order::Kept } else { Order::Any },
            },
            terms: Terms {
                message_model: plan.message_model,
                in_order,
                max_reconsume_times: plan.max_reconsume_times.unwrap_or(DEFAULT_MAX_RECONSUME_TIMES),
            },
            tally: self.tallies.of(&mq.topic),
            queue_topic: mq.topic,
            batch: Arc::new(sound),
            corrupt,
            messages: count,
            call_size,
        };
        let hand_over = Arc::new(HandOver::new(handed));
        let job = Job::Calls(Arc::clone(&hand_over) as Arc<dyn Calls>);
        self.threads.try_submit(listener.id, job).map_err(|_busy| NotTaken(id))?;
        Ok(hand_over)
    }

    /// Brings an answer to the group's task, from a guest thread.
    pub(super) fn tell(&self, input: Input) {
        // Waiting takes some readying, and there is nearly always room. The group may be gone: then nobody waits for the
        // answer, and the next owner gets the messages again.
        if let Err(TrySendError::Full(input)) = self.inputs.try_send(input) {
            let _group_gone = self.inputs.blocking_send(input);
        }
    }
}
