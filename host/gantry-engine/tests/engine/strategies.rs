//! Allocation strategies as components: what a good one answers, and what each bad one costs.

use std::time::{Duration, Instant};

use gantry_engine::{
    ConsumeResult, Grants, GuestFailure, InstantiateError, LoadError, MessageQueue, Plugin, StrategyFailure,
    StrategyModule,
};

use crate::common::{PATIENCE, SHORT, component, consume, engine, engine_with};

fn plugin(name: &str) -> Plugin {
    engine().load_plugin(&component(name), &Grants::NONE, &mut |_| ()).unwrap()
}

fn strategy(name: &str) -> StrategyModule {
    plugin(name).strategy.unwrap()
}

fn queues(count: u32) -> Vec<MessageQueue> {
    let queue = |queue_id| MessageQueue { topic: "orders".into(), broker_name: "broker-a".into(), queue_id };
    (0..count).map(queue).collect()
}

fn members() -> Vec<String> {
    ["a", "b", "c"].map(str::to_owned).into()
}

fn ask(strategy: &StrategyModule, member: &str) -> Result<Vec<MessageQueue>, StrategyFailure> {
    strategy.allocate("orders-group", member, &queues(8), &members(), PATIENCE)
}

/// The numbers of the queues that the members get, member by member.
fn shares(strategy: &StrategyModule) -> Vec<Vec<u32>> {
    let share = |member: &String| ask(strategy, member).unwrap().iter().map(|queue| queue.queue_id).collect();
    members().iter().map(share).collect()
}

#[test]
fn the_sample_gives_every_queue_to_one_member() {
    let sample = plugin("rendezvous");
    assert_eq!(
        (sample.roles(), sample.version(), sample.listener.is_none()),
        (vec!["strategy"], "1.0.0", true)
    );
    let strategy = sample.strategy.unwrap();
    assert_eq!((&*strategy.description().name, strategy.hash()), ("rendezvous", sample.hash));
    let mut all: Vec<u32> = shares(&strategy).concat();
    all.sort_unstable();
    assert_eq!(all, (0..8).collect::<Vec<_>>());
    assert_eq!(shares(&strategy), shares(&strategy));
    let refused = ask(&strategy, "stranger").unwrap_err();
    assert_eq!(refused, StrategyFailure::Refused("stranger is not among the 3 members".into()));
}

#[test]
pub(crate) fn runs_of_queues_are_a_sound_division() {
    assert_eq!(shares(&strategy("strategy-blocks")), [vec![0, 1], vec![2, 3, 4], vec![5, 6, 7]]);
}

#[test]
pub(crate) fn a_component_may_be_a_listener_and_a_strategy() {
    let plugin = plugin("listener-and-strategy");
    assert_eq!(plugin.roles(), ["listener", "strategy"]);
    let report = consume(plugin.listener.as_ref().unwrap(), &["a"], PATIENCE);
    assert_eq!(report.outcomes[0].result, ConsumeResult::Success);
    let strategy = plugin.strategy.unwrap();
    assert_eq!(strategy.description().name, "all-to-first");
    assert_eq!(shares(&strategy), [(0..8).collect::<Vec<_>>(), vec![], vec![]]);
    let nobody = strategy.allocate("orders-group", "a", &queues(1), &[], PATIENCE);
    assert_eq!(nobody, Err(StrategyFailure::Refused("orders-group has no members".into())));
}

#[test]
pub(crate) fn a_dropped_queue_is_in_no_answer() {
    let shares = shares(&strategy("strategy-drops"));
    assert_eq!(shares, [vec![0, 3, 6], vec![1, 4], vec![2, 5]], "the engine passes answers on as they are");
}

#[test]
pub(crate) fn a_doubled_queue_is_in_several_answers() {
    let shares = shares(&strategy("strategy-doubles"));
    assert_eq!(shares, [vec![0, 3, 6], vec![1, 4, 7, 0], vec![2, 5, 0]]);
}

#[test]
pub(crate) fn an_invented_queue_is_passed_on_to_be_judged() {
    assert_eq!(shares(&strategy("strategy-invents")), [vec![0, 3, 9_999], vec![1, 4, 7], vec![2, 5]]);
}

#[test]
pub(crate) fn a_strategy_that_traps_gives_no_answer_each_time() {
    let strategy = strategy("strategy-traps");
    for _ in 0..2 {
        let failure = ask(&strategy, "a").unwrap_err();
        assert!(matches!(failure, StrategyFailure::Trap { .. }), "{failure}");
        assert!(failure.to_string().starts_with("the strategy trapped: "), "{failure}");
    }
}

#[test]
pub(crate) fn a_strategy_in_an_endless_loop_is_stopped() {
    let strategy = strategy("strategy-spins");
    let began = Instant::now();
    let answer = strategy.allocate("orders-group", "a", &queues(8), &members(), SHORT);
    assert_eq!(answer, Err(StrategyFailure::Deadline { deadline: SHORT }));
    assert!(began.elapsed() >= SHORT - Duration::from_millis(1) && began.elapsed() < PATIENCE);
}

#[test]
pub(crate) fn a_strategy_that_hoards_memory_is_stopped_at_the_cap() {
    let failure = ask(&strategy("strategy-grows"), "a").unwrap_err();
    let StrategyFailure::MemoryExceeded { asked_bytes, max_bytes } = failure else { panic!("{failure}") };
    assert!(asked_bytes > max_bytes && max_bytes == 64 << 20);
}

