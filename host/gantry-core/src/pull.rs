//! One queue's pulls: at most one on the way, and what each answer means (RocketMQ: PullMessageService, PullCallback).

use std::time::{Duration, Instant};

use gantry_protocol::{MessageExt, MessageQueue, ResponseCode};

use crate::backoff::Backoff;
use crate::config::GroupConfig;
use crate::event::Event;
use crate::flow_control::Gate;
use crate::input::{PullAnswer, PullOutcome, PullStatus};
use crate::which_node::{MASTER, PullFrom, WhichNode};

/// A broker that does not know the subscription yet is told it again and has this long to learn it.
const SUBSCRIPTION_DELAY: Duration = Duration::from_secs(3);
/// RocketMQ: PULL_TIME_DELAY_MILLS_WHEN_BROKER_FLOW_CONTROL.
const BROKER_FLOW_CONTROL_DELAY: Duration = Duration::from_millis(20);
/// The longest wait after failed pulls.
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// An answer without news that comes sooner than this was not held by the broker.
const NOT_HELD: Duration = Duration::from_millis(50);
/// A broker that holds no pulls is asked less and less often, up to its own short-polling time.
const UNHELD: Backoff = Backoff { first: BROKER_FLOW_CONTROL_DELAY, most: Duration::from_secs(1) };

/// How long a broker is given to come to a pull, which it may then hold for much longer: it does so in other threads than it
/// stores offsets in, so that what a pull carries may overwrite what was sent after it.
const TAKEN_UP: Duration = Duration::from_millis(200);

/// What follows from a pull's end.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Take these messages, go on at `next`, after `pause`.
    Proceed { messages: Vec<MessageExt>, next: i64, pause: Duration },
    /// The offset was wrong; this is the right one.
    Correct { to: i64, reset: bool },
    /// Nothing was learnt; pull again later.
    Again { pause: Duration, heartbeat: bool, event: Option<Event> },
}

#[derive(Debug)]
pub(crate) struct PullState {
    /// The pull on the way.
    outstanding: Option<u64>,
    /// The offset the latest pull carries, unless it has been answered, and when a broker has stored it at the latest.
    carries: Option<(i64, Instant)>,
    /// No pull before this time.
    pub(crate) not_before: Option<Instant>,
    pub(crate) gate: Option<Gate>,
    node: WhichNode,
    pub(crate) max_offset: i64,
    pub(crate) last: Option<Instant>,
    /// When a broker last answered with one of the four statuses.
    pub(crate) answered: Option<Instant>,
    failures: u32,
    unheld: u32,
}

impl PullState {
    pub(crate) fn new() -> Self {
        Self {
            outstanding: None,
            carries: None,
            not_before: None,
            gate: None,
            node: WhichNode::new(),
            max_offset: -1,
            last: None,
            answered: None,
            failures: 0,
            unheld: 0,
        }
    }

    /// Whether the last pull was refused or failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// The pull on the way.
    pub(crate) fn outstanding(&self) -> Option<u64> {
        self.outstanding
    }

    /// A pull begins that carries this offset; which broker it is to ask.
    pub(crate) fn started(&mut self, now: Instant, serial: u64, commit_offset: Option<i64>) -> PullFrom {
        self.outstanding = Some(serial);
        self.carries = commit_offset.map(|offset| (offset, now + TAKEN_UP));
        self.not_before = None;
        self.gate = None;
        self.last = Some(now);
        self.node.ask(now)
    }

    /// Whether this is the pull on the way, which it then no longer is. Where it failed, nobody knows whether a broker has
    /// come to it, or will.
    pub(crate) fn ended(&mut self, serial: u64, outcome: &PullOutcome) -> bool {
        let expected = self.outstanding == Some(serial);
        if expected {
            self.outstanding = None;
            if !matches!(outcome, PullOutcome::Failed(_)) {
                self.carries = None;
            }
        }
        expected
    }

    /// Until when a pull on the way may make a broker store another offset than this.
    pub(crate) fn may_overwrite(&self, offset: i64) -> Option<Instant> {
        self.carries.filter(|(carried, _)| *carried != offset).map(|(_, until)| until)
    }

