//! What each form of listener costs a message, beside the same listener as part of this program: batches of 1, 32 and 256 as
//! they came from a broker.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use bytes::BytesMut;
use gantry_engine::{Engine, EngineConfig, Grants, ListenerModule, MessageBatch, Order, consume_isolated};
use gantry_host::{NativeListener as _, stored_batch};
use gantry_protocol::{MessageRecord, decode_all, properties};
use std::sync::Arc;

use super::calls::{CONTEXT, DEADLINE, figure, times};
use super::figure::Figure;
use super::throughput::Native;
use super::{BATCH, BODY_BYTES};

/// What the lean form of the sample may cost a message in a batch of 32 beyond the native listener, in nanoseconds.
const OVER_NATIVE: f64 = 50.0;
/// What loading a compiled plugin from the cache may take, in milliseconds.
const CACHED_LOAD: f64 = 1.0;

/// Keys and labels of one batch size.
struct Size {
    messages: usize,
    packed: (&'static str, &'static str),
    records: (&'static str, &'static str),
    native: (&'static str, &'static str),
}

const SIZES: [Size; 3] = [
    Size {
        messages: 1,
        packed: ("packed-1", "a message through bytes, batch of 1"),
        records: ("records-1", "a message through records, batch of 1"),
        native: ("native-1", "a message through native code, batch of 1"),
    },
    Size {
        messages: BATCH,
        packed: ("packed-32", "a message through bytes, batch of 32"),
        records: ("records-32", "a message through records, batch of 32"),
        native: ("native-32", "a message through native code, batch of 32"),
    },
    Size {
        messages: 256,
        packed: ("packed-256", "a message through bytes, batch of 256"),
        records: ("records-256", "a message through records, batch of 256"),
        native: ("native-256", "a message through native code, batch of 256"),
    },
];

/// `packed` and `records` are the sample as it takes bytes (`lean-listener`) and records.
pub(super) fn measure(
    packed: &[u8],
    records: &[u8],
    cache: PathBuf,
    calls: usize,
) -> anyhow::Result<Vec<Figure>> {
    let engine = Engine::new(EngineConfig { cache_dir: Some(cache), ..EngineConfig::default() })?;
    let load = |bytes| engine.load(bytes, &Grants::NONE).context("the sample plugin cannot be loaded");
    let (through_bytes, through_records) = (load(packed)?, load(records)?);
    let mut figures = Vec::new();
    for size in &SIZES {
        let batch = batch(size.messages)?;
        let each = |samples: Vec<f64>| samples.into_iter().map(|n| n / size.messages as f64).collect();
        let guest = |module: &ListenerModule| {
            let call = || {
                drop(black_box(consume_isolated(
                    module,
                    &CONTEXT,
                    &batch,
                    0..batch.len(),
                    DEADLINE,
                    Order::Any,
                )))
            };
            each(times(calls, call))
        };
        let own = Native::new("group");
        let native: Vec<f64> = each(times(calls, || drop(black_box(own.consume(&CONTEXT, &*batch)))));
        let bytes: Vec<f64> = guest(&through_bytes);
        let over = (size.messages == BATCH).then(|| over(&bytes, &native));
        figures.push(figure(size.packed.0, size.packed.1, "ns", bytes));
        figures.push(figure(size.records.0, size.records.1, "ns", guest(&through_records)));
        figures.push(figure(size.native.0, size.native.1, "ns", native));
        figures.extend(over);
    }
    figures.push(cached_load(&engine, packed, calls)?);
    Ok(figures)
}

/// The difference, call by call.
fn over(bytes: &[f64], native: &[f64]) -> Figure {
    let differences = bytes.iter().zip(native).map(|(bytes, native)| bytes - native).collect();
    figure("packed-over-native", "bytes over native, batch of 32", "ns", differences).below(OVER_NATIVE)
}

/// Loading a file whose code is in the cache, with everything a load checks, up to the first ready instance.
fn cached_load(engine: &Engine, component: &[u8], calls: usize) -> anyhow::Result<Figure> {
    let mut loads = Vec::new();
    for _ in 0..(calls / 50).max(10) {
        let began = Instant::now();
        black_box(engine.load(component, &Grants::NONE)?);
        loads.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(figure("cached-load", "a plugin loaded from the cache", "ms", loads).below(CACHED_LOAD))
}

/// Messages of one pull answer.
fn batch(messages: usize) -> anyhow::Result<Arc<dyn MessageBatch>> {
    let mut answer = BytesMut::new();
    for index in 0..messages {
        let id = format!("7F0000010A2C18B4AAC2{index:012X}");
        let properties = properties::encode([("UNIQ_KEY", id.as_str()), ("TAGS", "bench"), ("WAIT", "true")]);
        let record = MessageRecord {
            topic: "topic".into(),
            queue_offset: i64::try_from(index)?,
            body: vec![b'x'; BODY_BYTES].into(),
            properties: properties.into(),
            ..MessageRecord::default()
        };
        record.encode(&mut answer)?;
    }
    let stored = decode_all(answer.freeze()).collect::<Result<Vec<_>, _>>()?;
    stored_batch(stored).context("a body that cannot be read")
}
