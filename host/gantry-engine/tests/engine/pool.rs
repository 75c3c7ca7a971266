//! Instances are reused while they are sound, and replaced when they are not.

use gantry_engine::{Grants, InHand, InstantiateError, Order};

use crate::common::{CONTEXT, PATIENCE, batch, causes, component, consume, engine_with, guest};

#[test]
fn a_sound_instance_is_reused() {
    let module = guest("minimal");
    for _ in 0..5 {
        consume(&module, &["hello"], PATIENCE);
    }
    let stats = module.stats();
    assert_eq!((stats.created, stats.reused, stats.idle, stats.in_use), (1, 5, 1, 0));
}

#[test]
fn an_instance_lost_to_a_trap_is_never_lent_again() {
    let module = guest("poison");
    let mut instance = module.checkout().unwrap();
    let poison = batch(&["poison"]);
    assert!(instance.consume_message(&CONTEXT, &poison, PATIENCE).unwrap_err().is_fatal());
    let again = instance.consume_message(&CONTEXT, &batch(&["fine"]), PATIENCE).unwrap_err();
    assert!(again.to_string().contains("already lost"), "{again}");
    assert_eq!(module.stats().in_use, 1);
    drop(instance);
    let stats = module.stats();
    assert_eq!((stats.idle, stats.in_use, stats.retired_dead), (0, 0, 1));
}

#[test]
fn an_instance_is_replaced_after_its_number_of_calls() {
    let engine = engine_with(|config| config.max_calls_per_instance = 3);
    let module = engine.load(&component("minimal"), &Grants::NONE).unwrap();
    for _ in 0..7 {
        consume(&module, &["hello"], PATIENCE);
    }
    let stats = module.stats();
    assert_eq!((stats.created, stats.retired_worn, stats.idle), (3, 2, 1));
}

#[test]
fn an_instance_stays_in_hand_from_call_to_call_while_it_is_sound_and_of_the_same_module() {
    let engine = engine_with(|config| config.max_calls_per_instance = 3);
    let load = |name| engine.load(&component(name), &Grants::NONE).unwrap();
    let (module, other) = (load("scripted"), load("minimal"));
    let mut hand = InHand::default();
    let mut call = |module, body| {
        let report = hand.consume_isolated(module, &CONTEXT, &batch(&[body]), 0..1, PATIENCE, Order::Any);
        causes(&report)[0]
    };
    assert_eq!([call(&module, "ok"), call(&module, "later")], ["answered"; 2]);
    let stats = module.stats();
    assert_eq!((stats.created, stats.reused, stats.in_use, stats.idle), (1, 1, 1, 0));
    assert_eq!([call(&module, "ok"), call(&module, "ok")], ["answered"; 2]);
    assert_eq!((module.stats().created, module.stats().retired_worn), (2, 1), "three calls wear it out");
    assert_eq!([call(&module, "panic"), call(&module, "ok")], ["trap", "answered"]);
    let dead = module.stats().retired_dead;
    assert!((1..=2).contains(&dead), "none of the {dead} that trapped is called again");
    assert_eq!(call(&other, "hello"), "answered");
    assert_eq!((module.stats().in_use, module.stats().idle, other.stats().in_use), (0, 1, 1));
    drop(hand);
    assert_eq!((other.stats().in_use, other.stats().idle), (0, 1));
}

#[test]
fn warming_readies_instances_up_to_the_bound() {
    let engine = engine_with(|config| config.max_idle_per_module = 4);
    let module = engine.load(&component("minimal"), &Grants::NONE).unwrap();
    assert_eq!(module.warm(3), Ok(3));
    assert_eq!(module.warm(100), Ok(4));
    assert_eq!(module.stats().created, 4);
    let held: Vec<_> = (0..6).map(|_| module.checkout().unwrap()).collect();
    drop(held);
    assert_eq!(module.stats().idle, 4, "what is beyond the bound is dropped");
}

#[test]
fn a_pool_without_room_says_so_and_recovers() {
    let engine = engine_with(|config| config.max_instances = 2);
    assert!(engine.is_pooled(), "the pool needs address space");
    let module = engine.load(&component("minimal"), &Grants::NONE).unwrap();
    let held = [module.checkout().unwrap(), module.checkout().unwrap()];
    assert_eq!(module.checkout().unwrap_err(), InstantiateError::PoolExhausted { max: 2 });
    let report = consume(&module, &["a", "b"], PATIENCE);
    assert!(report.outcomes.iter().all(|outcome| outcome.cause.name() == "no-instance"));
    drop(held);
    assert!(module.checkout().is_ok());
}

#[test]
fn a_fresh_instance_takes_the_place_of_an_idle_one_when_the_pool_is_full() {
    let engine = engine_with(|config| config.max_instances = 2);
    let module = engine.load(&component("minimal"), &Grants::NONE).unwrap();
    assert_eq!(module.warm(2), Ok(2));
    assert!(module.fresh().is_ok());
}

#[test]
fn without_room_for_a_pool_instances_are_made_on_demand_and_bounded_all_the_same() {
    // A million instances of 4 GiB of address space each: more than there is.
    let engine = engine_with(|config| config.max_instances = 1_000_000);
    assert!(!engine.is_pooled());
    let module = engine.load(&component("poison"), &Grants::NONE).unwrap();
    let report = consume(&module, &["a", "poison"], PATIENCE);
    assert_eq!(report.outcomes[0].cause.name(), "answered-alone");
    assert_eq!(u64::from(engine.instances()), u64::try_from(module.stats().idle).unwrap());
}

#[test]
fn an_instance_gives_up_its_place_when_it_goes() {
    let engine = engine_with(|_| ());
    assert_eq!(engine.instances(), 0);
    let module = engine.load(&component("minimal"), &Grants::NONE).unwrap();
    assert_eq!(engine.instances(), 1);
    let held = [module.checkout().unwrap(), module.checkout().unwrap()];
    assert_eq!(engine.instances(), 2);
    drop(module);
    assert_eq!(engine.instances(), 2, "an instance holds its module");
    drop(held);
    assert_eq!(engine.instances(), 0);
}
