//! End to end: how long a message takes from its send to its listener, when few are sent.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::{BufMut as _, BytesMut};
use gantry_protocol::header::{PullMessageRequestHeader, PullMessageResponseHeader};
use gantry_protocol::properties::{self, keys};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode, sys_flag};
use serde_json::Value;

use crate::child::Child;
use crate::contestant::Contestant;
use crate::run::{self, Stage, Subject};
use crate::tally::{self, nanoseconds};
use crate::topic;
use crate::wire::{Connection, succeeded};

/// Messages per second.
pub(crate) const RATE: u64 = 200;
/// How long a consumer may take to get its queues, and how often a message looks whether it has.
const STARTING: Duration = Duration::from_secs(240);
const PROBE: Duration = Duration::from_millis(100);
/// How long the broker may hold a pull, in milliseconds.
const HOLD: i64 = 15_000;

/// The latencies of a run, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    /// Half of the messages were not slower.
    pub(crate) p50: f64,
    /// 99 of 100 were not slower.
    pub(crate) p99: f64,
    /// The slowest.
    pub(crate) longest: f64,
}

impl Latency {
    fn of(mut nanoseconds: Vec<u64>) -> anyhow::Result<Self> {
        nanoseconds.sort_unstable();
        let count = nanoseconds.len();
        let at = |percent: usize| {
            let rank = (count * percent).div_ceil(100).max(1); // the nearest rank
            let value = nanoseconds.get(rank - 1).context("no message came")?;
            anyhow::Ok(*value as f64 / 1e6)
        };
        Ok(Self { p50: at(50)?, p99: at(99)?, longest: at(100)? })
    }
}

/// Measures a consumer, or with [`Contestant::Bare`] the broker alone: held pulls on one connection.
pub(crate) async fn run(stage: &Stage<'_>, subject: &Subject) -> anyhow::Result<Latency> {
    let name = run::name(subject);
    let topic = format!("bench-latency-{name}");
    topic::create(stage.broker.address, stage.broker.name_server, &topic, subject.load.queues).await?;
    if subject.contestant == Contestant::Bare {
        return bare(stage, subject, &topic).await;
    }
    let command = run::consumer(stage, subject, &name, &topic, true)?;
    let mut child = Child::start(command, &stage.files.join(&name).with_extension("log"))?;
    let mut sender = Sender::open(stage, subject, &topic).await?;
    sender.probe_until_first(&mut child).await?;
    sender.send_all(subject.load.messages).await?;
    child.event("end", STARTING).await?;
    let stopped = child.close().await?;
    let latencies = stopped.get("latencies").and_then(Value::as_array).context("no latencies")?;
    Latency::of(latencies.iter().filter_map(Value::as_u64).collect())
}

/// Sends one message after the other, each at its time.
struct Sender {
    connection: Connection,
    topic: String,
    queues: u32,
    body: usize,
    sent: u32,
}

impl Sender {
    async fn open(stage: &Stage<'_>, subject: &Subject, topic: &str) -> anyhow::Result<Self> {
        let connection = Connection::open(stage.broker.address).await?;
        let (topic, queues, body) = (topic.to_owned(), subject.load.queues, subject.load.body.max(8));
        Ok(Self { connection, topic, queues, body, sent: 0 })
    }

    /// Messages without a time, to the queues in turn, until the consumer gets one.
    async fn probe_until_first(&mut self, child: &mut Child) -> anyhow::Result<()> {
        let deadline = Instant::now() + STARTING;
        loop {
            self.send(false).await?;
            let first = tokio::time::timeout(PROBE, child.event("first", STARTING)).await;
            if let Ok(first) = first {
                first?;
                break;
            }
            anyhow::ensure!(Instant::now() < deadline, "the consumer gets no message in {STARTING:?}");
        }
        Ok(())
    }

