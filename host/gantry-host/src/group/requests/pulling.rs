//! Pulls: each is a call that the connection tells the end of, so that none needs a task while it waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use gantry_core::{GroupConfig, PullAnswer, PullFrom, PullId, PullOutcome, PullRequest, PullStatus};
use gantry_protocol::header::PullMessageRequestHeader;
use gantry_protocol::names::MASTER_ID;
use gantry_protocol::{MessageQueue, sys_flag};
use tokio::sync::mpsc::error::TrySendError;

use super::Requests;
use crate::client_instance::{self, BrokerAddress, CallError, Turn};
use crate::group::input::Input;
use crate::group::tally::Tally;

/// Answers larger than this, in bytes, are taken apart by a task, so that the connection goes on meanwhile. Others at once, while their
/// bytes are near.
const LARGE: usize = 1 << 20;
/// The same where hooks look at each message.
const LARGE_FOR_HOOKS: usize = 128 * 1024;

/// Pulls that are likely to bring so many bytes take a connection by their queue; others take the one of all calls.
const BULK: u64 = 64 * 1024;

/// What a message is thought to take, in bytes, before any has come.
const A_MESSAGE: u64 = 256;

/// A pull on its way.
struct Pull {
    requests: Requests,
    id: PullId,
    mq: MessageQueue,
    tally: Arc<Tally>,
    began: Instant,
    /// Its turn, if it is likely to be answered at once.
    turn: Option<Turn>,
}

/// How many bytes a pull brings where there are messages, from what the latest brought.
#[derive(Debug)]
pub(super) struct AnswerSize(AtomicU64);

impl AnswerSize {
    pub(super) fn new(config: &GroupConfig) -> Self {
        let guess = u64::from(config.pull_batch_size) * A_MESSAGE;
        Self(AtomicU64::new(guess.min(u64::from(config.pull_batch_size_in_bytes))))
    }

    fn expected(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Which of the broker's connections a pull takes.
    fn lane(&self, request: &PullRequest) -> usize {
        let bulk = request.expects_messages && self.expected() >= BULK;
        usize::try_from(request.mq.queue_id).ok().filter(|_| bulk).unwrap_or(0)
    }

    /// Two that come together may count as one.
    fn came(&self, bytes: usize) {
        let mean = self.expected();
        self.0.store(mean - mean / 4 + bytes as u64 / 4, Ordering::Relaxed);
    }
}

impl Requests {
    /// Asks the broker, finding out first where it is, if need be.
    pub(super) fn pull(&self, mut pull: PullRequest) {
        let broker_id = match pull.from {
            PullFrom::Broker(id) => Some(i64::try_from(id).unwrap_or(MASTER_ID)),
            PullFrom::Replica => None,
        };
        if let Some(broker) = self.0.client.known_broker(&pull.mq.broker_name, broker_id) {
            return self.pull_in_turn(broker, pull);
        }
        // By the time it leaves, what it would store may be old and the queue another's.
        pull.commit_offset = None;
        self.ask("find-broker", async move |this: Self| {
            let mq = &pull.mq;
            match this.0.client.broker_to_pull_from(&mq.topic, &mq.broker_name, broker_id).await {
                Ok(broker) => this.pull_in_turn(broker, pull),
                Err(error) => return Some(Input::Pulled(pull.id, PullOutcome::Failed(error.to_string()))),
            }
            None
        });
    }

    /// A pull that is likely to be answered at once goes out in its turn. One that has to wait for it stores nothing on the
    /// way, for the same reason.
    fn pull_in_turn(&self, broker: BrokerAddress, mut request: PullRequest) {
        if !request.expects_messages {
            return self.pull_from(broker, request, None);
        }
        let this = self.clone();
        self.0.client.pull_turns().take(self.0.answer_size.expected(), move |turn| {
            if turn.waited {
                request.commit_offset = None;
            }
            if !this.0.ended.is_cancelled() {
                this.pull_from(broker, request, Some(turn));
            }
        });
    }

    fn pull_from(&self, broker: BrokerAddress, request: PullRequest, turn: Option<Turn>) {
        let (header, timeout) = (self.pull_header(&request), request.timeout);
        let lane = self.0.answer_size.lane(&request);
        let tally = self.0.local.tallies.of(&request.mq.topic);
        let (id, mq) = (request.id, request.mq);
        let broker_name = Arc::clone(&mq.broker_name);
        let pull = Pull { requests: self.clone(), id, mq, tally, began: Instant::now(), turn };
        self.0
            .client
            .pull_then((broker, lane), &broker_name, header, timeout, move |answer| pull.ended(answer));
    }

