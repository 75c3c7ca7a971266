//! How long a message takes from its send until it is in the hands of a consumer whose pull was held.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, BytesMut};
use gantry_protocol::header::{PullMessageRequestHeader, PullMessageResponseHeader};
use gantry_protocol::properties::{self, keys};
use gantry_protocol::{MessageExt, RemotingCommand, RequestCode, ResponseCode, decode_all, sys_flag};

use crate::produce::{create, send_one};
use crate::wire::{Connection, succeeded};
use crate::{Failure, QUEUES, drain};

/// Messages, and how many of them a second.
const MESSAGES: u32 = 600;
const RATE: u32 = 200;
/// Bytes of a body, the time of its send in front.
const BODY: usize = 128;

/// Latencies in milliseconds.
pub(crate) async fn measure(broker: SocketAddr, topic: &str) -> Result<[(&'static str, f64); 2], Failure> {
    create(broker, topic).await?;
    let began = Instant::now();
    let reader = tokio::task::spawn(read(broker, topic.to_owned(), began));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut connection = Connection::open(broker).await?;
    let mut beat = tokio::time::interval(Duration::from_secs(1) / RATE);
    for number in 0..MESSAGES {
        beat.tick().await;
        let key = format!("7F000001{number:024X}");
        let properties = properties::encode([(keys::UNIQUE_KEY, key.as_str()), (keys::TAGS, "load")]);
        let mut body = BytesMut::with_capacity(BODY);
        body.put_u64(u64::try_from(began.elapsed().as_nanos())?);
        body.resize(BODY, b'x');
        let queue = i32::try_from(number)? % QUEUES;
        connection.queue(&mut send_one(topic, queue, body.freeze(), properties), 1)?;
        connection.flush().await?;
        succeeded(connection.reply().await?)?;
    }
    let patience = Duration::from_secs(20);
    let mut latencies = tokio::time::timeout(patience, reader).await???;
    latencies.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| latencies.get((latencies.len() * percent / 100).saturating_sub(1)).copied();
    Ok([("latency p50", at(50).unwrap_or(f64::NAN)), ("latency p99", at(99).unwrap_or(f64::NAN))])
}

/// A held pull for each queue, on one connection.
async fn read(broker: SocketAddr, topic: String, began: Instant) -> Result<Vec<f64>, Failure> {
    let mut connection = Connection::open(broker).await?;
    let mut headers: Vec<PullMessageRequestHeader> = (0..QUEUES)
        .map(|queue| PullMessageRequestHeader {
            sys_flag: sys_flag::PULL_SUBSCRIPTION | sys_flag::PULL_SUSPEND,
            suspend_timeout_millis: 15_000,
            ..drain::header(&topic, queue, 32)
        })
        .collect();
    for (index, header) in headers.iter().enumerate() {
        let mut request = RemotingCommand::request(RequestCode::PULL_MESSAGE, header);
        connection.queue(&mut request, i32::try_from(index)?)?;
    }
    connection.flush().await?;
    let mut latencies = Vec::new();
    while latencies.len() < MESSAGES as usize {
        let reply = connection.reply().await?;
        let header = headers.get_mut(usize::try_from(reply.opaque)?).ok_or("an answer to no pull")?;
        header.queue_offset = reply.header::<PullMessageResponseHeader>()?.next_begin_offset;
        if reply.response_code() == ResponseCode::SUCCESS {
            let now = began.elapsed().as_nanos();
            for message in decode_all(reply.body.clone()) {
                let sent = sent(&message?)?;
                latencies.push((now.saturating_sub(u128::from(sent))) as f64 / 1e6);
            }
        }
        let mut request = RemotingCommand::request(RequestCode::PULL_MESSAGE, header);
        connection.queue(&mut request, reply.opaque)?;
        connection.flush().await?;
    }
    Ok(latencies)
}

fn sent(message: &MessageExt) -> Result<u64, Failure> {
    let body = message.body()?;
    Ok(u64::from_be_bytes(*body.first_chunk().ok_or("a message without its time")?))
}
