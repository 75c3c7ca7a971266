//! A consumer group of one queue, driven as the host drives it, without its tasks and threads.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use gantry_core::{
    Action, Batch, ConsumerGroup, FilterExpression, GroupConfig, HeartbeatOutcome, ListenerId, ListenerSpec,
    OffsetAnswer, PullAnswer, PullId, PullOutcome, Route, SUB_ALL, Subscription,
};
use gantry_protocol::MessageQueue;

use crate::setting::Setting;

const CLIENT_ID: &str = "10.0.0.1@counts";
/// How far the machine's clock goes on with each pull.
const PULL_TAKES: Duration = Duration::from_micros(100);

pub(crate) struct Machine {
    group: ConsumerGroup,
    now: Instant,
    mq: MessageQueue,
    pull: Option<PullId>,
    batches: VecDeque<Batch>,
}

impl Machine {
    /// A group that has its queue, and whose first pull is on the way.
    pub(crate) fn consuming(topic: &str, setting: Setting) -> Result<Self> {
        let config = GroupConfig {
            pull_batch_size: u32::try_from(setting.pull)?,
            consume_message_batch_max_size: u32::try_from(setting.batch)?,
            ..GroupConfig::new("counts")
        };
        let mut group = ConsumerGroup::new(config, CLIENT_ID, 7)?;
        let (now, everything) = (Instant::now(), FilterExpression::Tag(SUB_ALL.to_owned()));
        let subscription = Subscription { topic: topic.to_owned(), expression: everything };
        group.set_listeners(now, 1, &[ListenerSpec::new(ListenerId(1), vec![subscription])])?;
        let mq = MessageQueue::new(topic, "broker", 0);
        let mut machine = Self { group, now, mq, pull: None, batches: VecDeque::new() };
        machine.act();
        match machine.pull {
            Some(_) => Ok(machine),
            None => bail!("the group's machine does not pull"),
        }
    }

    /// Brings the answer to the pull on the way. The batches it makes possible are to be taken.
    pub(crate) fn pulled(&mut self, answer: PullAnswer) -> Result<()> {
        let Some(id) = self.pull.take() else { bail!("an answer to no pull") };
        self.now += PULL_TAKES;
        self.group.handle_pulled(self.now, id, PullOutcome::Answered(answer));
        self.act();
        Ok(())
    }

    /// The next batch, if there is one.
    pub(crate) fn batch(&mut self) -> Option<Batch> {
        self.batches.pop_front()
    }

    /// Tells that a batch has been consumed, all of it.
    pub(crate) fn consumed(&mut self, batch: &Batch) {
        self.group.handle_succeeded(self.now, batch.id);
        self.act();
    }

    /// Messages settled with success.
    pub(crate) fn succeeded(&self) -> u64 {
        self.group.stats().succeeded
    }

    fn act(&mut self) {
        while let Some(action) = self.group.poll_action(self.now) {
            match action {
                Action::Consume(batch) => self.batches.push_back(batch),
                Action::Pull(request) => self.pull = Some(request.id),
                Action::RefreshRoute { topic } => {
                    let found = if topic == self.mq.topic { vec![self.mq.clone()] } else { Vec::new() };
                    self.group.handle_route(self.now, &topic, Route::Found(found));
                }
                Action::Heartbeat(_) => self.group.handle_heartbeat(self.now, HeartbeatOutcome::Accepted),
                Action::QueryMembers { topic } => {
                    self.group.handle_members(self.now, &topic, Some(vec![CLIENT_ID.to_owned()]));
                }
                Action::QueryOffset { id, .. } => {
                    self.group.handle_offset(self.now, id, OffsetAnswer::Found(0));
                }
                Action::Lock(request) => self.group.handle_locked(self.now, request.id, Ok(request.mqs)),
                // Nothing waits for what is left: offsets sent one-way, snapshots, events.
                _ => {}
            }
        }
    }
}
