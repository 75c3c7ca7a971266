//! One group driven by hand: a test answers what it wants to answer, when it wants to.

#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use gantry_core::*;
use gantry_protocol::{MessageExt, MessageQueue, MessageRecord, properties};

pub(crate) const OWN_ID: &str = "10.0.0.1@gantry#1";
pub(crate) const RETRY_TOPIC: &str = "%RETRY%orders";

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn mq(id: i32) -> MessageQueue {
    MessageQueue::new("t", "broker-a", id)
}

pub(crate) fn message(queue: &MessageQueue, offset: i64, pairs: &[(&str, &str)]) -> MessageExt {
    message_with(queue, offset, pairs, 0, 4)
}

pub(crate) fn message_with(
    queue: &MessageQueue,
    offset: i64,
    pairs: &[(&str, &str)],
    reconsume_times: i32,
    body_len: usize,
) -> MessageExt {
    let record = MessageRecord {
        topic: queue.topic.to_string(),
        queue_id: queue.queue_id,
        queue_offset: offset,
        physical_offset: offset.wrapping_add(1_000),
        reconsume_times,
        body: vec![b'x'; body_len].into(),
        properties: properties::encode(pairs.iter().copied()).into(),
        ..MessageRecord::default()
    };
    let mut bytes = BytesMut::new();
    record.encode(&mut bytes).unwrap();
    MessageExt::decode(bytes.freeze()).unwrap()
}

pub(crate) fn found(messages: Vec<MessageExt>, next: i64) -> PullOutcome {
    answered(PullStatus::Found, messages, next)
}

pub(crate) fn answered(status: PullStatus, messages: Vec<MessageExt>, next: i64) -> PullOutcome {
    PullOutcome::Answered(PullAnswer {
        status,
        next_begin_offset: next,
        min_offset: 0,
        max_offset: next,
        broker_id: 0,
        suggest_which_broker_id: 0,
        reset: false,
        messages,
    })
}

pub(crate) fn listener(id: u64, subscriptions: &[(&str, &str)]) -> ListenerSpec {
    let subscriptions = subscriptions.iter().map(|&(topic, tags)| Subscription {
        topic: topic.to_owned(),
        expression: FilterExpression::Tag(tags.to_owned()),
    });
    ListenerSpec { batch_max_size: Some(32), ..ListenerSpec::new(ListenerId(id), subscriptions.collect()) }
}

pub(crate) struct Solo {
    pub(crate) group: ConsumerGroup,
    pub(crate) now: Instant,
    start: Instant,
    pub(crate) actions: Vec<Action>,
    pub(crate) events: Vec<Event>,
    /// Every lock is granted and every lock given back at once; without, a test answers itself.
    pub(crate) locks_granted: bool,
    /// The last snapshot of each queue.
    pub(crate) journal: BTreeMap<MessageQueue, SettledOffsets>,
}

/// Takes the first action of a kind out of those that came, or fails.
macro_rules! take {
    ($solo:expr, $pattern:pat => $result:expr) => {{
        $solo.pump();
        #[allow(unused_variables, reason = "what the pattern binds is wanted below")]
        let place = $solo.actions.iter().position(|action| matches!(action, $pattern));
        let place = place.unwrap_or_else(|| panic!("none of {:#?}", $solo.actions));
        match $solo.actions.remove(place) {
            $pattern => $result,
            _ => unreachable!(),
        }
    }};
}
pub(crate) use take;

impl Solo {
    pub(crate) fn new(config: GroupConfig) -> Self {
        let now = Instant::now();
        let group = ConsumerGroup::new(config, OWN_ID, 7).unwrap();
        Self {
            group,
            now,
            start: now,
            actions: Vec::new(),
            events: Vec::new(),
            locks_granted: true,
            journal: BTreeMap::new(),
        }
    }

    /// A group that owns these queues of topic `t`, with its first pull of each on the way.
    pub(crate) fn consuming(config: GroupConfig, listeners: &[ListenerSpec], queues: &[i32]) -> Self {
        let mut solo = Self::new(config);
        solo.listen(listeners);
        solo.answer_routes(queues);
        solo.heartbeat();
        solo.members(&[OWN_ID]);
        for _ in queues {
            let id = take!(solo, Action::QueryOffset { id, .. } => id);
            solo.group.handle_offset(solo.now, id, OffsetAnswer::Found(0));
        }
        solo.pump();
        solo
    }

