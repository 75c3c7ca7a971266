use bytes::BytesMut;
use gantry_core::{BatchId, ListenerId, MessageModel, RetryDelay};
use gantry_engine::{ListenerDescription, Order, QUICK};
use gantry_protocol::{MessageRecord, Namespace, decode_all, sys_flag};
use tokio::sync::mpsc;

use super::*;
use crate::config::{BreakerSettings, GantryConfig};
use crate::group::{ListenerThreads, Native, NativeListener};
use crate::observer::Unobserved;
use crate::plugins::ListenerPlan;
use crate::status::Outcomes;

const AGAIN_BY_ATTEMPTS: Settlement = Settlement::ReconsumeLater(RetryDelay::ByAttempts);

/// A listener that is never called.
struct Nobody;

impl NativeListener for Nobody {
    fn describe(&self) -> ListenerDescription {
        ListenerDescription::new("nobody", "group", "topic")
    }

    fn consume(&self, _: &ConsumeContext<'_>, _: &dyn MessageBatch) -> Vec<ConsumeResult> {
        unreachable!("its calls end as the test says")
    }
}

/// A listener that takes its time.
struct Takes(Duration);

impl NativeListener for Takes {
    fn describe(&self) -> ListenerDescription {
        Nobody.describe()
    }

    fn consume(&self, _: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
        std::thread::sleep(self.0);
        vec![ConsumeResult::Success; batch.len()]
    }
}

/// A hand-over of so many messages, so many in a call; the bodies of those at `corrupt` cannot be read.
pub(in crate::group) fn hand_over(
    messages: usize,
    call_size: usize,
    corrupt: &[usize],
) -> (HandOver, mpsc::Receiver<Input>) {
    hand_over_to(Arc::new(Nobody), messages, call_size, corrupt)
}

fn hand_over_to(
    native: Arc<dyn NativeListener>,
    messages: usize,
    call_size: usize,
    corrupt: &[usize],
) -> (HandOver, mpsc::Receiver<Input>) {
    let mut bytes = BytesMut::new();
    for place in 0..messages {
        let sys_flag = if corrupt.contains(&place) { sys_flag::COMPRESSED } else { 0 };
        let body = b"not compressed".as_slice().into();
        let record = MessageRecord { queue_offset: place as i64, sys_flag, body, ..MessageRecord::default() };
        record.encode(&mut bytes).unwrap();
    }
    let stored: Vec<_> = decode_all(bytes.freeze()).map(Result::unwrap).collect();
    let (batch, corrupt) = HostBatch::new(stored.into(), 0, false);
    let (inputs, told) = mpsc::channel(8);
    let consumption = Consumption {
        name: "group".into(),
        group: "group".into(),
        namespace: Namespace::default(),
        threads: Arc::new(ListenerThreads::new(1)),
        observer: Arc::new(Unobserved),
        inputs,
        tallies: Arc::default(),
        traces: None,
    };
    let plan = ListenerPlan::new("nobody", &native.describe(), &GantryConfig::default());
    let native = || Native::new(Arc::clone(&native), "1".to_owned());
    let listener = Listener::native(ListenerId(1), "nobody", plan, BreakerSettings::default(), native());
    let handed = Handed {
        id: BatchId::default(),
        consumption: Arc::new(consumption),
        listener: Arc::new(listener),
        call: Call::Native(Arc::new(native())),
        trial: None,
        way: Way {
            topic: "topic".into(),
            broker_name: "broker-a".into(),
            queue_id: 0,
            deadline: Duration::from_secs(1),
            order: Order::Any,
        },
        queue_topic: "topic".into(),
        terms: Terms { message_model: MessageModel::Clustering, in_order: false, max_reconsume_times: 16 },
        tally: Arc::default(),
        batch: Arc::new(batch),
        corrupt,
        messages,
        call_size,
    };
    (HandOver::new(handed), told)
}

fn outcomes(hand_over: &HandOver) -> Outcomes {
    hand_over.handed.listener.outcomes()
}

/// A call ends with these results.
fn ends(hand_over: &HandOver, call: usize, result: &ConsumeResult) {
    let outcome = Outcome { result: result.clone(), cause: Cause::Answered };
    let outcomes = vec![outcome; hand_over.range(call).len()];
    let report =
        BatchReport { outcomes, batch_failure: None, calls: 1, instances_lost: 0, took: Duration::ZERO };
    hand_over.ended(call, None, report);
}