    /// Judges an outcome of a pull that began at `offset`.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        mq: &MessageQueue,
        offset: i64,
        outcome: PullOutcome,
        config: &GroupConfig,
        random: &mut fastrand::Rng,
    ) -> Verdict {
        let (code, reason) = match outcome {
            PullOutcome::Answered(answer) if moved_by_replica(&answer) => {
                let id = answer.broker_id;
                let reason =
                    format!("replica {id} does not have offset {offset}, and only a master moves one");
                (Some(ResponseCode::PULL_OFFSET_MOVED), reason)
            }
            PullOutcome::Answered(answer) => match contradiction(offset, &answer) {
                None => return self.judge_answer(now, offset, answer, config, random),
                Some(contradiction) => (None, contradiction),
            },
            PullOutcome::Refused { code, remark } => (Some(code), remark),
            PullOutcome::Failed(reason) => (None, reason),
        };
        self.failures = self.failures.saturating_add(1);
        self.unheld = 0;
        let replica_answers = match code {
            Some(_) => {
                self.node.refused();
                false
            }
            None => self.node.failed(now, random),
        };
        let growing = Backoff { first: config.pull_time_delay_when_exception, most: LONGEST_DELAY };
        let (pause, heartbeat) = match code {
            Some(
                ResponseCode::SUBSCRIPTION_NOT_EXIST
                | ResponseCode::SUBSCRIPTION_NOT_LATEST
                | ResponseCode::FILTER_DATA_NOT_EXIST
                | ResponseCode::FILTER_DATA_NOT_LATEST,
            ) => (SUBSCRIPTION_DELAY, true),
            Some(ResponseCode::FLOW_CONTROL) => (BROKER_FLOW_CONTROL_DELAY, false),
            None if replica_answers => (Duration::ZERO, false),
            _ => (growing.after(self.failures, random), false),
        };
        let mq = mq.clone();
        let event = match code {
            Some(code) => Event::PullRefused { mq, code, remark: reason, retry_in: pause },
            None => Event::PullFailed { mq, reason, retry_in: pause },
        };
        let event = self.failures.is_power_of_two().then_some(event);
        Verdict::Again { pause, heartbeat, event }
    }

    fn judge_answer(
        &mut self,
        now: Instant,
        offset: i64,
        answer: PullAnswer,
        config: &GroupConfig,
        random: &mut fastrand::Rng,
    ) -> Verdict {
        self.failures = 0;
        self.answered = Some(now);
        self.node.answered(answer.broker_id, answer.suggest_which_broker_id);
        self.max_offset = self.max_offset.max(answer.max_offset);
        // Messages may come in while the broker reads, past the end it names. Past both there is nothing it can know of.
        let last = answer.messages.last().map_or(offset, |message| message.queue_offset().saturating_add(1));
        let next = answer.next_begin_offset.min(answer.max_offset.max(last));
        let news = next > offset;
        let held = self.last.is_none_or(|asked| now.saturating_duration_since(asked) >= NOT_HELD);
        self.unheld = if news || held { 0 } else { self.unheld.saturating_add(1) };
        let unheld_pause = match self.unheld {
            0 | 1 => Duration::ZERO,
            times => UNHELD.after(times - 1, random),
        };
        match answer.status {
            PullStatus::OffsetIllegal => {
                Verdict::Correct { to: answer.next_begin_offset.max(0), reset: answer.reset }
            }
            PullStatus::Found => {
                let interval = Duration::from_millis(u64::from(config.pull_interval));
                Verdict::Proceed { messages: answer.messages, next, pause: interval.max(unheld_pause) }
            }
            PullStatus::NoNewMsg | PullStatus::NoMatchedMsg => {
                Verdict::Proceed { messages: Vec::new(), next, pause: unheld_pause }
            }
        }
    }
}

/// Where an answer says two things that cannot both be: obeyed, it would move the offset past messages nobody has seen.
fn contradiction(offset: i64, answer: &PullAnswer) -> Option<String> {
    let PullAnswer { status, next_begin_offset: next, max_offset: max, .. } = *answer;
    let beyond = answer.messages.iter().map(MessageExt::queue_offset).find(|&offset| offset >= next);
    match beyond {
        Some(beyond) => {
            Some(format!("the broker answered a message of offset {beyond} and to go on at {next}"))
        }
        None if status == PullStatus::OffsetIllegal && !answer.reset && next > max => Some(format!(
            "the broker answered that offset {offset} is illegal and {next} is not, in a queue that ends at {max}"
        )),
        None => None,
    }
}

/// A replica may lag behind its master, or have begun later: what it does not have says nothing about the queue.
fn moved_by_replica(answer: &PullAnswer) -> bool {
    answer.status == PullStatus::OffsetIllegal && answer.broker_id != MASTER
}