    /// This many messages with the time they are sent, at [`RATE`].
    async fn send_all(&mut self, messages: u64) -> anyhow::Result<()> {
        let mut beat = tokio::time::interval(Duration::from_secs(1) / u32::try_from(RATE)?);
        for _ in 0..messages {
            beat.tick().await;
            self.send(true).await?;
        }
        Ok(())
    }

    async fn send(&mut self, timed: bool) -> anyhow::Result<()> {
        let queue = self.sent % self.queues;
        let key = format!("7F000001{:024X}", self.sent);
        let properties = properties::encode([(keys::UNIQUE_KEY, key.as_str()), (keys::TAGS, "bench")]);
        let mut body = BytesMut::with_capacity(self.body);
        body.put_u64(if timed { nanoseconds() } else { 0 });
        body.resize(self.body, b'x');
        let mut request = topic::send_one(&self.topic, queue, body.freeze(), properties)?;
        self.connection.queue(&mut request, 1)?;
        self.connection.flush().await?;
        succeeded(self.connection.reply().await?).context("a message could not be sent")?;
        self.sent += 1;
        Ok(())
    }
}

/// What the broker alone takes.
async fn bare(stage: &Stage<'_>, subject: &Subject, topic: &str) -> anyhow::Result<Latency> {
    let mut sender = Sender::open(stage, subject, topic).await?;
    let mut reader = Connection::open(stage.broker.address).await?;
    let mut headers: Vec<_> = (0..subject.load.queues).map(|queue| held_pull(topic, queue)).collect();
    for (index, header) in headers.iter().enumerate() {
        let index = i32::try_from(index)?;
        reader.queue(&mut RemotingCommand::request(RequestCode::PULL_MESSAGE, header), index)?;
    }
    reader.flush().await?;
    let wanted = usize::try_from(subject.load.messages)?;
    let read = async {
        let mut latencies = Vec::new();
        while latencies.len() < wanted {
            let reply = reader.reply().await?;
            let index = usize::try_from(reply.opaque)?;
            let header = headers.get_mut(index).context("an answer to no pull")?;
            header.queue_offset = reply.header::<PullMessageResponseHeader>()?.next_begin_offset;
            if reply.response_code() == ResponseCode::SUCCESS {
                for message in gantry_protocol::decode_all(reply.body.clone()) {
                    let sent = tally::sent(&message?.body()?).context("a message without its time")?;
                    latencies.push(nanoseconds().saturating_sub(sent));
                }
            }
            reader.queue(&mut RemotingCommand::request(RequestCode::PULL_MESSAGE, header), reply.opaque)?;
            reader.flush().await?;
        }
        anyhow::Ok(latencies)
    };
    let both = async { tokio::try_join!(read, sender.send_all(subject.load.messages)) };
    let all = STARTING + Duration::from_secs(subject.load.messages / RATE);
    let (latencies, ()) = tokio::time::timeout(all, both).await.context("messages do not arrive")??;
    Latency::of(latencies)
}

fn held_pull(topic: &str, queue: u32) -> PullMessageRequestHeader {
    PullMessageRequestHeader {
        consumer_group: "gantry-bench-latency".to_owned(),
        topic: topic.to_owned(),
        queue_id: i32::try_from(queue).unwrap_or_default(),
        max_msg_nums: 32,
        sys_flag: sys_flag::PULL_SUBSCRIPTION | sys_flag::PULL_SUSPEND,
        suspend_timeout_millis: HOLD,
        subscription: Some("*".to_owned()),
        ..PullMessageRequestHeader::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let latency = Latency::of((1..=200).rev().map(|n| n * 1_000_000).collect()).unwrap();
        assert_eq!((latency.p50, latency.p99, latency.longest), (100.0, 198.0, 200.0));
        let one = Latency::of(vec![5_000_000]).unwrap();
        assert_eq!((one.p50, one.p99, one.longest), (5.0, 5.0, 5.0));
        assert!(Latency::of(Vec::new()).is_err());
    }
}
