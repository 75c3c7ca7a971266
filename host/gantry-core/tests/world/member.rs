//! One member of the group in the model world, with what must hold for it at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use gantry_core::{
    Batch, BatchId, ConsumerGroup, Event, FilterExpression, ListenerId, ListenerSpec, PullId, QueueJournal,
    SettledOffsets, Subscription, TerminationReport,
};
use gantry_protocol::MessageQueue;

/// The tags every variant of the listeners wants; messages with others may be skipped.
pub(crate) const ALWAYS_WANTED: [&str; 2] = ["Aa", "b"];
/// Shares its hash code with `Aa`, so that a broker lets it through.
pub(crate) const COLLIDING: &str = "BB";

/// Sets of listeners that all want [`ALWAYS_WANTED`] of topic `t`, and else differ.
pub(crate) fn listeners(variant: usize) -> Vec<ListenerSpec> {
    let tags = |topic: &str, text: &str| Subscription {
        topic: topic.to_owned(),
        expression: FilterExpression::Tag(text.to_owned()),
    };
    let spec = |id: u64, batch: u32, subscriptions: Vec<Subscription>| ListenerSpec {
        batch_max_size: Some(batch),
        max_reconsume_times: Some(3),
        ..ListenerSpec::new(ListenerId(id), subscriptions)
    };
    match variant % 4 {
        0 => vec![spec(1, 4, vec![tags("t", "*")])],
        1 => vec![spec(1, 1, vec![tags("t", "Aa")]), spec(2, 8, vec![tags("t", "b || c")])],
        2 => vec![
            spec(2, 3, vec![tags("t", "Aa || b")]),
            spec(3, 5, vec![tags("u", "*"), tags("t", "b || c")]),
        ],
        _ => vec![spec(4, 2, vec![tags("t", "b || Aa")])],
    }
}

/// Who is to get a message, told anew and simply.
pub(crate) fn expected_listener(variant: usize, topic: &str, tag: Option<&str>) -> Option<ListenerId> {
    let wants = |subscription: &Subscription| {
        let text = subscription.expression.text();
        subscription.topic == topic && (text == "*" || text.split(" || ").any(|wanted| Some(wanted) == tag))
    };
    listeners(variant).into_iter().find(|spec| spec.subscriptions.iter().any(wants)).map(|spec| spec.id)
}

/// A batch at its listener, and the places of those of its messages that have not come back.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) batch: Batch,
    pub(crate) left: Vec<usize>,
}

pub(crate) struct Member {
    pub(crate) group: ConsumerGroup,
    pub(crate) client_id: String,
    /// When the last request reaches the broker: one connection keeps their order.
    pub(crate) channel_free: Instant,
    pub(crate) running: BTreeMap<BatchId, Running>,
    pub(crate) pulls: BTreeMap<PullId, MessageQueue>,
    pub(crate) send_backs: usize,
    pub(crate) terminated: Option<TerminationReport>,
    pub(crate) terminated_by: Option<Instant>,
    delivered: BTreeMap<MessageQueue, BTreeSet<i64>>,
    /// What its driver keeps for its next life.
    pub(crate) kept: BTreeMap<MessageQueue, SettledOffsets>,
}

impl Member {
    pub(crate) fn new(group: ConsumerGroup, now: Instant) -> Self {
        Self {
            client_id: group.client_id().to_owned(),
            group,
            channel_free: now,
            running: BTreeMap::new(),
            pulls: BTreeMap::new(),
            send_backs: 0,
            terminated: None,
            terminated_by: None,
            delivered: BTreeMap::new(),
            kept: BTreeMap::new(),
        }
    }

    /// A batch has one listener, one topic, at most its size, and nothing this ownership has handed out before.
    pub(crate) fn given(&mut self, variant: usize, batch: &Batch) {
        let spec = listeners(variant).into_iter().find(|spec| spec.id == batch.listener);
        let spec = spec.expect("batches go to present listeners");
        let (count, call_size) = (batch.messages.len(), spec.batch_max_size.unwrap() as usize);
        let calls = if batch.in_order { 1 } else { self.group.config().calls_together as usize };
        let most = call_size.max(256.min(call_size * calls));
        assert!((1..=most).contains(&count), "{count} messages for a batch of at most {most}");
        assert_eq!(batch.call_size, call_size);
        let beside = self.running.values().any(|running| running.batch.mq == batch.mq);
        assert!(!(batch.in_order && beside), "{} has two batches at once", batch.mq);
        for message in &batch.messages {
            assert_eq!(*batch.topic, *message.origin_topic(), "a batch has one topic");
            let expected = expected_listener(variant, &batch.topic, message.tags());
            assert_eq!(Some(batch.listener), expected, "the first listener that wants a message gets it");
            let fresh = self.delivered.entry(batch.mq.clone()).or_default().insert(message.queue_offset());
            assert!(
                fresh || batch.in_order,
                "offset {} of {} is consumed twice by one owner",
                message.queue_offset(),
                batch.mq
            );
        }
        self.running.insert(batch.id, Running { batch: batch.clone(), left: (0..count).collect() });
    }

    pub(crate) fn keep(&mut self, QueueJournal { mq, settled }: QueueJournal) {
        match settled {
            Some(settled) => _ = self.kept.insert(mq, settled),
            None => _ = self.kept.remove(&mq),
        }
    }

    pub(crate) fn returned(&mut self, batch: &Batch, places: &[usize]) {
        if let Some(offsets) = self.delivered.get_mut(&batch.mq) {
            for &place in places {
                offsets.remove(&batch.messages[place].queue_offset());
            }
        }
    }

    /// A queue that is taken, let go or corrected may be read again.
    pub(crate) fn note(&mut self, event: &Event) {
        if let Event::QueueAssigned { mq, .. }
        | Event::QueueReleased { mq, .. }
        | Event::OffsetReset { mq, .. }
        | Event::OffsetCorrected { mq, .. } = event
        {
            self.delivered.remove(mq);
        }
    }

    pub(crate) fn pulls(&mut self, id: PullId, mq: &MessageQueue) {
        self.pulls.insert(id, mq.clone());
    }

    pub(crate) fn check_bounds(&self, now: Instant) {
        let config = self.group.config();
        assert!(self.group.batches_running() <= config.consume_thread_max as usize);
        assert!(self.send_backs <= config.max_send_backs_in_flight as usize);
        for status in self.group.queues(now) {
            let most = (config.pull_threshold_for_queue + config.pull_batch_size) as usize;
            assert!(status.cached_count <= most, "{} cached in {}", status.cached_count, status.mq);
            assert!(status.in_flight + status.sending_back <= status.cached_count, "{status:?}");
            assert!(status.commit_offset <= status.next_offset.max(0), "{status:?}");
        }
    }
}
