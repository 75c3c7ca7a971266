//! Listeners in C, Go, JavaScript and Python: no grant is needed, an exception costs its message, an endless loop its call,
//! and garbage is collected.
//!
//! Where a language's compiler is missing its guest is not built, and is skipped; where GANTRY_REQUIRE_LANGUAGES is set, as
//! in CI, that fails.

use gantry_engine::{ConsumeResult, Engine, FailureKind, Grants, ListenerModule, RetryDelay};

use crate::common::{PATIENCE, SHORT, causes, component, consume, engine, repository};

const LATER: ConsumeResult = ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts);

/// The faulty guest in a language, if it is built.
fn faulty(language: &str) -> Option<ListenerModule> {
    let name = format!("faulty-{language}");
    let file = repository().join("target/guests/components").join(&name).with_extension("wasm");
    if !file.exists() && std::env::var_os("GANTRY_REQUIRE_LANGUAGES").is_none() {
        return None;
    }
    let engine: Engine = engine();
    Some(engine.load(&component(&name), &Grants::NONE).unwrap())
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
    let Some(module) = faulty(language) else { return };
    let report = consume(&module, &["ok", "throw", "ok"], PATIENCE);
    let results: Vec<_> = report.outcomes.iter().map(|outcome| outcome.result.clone()).collect();
    assert_eq!(results, [ConsumeResult::Success, LATER, ConsumeResult::Success]);
    assert_eq!((report.calls, report.instances_lost), (1, 0));

    let report = consume(&module, &["throw", "throw"], PATIENCE);
    assert_eq!(causes(&report), ["listener-error"; 2]);
    let failure = report.batch_failure.unwrap();
    assert!(failure.to_string().contains("it is broken"), "{failure}");
    is_contained(&module, SHORT);
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
    let Some(module) = faulty("c") else { return };
    let report = consume(&module, &["ok", "throw", "ok"], PATIENCE);
    assert_eq!(causes(&report), ["answered-alone", "trap", "answered-alone"]);
    let failure = report.batch_failure.unwrap();
    assert_eq!(failure.kind(), FailureKind::Trap);
    assert!(failure.to_string().contains("it last wrote: it is broken"), "{failure}");
    is_contained(&module, SHORT);
}
