//! Measures brokers side by side: `load CONTESTANT... [messages=400000] [body=128] [rounds=3]`.
//!
//! A contestant is `apache` (fetched as the tests fetch it), `embedded` (the example `broker` beside this program),
//! `NAME=PROGRAM` for another build of that example, or the ADDRESS of a broker that runs. Brokers it starts have
//! their messages on disk, written when the system likes, and allow pulls of 1,024. Each round goes through all contestants with
//! each load, so that what else the machine does meets all of them; the round before the first warms up and is not
//! counted. Prints the medians of the rounds: messages per second, CPU time of the broker a message, latencies.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measuring program")]

mod contestant;
mod drain;
mod latency;
mod produce;
mod wire;

use std::error::Error;
use std::time::{Duration, Instant};

use contestant::Contestant;

type Failure = Box<dyn Error + Send + Sync>;

/// Queues of a topic; each has a connection that sends, and one that pulls.
const QUEUES: i32 = 4;

/// What is sent in a round.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Messages in batches; of single ones there are a quarter as many.
    messages: u64,
    /// Bytes of a body.
    body: usize,
}

/// What one load gave: messages per second and CPU time, or latencies.
#[derive(Debug, Clone, Copy)]
struct Measured {
    name: &'static str,
    unit: &'static str,
    value: f64,
}

fn main() -> Result<(), Failure> {
    let (mut contestants, mut size, mut rounds) = (Vec::new(), Size { messages: 400_000, body: 128 }, 3);
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("messages", value)) => size.messages = value.parse()?,
            Some(("body", value)) => size.body = value.parse()?,
            Some(("rounds", value)) => rounds = value.parse()?,
            _ => contestants.push(Contestant::start(&argument)?),
        }
    }
    if contestants.is_empty() {
        return Err(
            "name what is measured: `apache`, `embedded`, NAME=PROGRAM, or the ADDRESS:PORT of a broker"
                .into(),
        );
    }
    // Whole batches on each queue.
    size.messages = size.messages.next_multiple_of(512);
    let mut all: Vec<Vec<Vec<Measured>>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (contestant, measured) in contestants.iter().zip(&mut all) {
            let of_round = self::round(contestant, size, round)?;
            if round > 0 {
                measured.push(of_round);
            }
        }
    }
    report(&contestants, &all);
    Ok(())
}

/// All loads, once, each over a topic of its own.
fn round(contestant: &Contestant, size: Size, round: usize) -> Result<Vec<Measured>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let topic = |load: &str| format!("load-{}-{round}-{load}", std::process::id());
    let (single, batched) = (topic("single"), topic("batched"));
    let few = size.messages / 4;
    let mut measured = Vec::new();
    let mut timed =
        |names: [&'static str; 2], messages: u64, work: &mut dyn FnMut() -> Result<(), Failure>| {
            let (cpu, began) = (contestant.cpu(), Instant::now());
            work()?;
            let seconds = began.elapsed().as_secs_f64();
            measured.push(Measured { name: names[0], unit: "messages/s", value: messages as f64 / seconds });
            if let (Some(before), Some(after)) = (cpu, contestant.cpu()) {
                let value = (after - before).as_secs_f64() * 1e6 / messages as f64;
                measured.push(Measured { name: names[1], unit: "µs/message", value });
            }
            Ok::<_, Failure>(())
        };
    let address = contestant.address;
    timed(["send 1", "send 1, CPU"], few, &mut || {
        runtime.block_on(produce::fill(address, &single, Size { messages: few, ..size }, 1))
    })?;
    timed(["send 32", "send 32, CPU"], size.messages, &mut || {
        runtime.block_on(produce::fill(address, &batched, size, 32))
    })?;
    runtime.block_on(produce::await_filled(address, &batched, size.messages))?;
    timed(["pull 1024", "pull 1024, CPU"], size.messages, &mut || {
        runtime.block_on(drain::drain(address, &batched, size.messages, 1024))
    })?;
    timed(["pull 32", "pull 32, CPU"], size.messages, &mut || {
        runtime.block_on(drain::drain(address, &batched, size.messages, 32))
    })?;
    std::thread::sleep(Duration::from_secs(1));
    let latency = runtime.block_on(latency::measure(address, &topic("latency")))?;
    for (name, value) in latency {
        measured.push(Measured { name, unit: "ms", value });
    }
    Ok(measured)
}

/// A row for each load: the median of each contestant, and its ratio to the first one's.
fn report(contestants: &[Contestant], all: &[Vec<Vec<Measured>>]) {
    let names: Vec<&str> = contestants.iter().map(|contestant| contestant.name.as_str()).collect();
    println!("| load | unit | {} |", names.join(" | "));
    let Some(first) = all.first().and_then(|rounds| rounds.first()) else { return };
    for (index, Measured { name, unit, .. }) in first.iter().enumerate() {
        let medians: Vec<f64> = all.iter().map(|rounds| median(rounds, index)).collect();
        let base = medians.first().copied().unwrap_or(1.0);
        let cells: Vec<String> =
            medians.iter().map(|value| format!("{value:.3} ({:.2})", value / base)).collect();
        println!("| {name} | {unit} | {} |", cells.join(" | "));
    }
}

fn median(rounds: &[Vec<Measured>], index: usize) -> f64 {
    let mut values: Vec<f64> =
        rounds.iter().filter_map(|round| round.get(index)).map(|measured| measured.value).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