fn later() -> ConsumeResult {
    ConsumeResult::ReconsumeLater(gantry_engine::RetryDelay::ByAttempts)
}

#[test]
fn results_come_home_together_in_whatever_order_calls_end() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let (hand_over, mut told) = hand_over(5, 2, &[]);
        assert_eq!([(); 4].map(|()| hand_over.begin()), [Some(0), Some(1), Some(2), None]);
        for call in order {
            assert!(told.try_recv().is_err(), "some calls go on");
            let result = if call == 1 { later() } else { ConsumeResult::Success };
            ends(&hand_over, call, &result);
        }
        let Ok(Input::Consumed(_, settlements)) = told.try_recv() else { panic!("{order:?}") };
        let [one, again] = [Settlement::Success, AGAIN_BY_ATTEMPTS];
        assert_eq!(settlements, [one.clone(), one.clone(), again.clone(), again, one], "{order:?}");
        let expected = Outcomes { succeeded: 3, reconsumed: 2, ..Outcomes::default() };
        assert_eq!(outcomes(&hand_over), expected, "{order:?}");
        assert!(hand_over.recall().is_none(), "it is home");
    }
}

#[test]
fn successes_that_end_while_the_last_failure_comes_home_are_counted() {
    let (hand_over, mut told) = hand_over(2, 1, &[]);
    // The failure has counted what there was before it, and is on its way.
    hand_over.count(&mut hand_over.home());
    hand_over.succeeded(0, Duration::ZERO);
    assert_eq!(outcomes(&hand_over).succeeded, 0, "counted together, later");
    let news = hand_over.bring_home(1, Vec::new());
    assert!(matches!(news, Some(Input::Succeeded(_))) && told.try_recv().is_err());
    assert_eq!(outcomes(&hand_over).succeeded, 1);
}

#[test]
fn messages_that_cannot_be_read_end_with_the_first_call() {
    let (hand_over, mut told) = hand_over(4, 1, &[0, 2]);
    assert_eq!(hand_over.calls(), 2);
    ends(&hand_over, 1, &ConsumeResult::Success);
    ends(&hand_over, 0, &ConsumeResult::Success);
    let Ok(Input::Consumed(_, settlements)) = told.try_recv() else { panic!("not home") };
    let [one, again] = [Settlement::Success, AGAIN_BY_ATTEMPTS];
    assert_eq!(settlements, [again.clone(), one.clone(), again, one]);
    let expected = Outcomes { succeeded: 2, reconsumed: 2, failed: 2, ..Outcomes::default() };
    assert_eq!(outcomes(&hand_over), expected);
}

#[test]
fn where_nothing_can_be_read_one_call_says_so() {
    let (hand_over, mut told) = hand_over(2, 1, &[0, 1]);
    assert_eq!((hand_over.begin(), hand_over.begin()), (Some(0), None));
    ends(&hand_over, 0, &ConsumeResult::Success);
    let Ok(Input::Consumed(_, settlements)) = told.try_recv() else { panic!("not home") };
    assert_eq!(settlements, [AGAIN_BY_ATTEMPTS, AGAIN_BY_ATTEMPTS]);
}

#[test]
fn a_recall_takes_what_has_ended_and_what_nobody_has_begun() {
    let (hand_over, mut told) = hand_over(7, 1, &[3]);
    assert_eq!([(); 3].map(|()| hand_over.begin()), [Some(0), Some(1), Some(2)]);
    ends(&hand_over, 0, &ConsumeResult::Success);
    ends(&hand_over, 2, &later());
    let recalled = hand_over.recall().unwrap();
    let mut ended = recalled.ended;
    ended.sort_unstable_by_key(|(place, _)| *place);
    assert_eq!(ended, [(0, Settlement::Success), (2, AGAIN_BY_ATTEMPTS), (3, AGAIN_BY_ATTEMPTS)]);
    assert_eq!(recalled.untouched, [4, 5, 6], "the fourth message is the corrupt one");
    assert_eq!((hand_over.left(), hand_over.begin()), (0, None), "nobody begins them any more");
    assert!(told.try_recv().is_err() && hand_over.recall().is_none());
    assert_eq!(
        outcomes(&hand_over),
        Outcomes { succeeded: 1, reconsumed: 2, failed: 1, ..Outcomes::default() }
    );

    ends(&hand_over, 1, &ConsumeResult::Success);
    let Ok(Input::ConsumedPart(_, part)) = told.try_recv() else { panic!("not told") };
    assert_eq!(part, [(1, Settlement::Success)]);
    assert_eq!(outcomes(&hand_over).succeeded, 2);
}

