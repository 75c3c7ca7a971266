//! Queue selectors as components: what a good one answers, and what each bad one costs.

use gantry_engine::{Grants, MessageQueue, OutgoingMessage, Plugin, SelectorFailure, SelectorModule};

use crate::common::{PATIENCE, SHORT, component, engine};

fn plugin(name: &str) -> Plugin {
    engine().load_plugin(&component(name), &Grants::NONE, &mut |_| ()).unwrap()
}

fn selector(name: &str) -> SelectorModule {
    plugin(name).selector.unwrap()
}

fn ask(selector: &SelectorModule, arg: &str) -> Result<usize, SelectorFailure> {
    let queue = |queue_id| MessageQueue { topic: "orders".into(), broker_name: "broker-a".into(), queue_id };
    let queues: Vec<_> = (0..8).map(queue).collect();
    let message =
        OutgoingMessage { topic: "orders".into(), body: vec![7; 100], ..OutgoingMessage::default() };
    selector.select(&queues, &message, arg, PATIENCE)
}

#[test]
fn the_sample_sends_equal_arguments_to_one_queue_from_ready_instances() {
    let sample = plugin("jump-hash");
    assert_eq!((sample.roles(), sample.version()), (vec!["selector"], "1.0.0"));
    let selector = sample.selector.unwrap();
    assert_eq!((&*selector.description().name, selector.hash()), ("jump-hash", sample.hash));
    let places: Vec<_> = (0..64).map(|order| ask(&selector, &format!("order-{order}")).unwrap()).collect();
    let again: Vec<_> = (0..64).map(|order| ask(&selector, &format!("order-{order}")).unwrap()).collect();
    assert_eq!(places, again);
    assert!((0..8).all(|queue| places.contains(&queue)), "{places:?}");
    let stats = selector.stats();
    assert_eq!((stats.created, stats.reused, stats.idle, stats.in_use), (1, 128, 1, 0));
    let refused = ask(&selector, "").unwrap_err();
    assert!(matches!(refused, SelectorFailure::Refused(_)), "{refused}");
}

#[test]
fn calls_in_parallel_have_instances_of_their_own() {
    let selector = selector("jump-hash");
    let expected = ask(&selector, "one").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(ask(&selector, "one"), Ok(expected))));
        }
    });
    assert!(selector.stats().created <= 4);
}

#[test]
pub(crate) fn a_selector_that_traps_gives_no_answer_each_time() {
    let selector = selector("selector-traps");
    for _ in 0..2 {
        let failure = ask(&selector, "a").unwrap_err();
        assert!(failure.to_string().starts_with("the selector trapped: "), "{failure}");
    }
    assert_eq!(selector.stats().retired_dead, 2);
}

#[test]
pub(crate) fn a_selector_in_an_endless_loop_is_stopped() {
    let answer = selector("selector-spins").select(&[], &OutgoingMessage::default(), "a", SHORT);
    assert_eq!(answer, Err(SelectorFailure::Deadline { deadline: SHORT }));
}

#[test]
pub(crate) fn a_queue_that_there_is_not_is_no_answer() {
    let failure = ask(&selector("selector-absurd"), "a").unwrap_err();
    assert_eq!(failure, SelectorFailure::NoSuchQueue { index: 8, there: 8 });
    assert_eq!(failure.to_string(), "the selector chose queue 8 where there are 8, counted from 0");
}
