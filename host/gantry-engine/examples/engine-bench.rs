//! What crossing into a guest costs, measured on this machine: prints one line for each figure, or JSON with `--json`.
//!
//! `cargo run --release -p gantry-engine --example engine-bench -- target/guests/components/minimal.wasm [--json]`

use std::{
    error::Error,
    hint::black_box,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use gantry_engine::{
    ConsumeContext, Engine, EngineConfig, Grants, ListenerModule, MessageBatch, Order, OwnedMessage,
    consume_isolated,
};
use serde::Serialize;

const CONTEXT: ConsumeContext<'static> =
    ConsumeContext { consumer_group: "group", topic: "topic", broker_name: "broker-a", queue_id: 0 };
const DEADLINE: Duration = Duration::from_secs(10);
const BATCH: usize = 32;
const BODY_BYTES: usize = 128;

/// Medians over many rounds; times in the unit of the name.
#[derive(Serialize)]
struct Figures {
    engine_start_ms: f64,
    compile_ms: f64,
    load_warm_cache_ms: f64,
    instance_fresh_us: f64,
    instance_pooled_us: f64,
    call_one_message_us: f64,
    message_in_batch_ns: f64,
    message_in_batch_with_properties_ns: f64,
    pooled: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let Some(file) = arguments.iter().find(|argument| !argument.starts_with('-')) else {
        return fail("usage: engine-bench COMPONENT.wasm [--json]; `cargo xtask guests` builds components");
    };
    match measure(Path::new(file)).and_then(|figures| Ok(show(&figures, json)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{file}: {error}")),
    }
}

#[expect(clippy::print_stderr, reason = "a command's error")]
fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "a command's output")]
fn show(figures: &Figures, json: bool) -> serde_json::Result<()> {
    let value = serde_json::to_value(figures)?;
    if json {
        println!("{value}");
        return Ok(());
    }
    for (name, figure) in value.as_object().into_iter().flatten() {
        match figure.as_f64() {
            Some(number) => println!("{name:40} {number:10.2}"),
            None => println!("{name:40} {figure:>10}"),
        }
    }
    Ok(())
}

fn measure(file: &Path) -> Result<Figures, Box<dyn Error>> {
    let component = std::fs::read(file)?;
    let cache = tempfile::tempdir()?;
    let engine_start_ms = median(10, || drop(black_box(Engine::new(EngineConfig::default())))) / 1e6;
    let (compile_ms, _) = load(&component, cache.path().to_path_buf())?;
    let (load_warm_cache_ms, module) = load(&component, cache.path().to_path_buf())?;
    let lean = batch(BATCH, &[]);
    let rich = batch(BATCH, &[("trace", "0af7651916cd43dd"), ("tenant", "acme"), ("source", "web")]);
    let one = batch(1, &[]);
    let per_message = |duration: f64| duration / f64::from(u32::try_from(BATCH).unwrap_or(1));
    Ok(Figures {
        engine_start_ms,
        compile_ms,
        load_warm_cache_ms,
        instance_fresh_us: median(500, || drop(black_box(module.fresh()))) / 1e3,
        instance_pooled_us: median(5_000, || drop(black_box(module.checkout()))) / 1e3,
        call_one_message_us: median(5_000, || call(&module, &one)) / 1e3,
        message_in_batch_ns: per_message(median(5_000, || call(&module, &lean))),
        message_in_batch_with_properties_ns: per_message(median(5_000, || call(&module, &rich))),
        pooled: Engine::new(EngineConfig::default())?.is_pooled(),
    })
}

/// Loads with a cache directory: milliseconds, best of some where the cache is warm.
fn load(component: &[u8], cache_dir: PathBuf) -> Result<(f64, ListenerModule), Box<dyn Error>> {
    let warm = std::fs::read_dir(&cache_dir)?.next().is_some();
    let engine = Engine::new(EngineConfig { cache_dir: Some(cache_dir), ..EngineConfig::default() })?;
    let module = engine.load(component, &Grants::NONE);
    if !warm {
        let engine = Engine::new(EngineConfig::default())?;
        let began = Instant::now();
        let module = engine.load(component, &Grants::NONE)?;
        return Ok((began.elapsed().as_secs_f64() * 1e3, module));
    }
    let took = median(50, || drop(black_box(engine.load(component, &Grants::NONE)))) / 1e6;
    Ok((took, module?))
}

fn call(module: &ListenerModule, batch: &Arc<dyn MessageBatch>) {
    black_box(consume_isolated(module, &CONTEXT, batch, 0..batch.len(), DEADLINE, Order::Any));
}

/// Nanoseconds of the median round.
fn median(rounds: usize, mut round: impl FnMut()) -> f64 {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            round();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times.get(rounds / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e9)
}

fn batch(messages: usize, properties: &[(&str, &str)]) -> Arc<dyn MessageBatch> {
    let properties: Vec<(String, String)> =
        properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let message = |index: usize| OwnedMessage {
        tags: Some("created".into()),
        keys: format!("order-{index}"),
        user_properties: properties.clone(),
        ..OwnedMessage::new(format!("7F0000010A2C18B4AAC2{index:012X}"), vec![b'x'; BODY_BYTES])
    };
    Arc::new((0..messages).map(message).collect::<Vec<_>>())
}