    fn pull_header(&self, pull: &PullRequest) -> PullMessageRequestHeader {
        let mut flags = sys_flag::PULL_SUSPEND;
        if pull.commit_offset.is_some() {
            flags |= sys_flag::PULL_COMMIT_OFFSET;
        }
        let posted = pull.post_subscription.then_some(&pull.subscription.expression);
        if posted.is_some() {
            flags |= sys_flag::PULL_SUBSCRIPTION;
        }
        let narrow = |wide: u32| i32::try_from(wide).unwrap_or(i32::MAX);
        PullMessageRequestHeader {
            consumer_group: self.0.group.to_string(),
            topic: pull.mq.topic.to_string(),
            queue_id: pull.mq.queue_id,
            queue_offset: pull.offset,
            max_msg_nums: narrow(pull.max_msg_nums),
            sys_flag: flags,
            commit_offset: pull.commit_offset.unwrap_or(0),
            suspend_timeout_millis: i64::try_from(pull.suspend_timeout.as_millis()).unwrap_or(i64::MAX),
            subscription: posted.map(|expression| expression.text().to_owned()),
            sub_version: i64::try_from(pull.subscription.sub_version).unwrap_or(i64::MAX),
            expression_type: Some(pull.subscription.expression.kind().to_owned()),
            max_msg_bytes: Some(narrow(pull.max_msg_bytes)),
            ..PullMessageRequestHeader::default()
        }
    }
}

impl Pull {
    /// Brings the outcome to the group's task, mostly from the connection's.
    fn ended(mut self, answer: Result<client_instance::PullAnswer, CallError>) {
        let requests = self.requests.clone();
        if let (Some(_turn), Ok(answer)) = (self.turn.take(), &answer)
            && !answer.body.is_empty()
        {
            requests.0.answer_size.came(answer.body.len());
        }
        if requests.0.inputs.is_closed() {
            return;
        }
        let large = if requests.0.local.hooks.is_empty() { LARGE } else { LARGE_FOR_HOOKS };
        if answer.as_ref().is_ok_and(|answer| answer.body.len() > large) {
            return requests.ask("decode", async move |_: Requests| Some(self.outcome(answer)));
        }
        // There is nearly always room.
        if let Err(TrySendError::Full(input)) = requests.0.inputs.try_send(self.outcome(answer)) {
            requests.ask("pulled", async move |_: Requests| Some(input));
        }
    }

    fn outcome(self, answer: Result<client_instance::PullAnswer, CallError>) -> Input {
        let outcome = match answer {
            Ok(answer) => self.answered(&answer),
            Err(CallError::Refused { code, remark, .. }) => PullOutcome::Refused { code, remark },
            Err(error) => PullOutcome::Failed(error.to_string()),
        };
        Input::Pulled(self.id, outcome)
    }

    fn answered(&self, answer: &client_instance::PullAnswer) -> PullOutcome {
        let requests = &self.requests.0;
        let messages = match answer.messages() {
            Ok(messages) => {
                let mq = || requests.client.namespace().unwrap_queue(&self.mq);
                requests.local.hooks.keep(&requests.name, mq, messages)
            }
            Err(error) => return PullOutcome::Failed(format!("the messages cannot be read: {error}")),
        };
        if !messages.is_empty() {
            self.tally.pulled(messages.len(), self.began.elapsed());
        }
        PullOutcome::Answered(PullAnswer {
            status: match answer.status {
                client_instance::PullStatus::Found => PullStatus::Found,
                client_instance::PullStatus::NoNewMsg => PullStatus::NoNewMsg,
                client_instance::PullStatus::NoMatchedMsg => PullStatus::NoMatchedMsg,
                client_instance::PullStatus::OffsetIllegal => PullStatus::OffsetIllegal,
            },
            next_begin_offset: answer.next_begin_offset,
            min_offset: answer.min_offset,
            max_offset: answer.max_offset,
            broker_id: answer.broker_id.max(0).unsigned_abs(),
            suggest_which_broker_id: answer.suggest_which_broker_id.max(0).unsigned_abs(),
            reset: answer.reset,
            messages,
        })
    }
}
