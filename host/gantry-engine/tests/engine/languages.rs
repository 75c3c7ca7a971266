//! Plugins in C, Go, JavaScript and Python: no grant is needed, garbage is collected, an exception costs its message and an
//! endless loop its call; and each is a selector and a strategy as well, whose failures are told in its own words.
//!
//! Where a language's compiler is missing its guest is not built, and is skipped; where GANTRY_REQUIRE_LANGUAGES is set, as
//! in CI, that fails.

use std::sync::OnceLock;

use gantry_engine::{
    ConsumeResult, FailureKind, Grants, ListenerModule, MessageQueue, OutgoingMessage, Plugin, RetryDelay,
    SelectorFailure, StrategyFailure,
};

use crate::common::{PATIENCE, SHORT, causes, component, components, consume, engine};

const LATER: ConsumeResult = ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts);

/// The faulty guest in a language, if it is built. Its tests share it: the largest takes seconds to compile.
fn faulty(language: &str) -> Option<&'static Plugin> {
    static PLUGINS: [(&str, OnceLock<Plugin>); 4] =
        [("c", OnceLock::new()), ("go", OnceLock::new()), ("js", OnceLock::new()), ("py", OnceLock::new())];
    let name = format!("faulty-{language}");
    let file = components().join(&name).with_extension("wasm");
    if !file.exists() && std::env::var_os("GANTRY_REQUIRE_LANGUAGES").is_none() {
        return None;
    }
    let (_, plugin) = PLUGINS.iter().find(|(its, _)| *its == language).unwrap();
    Some(plugin.get_or_init(|| engine().load_plugin(&component(&name), &Grants::NONE, &mut |_| ()).unwrap()))
}

fn faulty_listener(language: &str) -> Option<&'static ListenerModule> {
    faulty(language).map(|plugin| plugin.listener.as_ref().unwrap())
}

/// What holds in each language.
fn is_contained(module: &ListenerModule, spins_for: std::time::Duration) {
    assert_eq!(
        (module.description().name.as_str(), module.description().consumer_group.as_str()),
        ("faulty", "faulty")
    );
    let report = consume(module, &["spin"], spins_for);
    assert_eq!(causes(&report), ["deadline"]);

    // Five times what an instance may have, and not one lost.
    for _ in 0..10 {
        let report = consume(module, &["garbage"; 8], PATIENCE);
        assert!(report.outcomes.iter().all(|outcome| outcome.result == ConsumeResult::Success), "{report:?}");
        assert_eq!((report.calls, report.instances_lost), (1, 0));
    }
}

/// What holds where there are exceptions.
fn exceptions_cost_their_message(language: &str) {
    let Some(module) = faulty_listener(language) else { return };
    let report = consume(module, &["ok", "throw", "ok"], PATIENCE);
    let results: Vec<_> = report.outcomes.iter().map(|outcome| outcome.result.clone()).collect();
    assert_eq!(results, [ConsumeResult::Success, LATER, ConsumeResult::Success]);
    assert_eq!((report.calls, report.instances_lost), (1, 0));

    let report = consume(module, &["throw", "throw"], PATIENCE);
    assert_eq!(causes(&report), ["listener-error"; 2]);
    let failure = report.batch_failure.unwrap();
    assert!(failure.to_string().contains("it is broken"), "{failure}");
    is_contained(module, SHORT);
}

#[test]
fn in_go_a_panic_costs_its_message() {
    exceptions_cost_their_message("go");
}

#[test]
fn in_javascript_an_exception_costs_its_message() {
    exceptions_cost_their_message("js");
}

#[test]
fn in_python_an_exception_costs_its_message() {
    exceptions_cost_their_message("py");
}

#[test]
fn in_c_a_crash_costs_its_message_and_the_log_has_its_last_words() {
    let Some(module) = faulty_listener("c") else { return };
    let report = consume(module, &["ok", "throw", "ok"], PATIENCE);
    assert_eq!(causes(&report), ["answered-alone", "trap", "answered-alone"]);
    let failure = report.batch_failure.unwrap();
    assert_eq!(failure.kind(), FailureKind::Trap);
    assert!(failure.to_string().contains("it last wrote: it is broken"), "{failure}");
    is_contained(module, SHORT);
}

/// As many threads ask at once.
const THREADS: usize = 4;
const QUEUES: usize = 8;

fn queues() -> Vec<MessageQueue> {
    let queue = |queue_id| MessageQueue { topic: "orders".into(), broker_name: "broker-a".into(), queue_id };
    (0..u32::try_from(QUEUES).unwrap()).map(queue).collect()
}

fn on_many_threads(ask: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let ask = &ask;
            scope.spawn(move || ask(thread));
        }
    });
}

/// A message that is sent goes where its argument says, for more messages than an instance has memory for; `fail` is
/// refused with these words, and costs no instance.
fn selects(language: &str, words: &str) {
    let Some(plugin) = faulty(language) else { return };
    assert_eq!(plugin.roles(), ["listener", "strategy", "selector"]);
    let selector = plugin.selector.as_ref().unwrap();
    assert_eq!((&*selector.description().name, &*selector.description().version), ("faulty", "1"));
    let (queues, message) =
        (queues(), OutgoingMessage { body: vec![7; 256 << 10], ..OutgoingMessage::default() });
    let ask = |arg: &str| selector.select(&queues, &message, arg, PATIENCE);
    on_many_threads(|thread| {
        for call in 0..300 {
            let length = thread + call % 50;
            assert_eq!(ask(&"x".repeat(length)), Ok(length % QUEUES));
            if call % 50 == 0 {
                assert_eq!(ask("fail"), Err(SelectorFailure::Refused(words.into())));
            }
        }
    });
    let stats = selector.stats();
    assert!(stats.created <= THREADS as u64 && stats.retired_dead == 0, "{stats:?}");
    assert_eq!((stats.idle, stats.in_use), (stats.created as usize, 0));
}

/// Queues are dealt out one by one, whoever asks; to whom is no member nothing is, in words with these among them.
fn allocates(language: &str, words: &str) {
    let Some(plugin) = faulty(language) else { return };
    let strategy = plugin.strategy.as_ref().unwrap();
    assert_eq!((&*strategy.description().name, &*strategy.description().version), ("faulty", "1"));
    let (queues, members) = (queues(), ["a", "b", "c"].map(str::to_owned));
    let ask = |member: &str| strategy.allocate("orders-group", member, &queues, &members, PATIENCE);
    on_many_threads(|_| {
        for _ in 0..10 {
            for (place, member) in members.iter().enumerate() {
                let share = queues.iter().skip(place).step_by(members.len()).cloned().collect();
                assert_eq!(ask(member), Ok(share));
            }
        }
        let refused = ask("stranger").unwrap_err();
        assert!(matches!(&refused, StrategyFailure::Refused(why) if why.contains(words)), "{refused}");
    });
}

#[test]
fn in_c_a_selector_and_a_strategy_answer() {
    selects("c", "the selector chose no queue");
    allocates("c", "the current client is not among the group's members");
}

#[test]
fn in_go_a_selector_and_a_strategy_answer() {
    selects("go", "it is broken");
    allocates("go", "stranger is not among the group's members");
}

#[test]
fn in_javascript_a_selector_and_a_strategy_answer() {
    selects("js", "Error: it is broken");
    allocates("js", "stranger is not among the group's members");
}

#[test]
fn in_python_a_selector_and_a_strategy_answer() {
    selects("py", "RuntimeError: it is broken");
    allocates("py", "ValueError: ");
}
