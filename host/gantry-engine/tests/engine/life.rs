//! `init` and `drop` around the life of instances, and what ends it in good order.

use std::time::Duration;

use gantry_engine::{Engine, Grants, LoadError, MessageQueue, OutgoingMessage, Plugin};

use crate::common::{PATIENCE, component, consume, engine, engine_with, eventually};

fn load(engine: &Engine, name: &str) -> Result<Plugin, LoadError> {
    engine.load_plugin(&component(name), &Grants::NONE, &mut |_| ())
}

#[test]
pub(crate) fn every_role_works_in_instances_that_have_begun() {
    let engine = engine();
    let plugin = load(&engine, "lifecycle").unwrap();
    assert_eq!(plugin.roles(), ["listener", "strategy", "selector"]);
    assert_eq!(engine.instances_dropped(), 1, "the one that showed that the strategy can begin");
    let report = consume(plugin.listener.as_ref().unwrap(), &["a", "b"], PATIENCE);
    assert!(report.outcomes.iter().all(|outcome| outcome.cause.name() == "answered"), "{report:?}");
    let queues = [MessageQueue { topic: "t".into(), broker_name: "b".into(), queue_id: 0 }];
    let selector = plugin.selector.as_ref().unwrap();
    assert_eq!(selector.select(&queues, &OutgoingMessage::default(), "", PATIENCE), Ok(0));
    let strategy = plugin.strategy.as_ref().unwrap();
    assert_eq!(strategy.allocate("g", "a", &queues, &["a".into()], PATIENCE).as_deref(), Ok(&queues[..]));
    assert_eq!(engine.instances_dropped(), 2, "a strategy's instance ends with its answer");
}

#[test]
fn a_version_that_goes_drops_its_instances() {
    let engine = engine();
    let plugin = load(&engine, "lifecycle").unwrap();
    let listener = plugin.listener.clone().unwrap();
    assert_eq!(listener.warm(3), Ok(3));
    let (before, lent) = (engine.instances_dropped(), listener.checkout().unwrap());
    drop((plugin, listener));
    eventually("the selector's instance dropped", || engine.instances_dropped() == before + 1);
    drop(lent);
    eventually("the listener's instances dropped", || engine.instances_dropped() == before + 4);
    eventually("their places free", || engine.instances() == 0);
}

#[test]
fn a_worn_instance_is_dropped_in_good_order_and_the_next_one_begins() {
    let engine = engine_with(|config| config.max_calls_per_instance = 1);
    let listener = load(&engine, "lifecycle").unwrap().listener.unwrap();
    eventually("what the other roles had dropped", || engine.instances_dropped() == 2);
    for _ in 0..3 {
        let report = consume(&listener, &["a"], PATIENCE);
        assert_eq!(report.outcomes[0].cause.name(), "answered");
    }
    assert_eq!((listener.stats().retired_worn, engine.instances_dropped()), (3, 5));
}

#[test]
pub(crate) fn a_failing_init_rejects_the_file() {
    let error = load(&engine(), "init-fails").unwrap_err();
    assert_eq!(error.name(), "instantiate");
    assert_eq!(error.to_string(), "the component's `init` failed: no limit is set");
}

#[test]
pub(crate) fn a_trap_in_init_rejects_the_file() {
    let engine = engine();
    let error = load(&engine, "init-traps").unwrap_err();
    assert!(error.to_string().starts_with("the component's `init` failed: "), "{error}");
    assert_eq!((engine.instances(), engine.instances_dropped()), (0, 0));
}

#[test]
fn an_instance_above_the_high_water_mark_is_replaced_after_the_call() {
    let engine = engine_with(|config| config.instance_memory_high_water = Some(8 << 20));
    let listener = load(&engine, "scripted").unwrap().listener.unwrap();
    for body in ["hold:1", "ok", "ok", "hold:9", "ok"] {
        assert_eq!(consume(&listener, &[body], PATIENCE).outcomes[0].cause.name(), "answered", "{body}");
    }
    let stats = listener.stats();
    assert_eq!((stats.created, stats.retired_large, stats.retired_worn, stats.idle), (2, 1, 0, 1));
}

#[test]
fn what_an_instance_holds_from_the_start_is_not_too_much() {
    let engine = engine_with(|config| config.instance_memory_high_water = Some(1));
    let listener = load(&engine, "minimal").unwrap().listener.unwrap();
    (0..4).for_each(|_| _ = consume(&listener, &["a"], PATIENCE));
    assert_eq!(listener.stats().retired_large, 0);
    assert!(engine.config().describe_deadline > Duration::ZERO);
}