#[cfg(test)]
mod tests {
    use gantry_protocol::MessageRecord;

    use super::*;

    fn answer(status: PullStatus, next: i64) -> PullAnswer {
        PullAnswer {
            status,
            next_begin_offset: next,
            min_offset: 0,
            max_offset: 500,
            broker_id: 0,
            suggest_which_broker_id: 0,
            reset: false,
            messages: Vec::new(),
        }
    }

    struct Bench {
        state: PullState,
        random: fastrand::Rng,
        config: GroupConfig,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let (random, config) = (fastrand::Rng::with_seed(3), GroupConfig::new("g"));
            Self { state: PullState::new(), random, config, now: Instant::now() }
        }

        fn judge_after(&mut self, took: Duration, outcome: PullOutcome) -> Verdict {
            self.state.started(self.now, 1, None);
            self.now += took;
            let mq = MessageQueue::new("t", "b", 0);
            self.state.judge(self.now, &mq, 100, outcome, &self.config, &mut self.random)
        }

        fn pause_after(&mut self, outcome: PullOutcome) -> (Duration, bool) {
            match self.judge_after(Duration::from_millis(1), outcome) {
                Verdict::Again { pause, heartbeat, .. } => (pause, heartbeat),
                other => panic!("{other:?}"),
            }
        }

