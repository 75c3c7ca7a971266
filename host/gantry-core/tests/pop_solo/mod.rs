//! One group that pops, answered by hand, in virtual time.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use gantry_core::*;
use gantry_protocol::pop::PopReceipt;
use gantry_protocol::{MessageExt, MessageQueue, MessageRecord, properties};

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn any_queue(broker: &str) -> MessageQueue {
    MessageQueue::new("t", broker, -1)
}

/// A message of queue 0 of `t`, as a broker pops it.
pub(crate) fn message(offset: i64, tag: &str, reconsume_times: i32) -> MessageExt {
    let record = MessageRecord {
        topic: "t".to_owned(),
        queue_offset: offset,
        reconsume_times,
        properties: properties::encode([("TAGS", tag)]).into(),
        ..MessageRecord::default()
    };
    let mut bytes = BytesMut::new();
    record.encode(&mut bytes).unwrap();
    MessageExt::decode(bytes.freeze()).unwrap()
}

pub(crate) fn popped(message: MessageExt, pop_time: i64, invisible: Duration) -> PoppedMessage {
    let receipt = PopReceipt {
        check_point_offset: message.queue_offset(),
        pop_time,
        invisible_time: i64::try_from(invisible.as_millis()).unwrap(),
        offset: message.queue_offset(),
        ..PopReceipt::default()
    };
    PoppedMessage { message, receipt, filtered: false }
}

pub(crate) fn listener(id: u64, tags: &str) -> ListenerSpec {
    let expression = FilterExpression::Tag(tags.to_owned());
    ListenerSpec::new(ListenerId(id), vec![Subscription { topic: "t".to_owned(), expression }])
}

pub(crate) struct Solo {
    pub(crate) now: Instant,
    pub(crate) group: PopConsumerGroup,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) events: Vec<String>,
}

impl Solo {
    /// A group whose heartbeat is accepted and whose route is one broker; its assignment is not answered yet.
    pub(crate) fn connected(config: GroupConfig, listeners: &[ListenerSpec]) -> Self {
        let group = PopConsumerGroup::new(config, "10.0.0.1@gantry#1", 7).unwrap();
        let mut solo = Self { now: Instant::now(), group, actions: VecDeque::new(), events: Vec::new() };
        solo.listen(listeners);
        solo.take("a route", |action| matches!(action, Action::RefreshRoute { .. }));
        solo.route(&["broker-a"]);
        solo.take("a heartbeat", |action| matches!(action, Action::Heartbeat(_)));
        solo.group.handle_heartbeat(solo.now, HeartbeatOutcome::Accepted);
        solo.pump();
        solo
    }

    /// The same, popping any queue of the broker; its first pop is among the actions.
    pub(crate) fn popping(config: GroupConfig, listeners: &[ListenerSpec]) -> Self {
        let mut solo = Self::connected(config, listeners);
        solo.assigned(Assignment::Unset);
        solo
    }

    pub(crate) fn listen(&mut self, listeners: &[ListenerSpec]) {
        self.group.set_listeners(self.now, 1_000, listeners).unwrap();
        self.pump();
    }

    pub(crate) fn route(&mut self, brokers: &[&str]) {
        let queues = brokers.iter().map(|broker| MessageQueue::new("t", *broker, 0)).collect();
        self.group.handle_route(self.now, "t", Route::Found(queues));
        self.pump();
    }

    pub(crate) fn assigned(&mut self, assignment: Assignment) {
        self.take("a question for the assignment", |action| matches!(action, Action::QueryAssignment { .. }));
        self.group.handle_assignment(self.now, "t", assignment);
        self.pump();
    }

    pub(crate) fn pump(&mut self) {
        while let Some(action) = self.group.poll_action(self.now) {
            match action {
                Action::Event(event) => self.events.push(event.to_string()),
                action => self.actions.push_back(action),
            }
        }
    }

    /// Lets time pass, firing each timer when it is due.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.group.poll_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.pump();
        }
        self.now = end;
        self.pump();
    }

    pub(crate) fn take(&mut self, what: &str, is: impl Fn(&Action) -> bool) -> Action {
        let place = self.actions.iter().position(is);
        let place = place.unwrap_or_else(|| panic!("{what} was not asked for: {:?}", self.actions));
        self.actions.remove(place).unwrap()
    }

    pub(crate) fn nothing(&self, what: &str, is: impl Fn(&Action) -> bool) {
        assert!(!self.actions.iter().any(is), "{what} was asked for: {:?}", self.actions);
    }

    pub(crate) fn pop(&mut self) -> PopRequest {
        match self.take("a pop", |action| matches!(action, Action::Pop(_))) {
            Action::Pop(request) => request,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn found(&mut self, pop: &PopRequest, messages: Vec<PoppedMessage>) {
        self.group.handle_popped(self.now, pop.id, PopOutcome::Found(messages));
        self.pump();
    }

    /// Answers the next pop with messages of these offsets.
    pub(crate) fn feed(&mut self, offsets: std::ops::Range<i64>) {
        let pop = self.pop();
        let messages = offsets.map(|offset| popped(message(offset, "a", 0), 1_000, pop.invisible_time));
        self.found(&pop, messages.collect());
    }

    pub(crate) fn batch(&mut self) -> Batch {
        match self.take("a batch", |action| matches!(action, Action::Consume(_))) {
            Action::Consume(batch) => batch,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn no_batch(&self) {
        self.nothing("a batch", |action| matches!(action, Action::Consume(_)));
    }

    pub(crate) fn consumed(&mut self, batch: &Batch, results: &[Settlement]) {
        self.group.handle_consumed(self.now, batch.id, results.to_vec());
        self.pump();
    }

    pub(crate) fn ack(&mut self) -> AckRequest {
        match self.take("an acknowledgement", |action| matches!(action, Action::Ack(_))) {
            Action::Ack(request) => request,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn acked(&mut self, ack: &AckRequest, result: Result<(), String>) {
        self.group.handle_acked(self.now, ack.id, result);
        self.pump();
    }

    pub(crate) fn change(&mut self) -> ChangeRequest {
        let is = |action: &Action| matches!(action, Action::ChangeInvisibleTime(_));
        match self.take("a change of an invisible time", is) {
            Action::ChangeInvisibleTime(request) => request,
            other => panic!("{other:?}"),
        }
    }

    /// Answers a change as a broker does.
    pub(crate) fn changed(&mut self, change: &ChangeRequest) {
        let invisible = i64::try_from(change.invisible_time.as_millis()).unwrap();
        let receipt = change.receipt.changed(change.receipt.pop_time + 1, invisible, 0);
        self.group.handle_changed(self.now, change.id, Ok(receipt));
        self.pump();
    }

    /// How many messages are held.
    pub(crate) fn held(&self) -> usize {
        self.group.queues(self.now).map(|queue| queue.cached_count).sum()
    }
}

pub(crate) fn offsets(batch: &Batch) -> Vec<i64> {
    batch.messages.iter().map(MessageExt::queue_offset).collect()
}

pub(crate) fn acked_offsets(ack: &AckRequest) -> Vec<i64> {
    ack.acks.iter().map(|(_, receipt)| receipt.offset).collect()
}