#[test]
fn a_recall_before_anything_has_begun_takes_everything() {
    let (hand_over, _told) = hand_over(3, 1, &[1]);
    let mut untouched = hand_over.recall().unwrap().untouched;
    untouched.sort_unstable();
    assert_eq!(untouched, [0, 1, 2]);
}

#[test]
fn a_thread_goes_on_with_the_next_call_while_they_are_quick() {
    let (quick, mut told) = hand_over_to(Arc::new(Takes(Duration::ZERO)), 5, 2, &[]);
    let first = quick.begin().unwrap();
    // A machine that is busy may make any call slow.
    let quick = Arc::new(quick);
    let mut ran = Arc::clone(&quick).run(first, &Panics::default());
    while let Some(next) = quick.begin() {
        ran += Arc::clone(&quick).run(next, &Panics::default());
    }
    assert_eq!((ran, outcomes(&quick).succeeded), (3, 5));
    assert!(matches!(told.blocking_recv(), Some(Input::Succeeded(_))));

    let (slow, _told) = hand_over_to(Arc::new(Takes(QUICK)), 5, 2, &[]);
    let first = slow.begin().unwrap();
    let slow = Arc::new(slow);
    assert_eq!(Arc::clone(&slow).run(first, &Panics::default()), 1);
    assert_eq!(slow.left(), 2, "which other threads may take");
}

#[test]
fn a_series_takes_whole_calls_within_its_bytes() {
    let (hand_over, _told) = hand_over(5, 2, &[]);
    let size = hand_over.handed.batch.stored()[0].stored_size();
    let ends = |call| [0, 3, 4, 5].map(|messages| hand_over.end_of_series(call, messages * size));
    assert_eq!(ends(0), [2, 2, 4, 5], "with its own call at least, the last of which has one message");
    assert_eq!(ends(1), [4, 5, 5, 5]);
    assert_eq!(ends(2), [5; 4]);
}

#[test]
fn a_series_takes_no_more_calls_than_there_is_time_for() {
    let ends = |took| {
        let (hand_over, _told) = hand_over(8, 1, &[]);
        hand_over.succeeded(0, took);
        hand_over.end_of_series(1, usize::MAX)
    };
    assert_eq!([Duration::ZERO, QUICK / 2, QUICK, 3 * QUICK].map(ends), [8, 3, 2, 2]);
}

#[test]
fn the_calls_of_a_series_are_begun_by_one_and_told_once() {
    let (hand_over, mut told) = hand_over(4, 1, &[]);
    let hand_over = Arc::new(hand_over);
    let turns = Turns::new(Arc::clone(&hand_over), hand_over.begin().unwrap());
    assert_eq!((turns.end(), turns.messages()), (4, 1));
    assert_eq!(turns.consumed(Duration::ZERO), Some(1..2));
    assert_eq!(hand_over.begin(), Some(2), "by another thread");
    let report = BatchReport::all_consumed(1, Duration::ZERO);
    assert_eq!(turns.ended(report.clone()), Some(3..4));
    assert_eq!(turns.consumed(Duration::ZERO), None, "none is left");
    assert_eq!((turns.at_hand(), turns.ran(), turns.messages()), (None, 3, 0));
    assert_eq!(turns.consumed(Duration::ZERO), None, "nothing is told twice");
    assert!(told.try_recv().is_err());
    hand_over.ended(2, None, report);
    assert!(matches!(told.try_recv(), Ok(Input::Succeeded(_))));
}

#[test]
fn a_series_ends_when_its_calls_have_taken_long_enough_or_are_recalled() {
    let begun = || {
        let hand_over = Arc::new(hand_over(3, 1, &[]).0);
        (Turns::new(Arc::clone(&hand_over), hand_over.begin().unwrap()), hand_over)
    };
    let (turns, hand_over) = begun();
    assert_eq!(turns.consumed(QUICK), None);
    assert_eq!((turns.ran(), hand_over.left()), (1, 2));
    let (turns, hand_over) = begun();
    assert!(hand_over.recall().is_some());
    assert_eq!((turns.consumed(Duration::ZERO), hand_over.left()), (None, 0));
}