        fn refused(&mut self, code: ResponseCode) -> (Duration, bool) {
            self.pause_after(PullOutcome::Refused { code, remark: "no".to_owned() })
        }
    }

    #[test]
    fn a_broker_that_lacks_the_subscription_is_told_again_and_asked_in_three_seconds() {
        for code in [ResponseCode::SUBSCRIPTION_NOT_EXIST, ResponseCode::SUBSCRIPTION_NOT_LATEST] {
            assert_eq!(Bench::new().refused(code), (Duration::from_secs(3), true));
        }
    }

    #[test]
    fn a_broker_under_flow_control_is_asked_again_in_20_ms() {
        let mut bench = Bench::new();
        for _ in 0..5 {
            assert_eq!(bench.refused(ResponseCode::FLOW_CONTROL), (Duration::from_millis(20), false));
        }
    }

    #[test]
    fn failures_wait_a_second_and_longer_and_an_answer_starts_over() {
        let mut bench = Bench::new();
        let seconds = |bench: &mut Bench| {
            bench.pause_after(PullOutcome::Failed("connection reset".to_owned())).0.as_secs()
        };
        assert_eq!([(); 5].map(|()| seconds(&mut bench)), [1, 2, 4, 5, 5]);
        bench.judge_after(Duration::from_secs(15), PullOutcome::Answered(answer(PullStatus::NoNewMsg, 100)));
        assert_eq!(seconds(&mut bench), 1);
        assert_eq!(bench.refused(ResponseCode::TOPIC_NOT_EXIST).0.as_secs(), 2);
    }

    #[test]
    fn only_the_first_failures_of_a_row_are_told() {
        let mut bench = Bench::new();
        let told: Vec<bool> = (0..8)
            .map(|_| {
                let failed = PullOutcome::Failed("no route to host".to_owned());
                matches!(bench.judge_after(Duration::ZERO, failed), Verdict::Again { event: Some(_), .. })
            })
            .collect();
        assert_eq!(told, [true, true, false, true, false, false, false, true]);
    }

    #[test]
    fn the_suggested_broker_is_remembered_until_a_pull_fails() {
        let mut bench = Bench::new();
        let to_replica = PullAnswer { suggest_which_broker_id: 1, ..answer(PullStatus::Found, 132) };
        bench.judge_after(Duration::ZERO, PullOutcome::Answered(to_replica));
        assert_eq!(bench.state.started(bench.now, 2, None), PullFrom::Broker(1));
        bench.refused(ResponseCode::SYSTEM_ERROR);
        assert_eq!(bench.state.started(bench.now, 3, None), PullFrom::Broker(MASTER));
    }

    #[test]
    fn a_replica_that_is_known_to_answer_is_asked_at_once_when_the_master_fails() {
        let mut bench = Bench::new();
        let failed = || PullOutcome::Failed("connection refused".to_owned());
        assert_eq!(bench.pause_after(failed()).0.as_secs(), 1);
        assert_eq!(bench.state.started(bench.now, 2, None), PullFrom::Replica);
        let of_replica = PullAnswer { broker_id: 1, ..answer(PullStatus::Found, 132) };
        bench.judge_after(Duration::ZERO, PullOutcome::Answered(of_replica));
        bench.now += Duration::from_secs(6);
        assert_eq!(bench.pause_after(failed()).0, Duration::ZERO);
        assert_eq!(bench.state.started(bench.now, 3, None), PullFrom::Replica);
    }

    #[test]
    fn a_replica_moves_no_offset() {
        let mut bench = Bench::new();
        let behind = PullAnswer { broker_id: 1, ..answer(PullStatus::OffsetIllegal, 7) };
        match bench.judge_after(Duration::ZERO, PullOutcome::Answered(behind)) {
            Verdict::Again { event: Some(Event::PullRefused { remark, .. }), .. } => {
                assert_eq!(remark, "replica 1 does not have offset 100, and only a master moves one");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_broker_that_holds_no_pulls_is_not_asked_in_a_tight_loop() {
        let mut bench = Bench::new();
        let pause = |bench: &mut Bench, took: u64| {
            let nothing = PullOutcome::Answered(answer(PullStatus::NoNewMsg, 100));
            match bench.judge_after(Duration::from_millis(took), nothing) {
                Verdict::Proceed { pause, .. } => pause.as_millis(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(pause(&mut bench, 1), 0);
        assert!((20..=22).contains(&pause(&mut bench, 1)));
        assert!((40..=44).contains(&pause(&mut bench, 1)));
        assert_eq!(pause(&mut bench, 15_000), 0);
    }

    #[test]
    fn an_illegal_offset_is_corrected_to_where_the_broker_says() {
        let mut bench = Bench::new();
        let verdict =
            bench.judge_after(Duration::ZERO, PullOutcome::Answered(answer(PullStatus::OffsetIllegal, 7)));
        assert!(matches!(verdict, Verdict::Correct { to: 7, .. }));
    }

    fn message(queue_offset: i64) -> MessageExt {
        let mut record = bytes::BytesMut::new();
        MessageRecord { queue_offset, ..MessageRecord::default() }.encode(&mut record).unwrap();
        MessageExt::decode(record.freeze()).unwrap()
    }

    #[test]
    fn an_offset_past_the_queues_end_is_gone_to_only_as_far_as_there_are_messages() {
        let next = |status, messages: &[i64], next| {
            let messages = messages.iter().map(|&offset| message(offset)).collect();
            let answer = PullAnswer { messages, ..answer(status, next) };
            match Bench::new().judge_after(Duration::ZERO, PullOutcome::Answered(answer)) {
                Verdict::Proceed { next, .. } => next,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(next(PullStatus::NoNewMsg, &[], i64::MAX), 500);
        assert_eq!(next(PullStatus::NoMatchedMsg, &[], 501), 500);
        assert_eq!(next(PullStatus::Found, &[499, 500, 501], i64::MAX), 502, "they came in meanwhile");
        assert_eq!(next(PullStatus::Found, &[100], 132), 132, "what follows is not wanted");
        assert_eq!(next(PullStatus::NoNewMsg, &[], -1), -1);
    }

    #[test]
    fn an_answer_that_contradicts_itself_is_a_failure_and_is_told() {
        let told = |answer| match Bench::new().judge_after(Duration::ZERO, PullOutcome::Answered(answer)) {
            Verdict::Again { event: Some(event), .. } => event.to_string(),
            other => panic!("{other:?}"),
        };
        let beyond = PullAnswer { messages: vec![message(i64::MAX - 1)], ..answer(PullStatus::Found, 132) };
        assert!(told(beyond).contains("a message of offset 9223372036854775806 and to go on at 132"));
        let moved = told(answer(PullStatus::OffsetIllegal, i64::MAX));
        assert!(moved.contains("offset 100 is illegal and 9223372036854775807 is not"), "{moved}");
        let reset = PullAnswer { reset: true, ..answer(PullStatus::OffsetIllegal, 600) };
        let verdict = Bench::new().judge_after(Duration::ZERO, PullOutcome::Answered(reset));
        assert!(
            matches!(verdict, Verdict::Correct { to: 600, reset: true }),
            "an operator's wish is no contradiction"
        );
    }

    #[test]
    fn an_answer_to_another_pull_is_not_taken() {
        let mut state = PullState::new();
        state.started(Instant::now(), 5, None);
        let failed = PullOutcome::Failed("connection reset".to_owned());
        assert!(!state.ended(4, &failed));
        assert_eq!(state.outstanding(), Some(5));
        assert!(state.ended(5, &failed));
        assert!(!state.ended(5, &failed));
    }
}
