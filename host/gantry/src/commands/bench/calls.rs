//! What crossing into a guest costs, without a broker.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gantry_engine::{
    ConsumeContext, Engine, EngineConfig, Grants, ListenerModule, MessageBatch, Order, OwnedMessage, Slot,
    consume_isolated,
};
use gantry_host::NativeListener as _;

use super::figure::Figure;
use super::throughput::Native;
use super::{BATCH, BODY_BYTES};

pub(super) const CONTEXT: ConsumeContext<'static> =
    ConsumeContext { consumer_group: "group", topic: "topic", broker_name: "broker", queue_id: 0 };
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

pub(super) fn measure(component: &[u8], cache: PathBuf, calls: usize) -> anyhow::Result<Vec<Figure>> {
    let engine = Engine::new(EngineConfig { cache_dir: Some(cache), ..EngineConfig::default() })?;
    let module = engine.load(component, &Grants::NONE).context("the sample plugin cannot be loaded")?;
    let batch = batch();
    let in_batch = |nanoseconds: Vec<f64>| nanoseconds.into_iter().map(|n| n / BATCH as f64).collect();
    let guest = times(calls, || {
        drop(black_box(consume_isolated(&module, &CONTEXT, &batch, 0..batch.len(), DEADLINE, Order::Any)))
    });
    let native = Native::new("group");
    let native = times(calls, || drop(black_box(native.consume(&CONTEXT, &*batch))));
    Ok(vec![
        figure(
            "instance-reused",
            "instance ready, reused from the pool",
            "µs",
            instance(calls, || module.checkout()),
        )
        .below(50.0),
        figure(
            "instance-fresh",
            "instance ready, fresh from the pool",
            "µs",
            instance(calls, || module.fresh()),
        )
        .below(50.0),
        figure("guest-call", "guest call, batch of 32, per message", "ns", in_batch(guest)),
        figure("native-call", "the same listener native, per message", "ns", in_batch(native)),
        figure("switch", "one version for another (the pointer)", "µs", switches(&module, calls)),
    ])
}

/// A figure of many samples, which would fill pages: of each, the summary counts.
pub(in crate::commands) fn figure(
    key: &'static str,
    label: &'static str,
    unit: &'static str,
    samples: Vec<f64>,
) -> Figure {
    let mut figure = Figure::new(key, label, unit, samples);
    figure.samples = vec![figure.median];
    figure
}

pub(in crate::commands) fn instance<T>(calls: usize, make: impl Fn() -> T) -> Vec<f64> {
    times(calls, || drop(black_box(make()))).into_iter().map(|nanoseconds| nanoseconds / 1e3).collect()
}

fn switches(module: &ListenerModule, calls: usize) -> Vec<f64> {
    let slot = Slot::new();
    times(calls, || drop(slot.switch(module.clone())))
        .into_iter()
        .map(|nanoseconds| nanoseconds / 1e3)
        .collect()
}

/// Nanoseconds of each call, after some to get warm.
pub(in crate::commands) fn times(calls: usize, mut call: impl FnMut()) -> Vec<f64> {
    (0..calls / 10).for_each(|_| call());
    let timed = (0..calls).map(|_| {
        let began = Instant::now();
        call();
        began.elapsed().as_secs_f64() * 1e9
    });
    timed.collect()
}

fn batch() -> Arc<dyn MessageBatch> {
    let message = |index: usize| OwnedMessage {
        tags: Some("bench".into()),
        ..OwnedMessage::new(format!("7F0000010A2C18B4AAC2{index:012X}"), vec![b'x'; BODY_BYTES])
    };
    Arc::new((0..BATCH).map(message).collect::<Vec<_>>())
}
