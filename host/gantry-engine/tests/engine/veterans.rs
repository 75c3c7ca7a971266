//! Plugins of former days: components built against a released WIT, as they were built then, load and run for ever.
//!
//! The files under `tests/frozen` are never rebuilt. `listener-0.1.0.wasm` is the sample `minimal`, `strategy-0.1.0.wasm` the
//! sample `rendezvous`, both built by `cargo xtask guests` against `gantry:rocketmq@0.1.0` while listeners took their batch
//! as records only; `packed-0.1.0.wasm` is `minimal` of when Rust listeners took it as bytes and answered for each message.

use gantry_engine::{ConsumeResult, ContentHash, Grants, MessageQueue};

use crate::common::{PATIENCE, causes, consume, engine};

const LISTENER: &[u8] = include_bytes!("../frozen/listener-0.1.0.wasm");
const PACKED: &[u8] = include_bytes!("../frozen/packed-0.1.0.wasm");
const STRATEGY: &[u8] = include_bytes!("../frozen/strategy-0.1.0.wasm");

#[test]
fn listeners_of_version_0_1_0_run() {
    [LISTENER, PACKED].into_iter().for_each(runs);
}

fn runs(file: &[u8]) {
    let module = engine().load(file, &Grants::NONE).unwrap();
    let description = module.description();
    assert_eq!((&*description.name, &*description.consumer_group), ("minimal", "greetings-group"));
    let report = consume(&module, &["hello", "", "world"], PATIENCE);
    assert_eq!(causes(&report), ["answered"; 3]);
    let dead = ConsumeResult::DeadLetter("a greeting without words".into());
    let results: Vec<_> = report.outcomes.into_iter().map(|outcome| outcome.result).collect();
    assert_eq!(results, [ConsumeResult::Success, dead, ConsumeResult::Success]);
}

#[test]
fn a_strategy_of_version_0_1_0_divides_as_it_did() {
    let plugin = engine().load_plugin(STRATEGY, &Grants::NONE, &mut |_| ()).unwrap();
    let strategy = plugin.strategy.unwrap();
    let queue = |queue_id| MessageQueue { topic: "orders".into(), broker_name: "broker-a".into(), queue_id };
    let queues: Vec<_> = (0..8).map(queue).collect();
    let members = ["a".to_owned(), "b".to_owned()];
    let share = |member: &str| {
        let share = strategy.allocate("group", member, &queues, &members, PATIENCE).unwrap();
        share.into_iter().map(|queue| queue.queue_id).collect::<Vec<_>>()
    };
    let (a, b) = (share("a"), share("b"));
    // Hosts of different versions divide together: the division is part of what stays.
    assert_eq!((a.as_slice(), b.as_slice()), (&[1, 3, 4, 5, 6][..], &[0, 2, 7][..]));
}

#[test]
fn the_files_are_those_of_then() {
    let hash = |file| ContentHash::of(file).to_string();
    assert_eq!(hash(LISTENER), "b57ecf478c48c9c18a432d5b344e1e1452d73517381e994678100619641c62ad");
    assert_eq!(hash(PACKED), "207b651ee3ef31d95d1c10be81ac24639157684201fdd7a3b77aad7fa4a3c5f1");
    assert_eq!(hash(STRATEGY), "f263a070e40e073a8d8e082e7f45224128be5693eaa6141be8ce5f7f3363c0fc");
}