#[test]
pub(crate) fn a_strategy_remembers_nothing_from_one_question_to_the_next() {
    let strategy = strategy("strategy-fickle");
    let first = shares(&strategy);
    assert_eq!(first, [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
    assert_eq!(shares(&strategy), first);
}

#[test]
fn more_queues_than_there_are_is_no_answer() {
    let strategy = strategy("strategy-doubles");
    let one = queues(1);
    let same = strategy.allocate("orders-group", "a", &one, &members(), PATIENCE);
    assert_eq!(same, Ok(one));
    let text = TOO_MANY.replace("{count}", "3");
    let strategy = engine()
        .load_plugin(&wat::parse_str(text).unwrap(), &Grants::NONE, &mut |_| ())
        .unwrap()
        .strategy
        .unwrap();
    let failure = strategy.allocate("orders-group", "a", &queues(2), &members(), PATIENCE).unwrap_err();
    assert_eq!(failure, StrategyFailure::TooMany { client_id: "a".into(), got: 3, there: 2 });
    assert_eq!(strategy.allocate("orders-group", "a", &queues(3), &members(), PATIENCE).unwrap().len(), 3);
}

#[test]
fn an_answer_beyond_all_bounds_is_not_taken_over() {
    let text = TOO_MANY.replace("{count}", "1000000");
    let flood = engine().load_plugin(&wat::parse_str(text).unwrap(), &Grants::NONE, &mut |_| ()).unwrap();
    let failure = ask(&flood.strategy.unwrap(), "a").unwrap_err();
    assert!(matches!(failure, StrategyFailure::Trap { .. }), "{failure}");
}

#[test]
fn a_strategy_is_no_listener_and_says_so() {
    let error = engine().load(&component("rendezvous"), &Grants::NONE).unwrap_err();
    assert!(matches!(error, LoadError::NoListener), "{error}");
}

#[test]
fn an_unsound_strategy_or_one_of_other_types_is_rejected() {
    let load = |from: &str, to: &str| {
        let text = TOO_MANY.replace("{count}", "0");
        assert!(text.contains(from), "{from}");
        let file = wat::parse_str(text.replace(from, to)).unwrap();
        engine().load_plugin(&file, &Grants::NONE, &mut |_| ()).unwrap_err()
    };
    let unsound = load("textual", "not one");
    assert!(matches!(&unsound, LoadError::UnsoundDescription(error) if error.field == "name"), "{unsound}");
    let types = load(r#"(field "queue-id" u32)"#, r#"(field "queue-id" s32)"#);
    assert!(matches!(types, LoadError::WrongTypes { .. }), "{types}");
    let traps = load("(i32.const 128))", "unreachable)");
    assert!(matches!(traps, LoadError::DescribeFailed(GuestFailure::Trap { .. })), "{traps}");
}

#[test]
fn without_room_for_an_instance_there_is_no_answer() {
    let engine = engine_with(|config| config.max_instances = 1);
    let minimal = engine.load(&component("minimal"), &Grants::NONE).unwrap();
    let held = minimal.checkout().unwrap();
    let full = engine.load_plugin(&component("rendezvous"), &Grants::NONE, &mut |_| ()).unwrap_err();
    assert!(matches!(full, LoadError::Instantiate(InstantiateError::PoolExhausted { .. })), "{full}");
    drop((held, minimal));
    let module = engine.load_plugin(&component("rendezvous"), &Grants::NONE, &mut |_| ()).unwrap();
    let strategy = module.strategy.unwrap();
    let minimal = engine.load(&component("minimal"), &Grants::NONE).unwrap();
    let failure = ask(&strategy, "a").unwrap_err();
    assert_eq!(failure, StrategyFailure::NoInstance(InstantiateError::PoolExhausted { max: 1 }));
    drop(minimal);
    assert!(ask(&strategy, "a").is_ok());
}

/// A strategy in text that answers with `{count}` queues, all the same: its list is zeros, its names are empty.
const TOO_MANY: &str = r#"
(component
  (core module $m
    (memory (export "memory") 400)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (data (i32.const 16) "textual")
    ;; the description: name, version
    (data (i32.const 128) "\10\00\00\00\07\00\00\00" "\20\00\00\00\00\00\00\00")
    (func (export "describe") (result i32) (i32.const 128))
    (func (export "allocate") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
      (i32.store (i32.const 512) (i32.const 0))
      (i32.store (i32.const 516) (i32.const 65536))
      (i32.store (i32.const 520) (i32.const {count}))
      (i32.const 512)))
  (core instance $i (instantiate $m))
  (type $queue-type (record (field "topic" string) (field "broker-name" string) (field "queue-id" u32)))
  (export $queue "message-queue" (type $queue-type))
  (type $description-type (record (field "name" string) (field "version" string)))
  (export $description "strategy-description" (type $description-type))
  (func $describe (result $description)
    (canon lift (core func $i "describe") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func $allocate
    (param "consumer-group" string) (param "current-client-id" string)
    (param "queues" (list $queue)) (param "client-ids" (list string))
    (result (result (list $queue) (error string)))
    (canon lift (core func $i "allocate") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $strategy
    (export "describe" (func $describe))
    (export "allocate" (func $allocate)))
  (export "gantry:rocketmq/strategy@0.1.0" (instance $strategy))
)
"#;