    /// The same with RocketMQ's defaults, one listener of everything, and one queue.
    pub(crate) fn plain() -> Self {
        Self::consuming(GroupConfig::new("orders"), &[listener(1, &[("t", "*")])], &[0])
    }

    pub(crate) fn started(&self) -> Instant {
        self.start
    }

    pub(crate) fn listen(&mut self, listeners: &[ListenerSpec]) {
        let now_ms = 1_700_000_000_000 + (self.now - self.start).as_millis() as u64;
        self.group.set_listeners(self.now, now_ms, listeners).unwrap();
        self.pump();
    }

    /// Answers every question about routes: topic `t` has these queues, nothing else exists.
    pub(crate) fn answer_routes(&mut self, queues: &[i32]) {
        self.pump();
        while let Some(place) =
            self.actions.iter().position(|action| matches!(action, Action::RefreshRoute { .. }))
        {
            let Action::RefreshRoute { topic } = self.actions.remove(place) else { unreachable!() };
            let route = match &*topic {
                "t" => Route::Found(queues.iter().map(|&id| mq(id)).collect()),
                _ => Route::Missing,
            };
            self.group.handle_route(self.now, &topic, route);
            self.pump();
        }
    }

    pub(crate) fn heartbeat(&mut self) {
        take!(self, Action::Heartbeat(_) => ());
        self.group.handle_heartbeat(self.now, HeartbeatOutcome::Accepted);
        self.pump();
    }

    pub(crate) fn members(&mut self, ids: &[&str]) {
        let topic = take!(self, Action::QueryMembers { topic } => topic);
        let ids = ids.iter().map(|&id| id.to_owned()).collect();
        self.group.handle_members(self.now, &topic, Some(ids));
        self.pump();
    }

    pub(crate) fn pull(&mut self) -> PullRequest {
        take!(self, Action::Pull(request) => request)
    }

    /// Answers the pull on the way with plain messages at these offsets.
    pub(crate) fn feed(&mut self, offsets: std::ops::Range<i64>) {
        let pull = self.pull();
        let messages = offsets.clone().map(|offset| message(&pull.mq, offset, &[])).collect();
        self.answer(pull.id, found(messages, offsets.end));
    }

    pub(crate) fn answer(&mut self, id: PullId, outcome: PullOutcome) {
        self.group.handle_pulled(self.now, id, outcome);
        self.pump();
    }

    pub(crate) fn batch(&mut self) -> Batch {
        take!(self, Action::Consume(batch) => batch)
    }

    pub(crate) fn consumed(&mut self, batch: &Batch, settlement: &Settlement) {
        let settlements = batch.messages.iter().map(|_| settlement.clone()).collect();
        self.group.handle_consumed(self.now, batch.id, settlements);
        self.pump();
    }

    pub(crate) fn pump(&mut self) {
        while let Some(action) = self.group.poll_action(self.now) {
            match action {
                Action::Event(event) => self.events.push(event),
                Action::Lock(request) if self.locks_granted => {
                    self.group.handle_locked(self.now, request.id, Ok(request.mqs));
                }
                Action::Unlock(UnlockRequest { id: Some(id), .. }) if self.locks_granted => {
                    self.group.handle_unlocked(self.now, id, Ok(()));
                }
                Action::Journal(QueueJournal { mq, settled: Some(settled) }) => {
                    self.journal.insert(mq, settled);
                }
                Action::Journal(QueueJournal { mq, settled: None }) => _ = self.journal.remove(&mq),
                action => self.actions.push(action),
            }
        }
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(next) = self.group.poll_timeout().filter(|&next| next <= end) {
            self.now = next.max(self.now);
            self.pump();
        }
        self.now = end;
        self.pump();
    }

    pub(crate) fn count(&mut self, wanted: impl Fn(&Action) -> bool) -> usize {
        self.pump();
        self.actions.iter().filter(|action| wanted(action)).count()
    }

    pub(crate) fn has(&mut self, wanted: impl Fn(&Action) -> bool) -> bool {
        self.count(wanted) > 0
    }

    pub(crate) fn status(&self, id: i32) -> QueueStatus {
        self.group.queues(self.now).find(|status| status.mq == mq(id)).expect("the queue is owned")
    }
}
