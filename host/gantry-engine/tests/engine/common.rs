//! What the tests share.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use gantry_engine::{
    BatchReport, Cause, ConsumeContext, Engine, EngineConfig, Grants, ListenerModule, MessageBatch, Order,
    OwnedMessage, consume_isolated,
};

/// For what ought to end by itself, on a machine however busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// For what ought to be stopped, and long enough for its sound neighbours.
pub(crate) const SHORT: Duration = Duration::from_secs(2);

pub(crate) const CONTEXT: ConsumeContext<'static> =
    ConsumeContext { consumer_group: "group", topic: "topic", broker_name: "broker-a", queue_id: 3 };

pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where `cargo xtask guests` puts what it builds.
pub(crate) fn components() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    target.join("guests/components")
}

/// A component that `cargo xtask guests` built.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let path = components().join(format!("{name}.wasm"));
    fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask guests` first", path.display()))
}

pub(crate) fn engine() -> Engine {
    engine_with(|_| ())
}

pub(crate) fn engine_with(change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config =
        EngineConfig { max_instances: 32, describe_deadline: PATIENCE, ..EngineConfig::default() };
    change(&mut config);
    Engine::new(config).unwrap()
}

pub(crate) fn guest(name: &str) -> ListenerModule {
    engine().load(&component(name), &Grants::NONE).unwrap()
}

/// A batch of messages with these bodies.
pub(crate) fn batch(bodies: &[&str]) -> Arc<dyn MessageBatch> {
    let message = |(index, body): (usize, &&str)| OwnedMessage {
        queue_offset: u64::try_from(index).unwrap(),
        ..OwnedMessage::new(format!("message-{index}"), *body)
    };
    Arc::new(bodies.iter().enumerate().map(message).collect::<Vec<_>>())
}

pub(crate) fn consume(module: &ListenerModule, bodies: &[&str], deadline: Duration) -> BatchReport {
    let report = consume_isolated(module, &CONTEXT, &batch(bodies), 0..bodies.len(), deadline, Order::Any);
    assert_eq!(report.outcomes.len(), bodies.len(), "one outcome for each message");
    report
}

/// One word for each message: `ok` for a success, else its cause.
pub(crate) fn causes(report: &BatchReport) -> Vec<&'static str> {
    report.outcomes.iter().map(|outcome| outcome.cause.name()).collect()
}

/// The cause of a message that failed alone.
pub(crate) fn failed_alone(cause: &Cause) -> bool {
    matches!(cause, Cause::FailedAlone(_))
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come about in {PATIENCE:?}");
        std::thread::yield_now();
    }
}
