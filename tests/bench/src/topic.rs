//! Topics of a bench: made, filled, and asked where a group is in them.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use gantry_protocol::batch::{self, BatchItem};
use gantry_protocol::header::{
    CreateTopicRequestHeader, GetMaxOffsetRequestHeader, GetMaxOffsetResponseHeader,
    QueryConsumerOffsetRequestHeader, QueryConsumerOffsetResponseHeader, SendMessageRequestHeaderV2,
};
use gantry_protocol::properties::{self, keys};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode, perm};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::wire::{Connection, succeeded};

/// Connections that send at once, and requests under way on each.
const SENDERS: usize = 4;
const WINDOW: usize = 64;
/// How long the name server may take to hear of a topic.
const PATIENCE: Duration = Duration::from_secs(240);

/// A topic and what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Load {
    /// How many queues it is spread over evenly.
    pub(crate) queues: u32,
    /// How many messages.
    pub(crate) messages: u64,
    /// Bytes of each body.
    pub(crate) body: usize,
}

impl Load {
    pub(crate) fn topic(&self) -> String {
        format!("bench-{}-{}-{}", self.queues, self.messages, self.body)
    }

    /// How many messages this queue has.
    fn in_queue(&self, queue: u32) -> u64 {
        let (queues, queue) = (u64::from(self.queues), u64::from(queue));
        self.messages / queues + u64::from(queue < self.messages % queues)
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let messages = crate::report::number(self.messages as f64);
        write!(f, "{messages} messages of {} B in {} queues", self.body, self.queues)
    }
}

/// Makes a topic, and waits until the name server, which may be the broker, knows it.
pub(crate) async fn create(
    broker: SocketAddr,
    name_server: SocketAddr,
    topic: &str,
    queues: u32,
) -> anyhow::Result<()> {
    let queues = i32::try_from(queues)?;
    let header = CreateTopicRequestHeader {
        topic: topic.to_owned(),
        default_topic: Some("TBW102".to_owned()),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm: perm::READ | perm::WRITE,
        topic_filter_type: Some("SINGLE_TAG".to_owned()),
        topic_sys_flag: Some(0),
        order: Some(false),
        ..CreateTopicRequestHeader::default()
    };
    let mut connection = Connection::open(broker).await?;
    connection
        .ask(RequestCode::UPDATE_AND_CREATE_TOPIC, &header)
        .await
        .with_context(|| format!("cannot make topic {topic}"))?;
    let deadline = Instant::now() + PATIENCE;
    let route =
        gantry_protocol::header::GetRouteInfoRequestHeader { topic: topic.to_owned(), ..Default::default() };
    let mut connection = Connection::open(name_server).await?;
    while connection.ask(RequestCode::GET_ROUTEINFO_BY_TOPIC, &route).await.is_err() {
        anyhow::ensure!(
            Instant::now() < deadline,
            "the name server has no route of {topic} after {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Fills a topic, `together` messages a request; returns messages per second from the first request to the last answer.
pub(crate) async fn fill(broker: SocketAddr, load: Load, topic: &str, together: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let queues: Vec<u32> = (0..load.queues).skip(sender).step_by(SENDERS).collect();
        senders.spawn(send(broker, load, topic.to_owned(), queues, together));
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(load.messages as f64 / began.elapsed().as_secs_f64())
}

async fn send(
    broker: SocketAddr,
    load: Load,
    topic: String,
    queues: Vec<u32>,
    together: u64,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(broker).await?;
    let mut left = Vec::new();
    for queue in queues {
        left.push((Sends::new(&topic, queue, together, load.body)?, load.in_queue(queue)));
    }
    let (mut under_way, mut sequence) = (0, 0_u64);
    loop {
        // Half a window at once, so that a request costs no write of its own.
        let room = if under_way <= WINDOW / 2 { WINDOW } else { under_way };
        while under_way < room {
            left.retain(|(_, messages)| *messages > 0);
            let turn = usize::try_from(sequence)? % left.len().max(1);
            let Some((sends, messages)) = left.get_mut(turn) else { break };
            if *messages < together {
                *sends = Sends::new(&topic, sends.queue, *messages, load.body)?;
            }
            *messages = messages.saturating_sub(together);
            connection.queue_frame(sends.next(sequence)?);
            sequence += 1;
            under_way += 1;
        }
        if under_way == 0 {
            return Ok(());
        }
        connection.flush().await?;
        succeeded(connection.reply().await?).context("a message could not be sent")?;
        under_way -= 1;
    }
}

/// Sends to one queue, each with the same number of messages. They differ in their messages' keys, so that a send is made once, and
/// costs this program little: brokers are compared by it, on the same cores.
struct Sends {
    queue: u32,
    frame: BytesMut,
    /// Where the sequence number is in each key.
    sequences: Vec<usize>,
}

/// Digits of a key's sequence number.
const SEQUENCE: usize = 12;

impl Sends {
    fn new(topic: &str, queue: u32, count: u64, body: usize) -> anyhow::Result<Self> {
        let (mut frame, key) = (BytesMut::new(), format!("{}{:0SEQUENCE$X}", key_of(queue), 0));
        request(topic, queue, count, 0, body)?.encode(&mut frame)?;
        let places = frame.windows(key.len()).enumerate().filter(|(_, bytes)| *bytes == key.as_bytes());
        let sequences = places.map(|(place, _)| place + key.len() - SEQUENCE).collect();
        Ok(Self { queue, frame, sequences })
    }

    fn next(&mut self, sequence: u64) -> anyhow::Result<&[u8]> {
        let digits = format!("{sequence:0SEQUENCE$X}");
        for place in &self.sequences {
            let digits_there =
                self.frame.get_mut(*place..place + SEQUENCE).context("a key outside its frame")?;
            digits_there.copy_from_slice(digits.as_bytes());
        }
        Ok(&self.frame)
    }
}

/// What the keys of a queue's messages begin with.
fn key_of(queue: u32) -> String {
    format!("7F000001{queue:08X}")
}

/// One send of `count` messages, as a client in Java has them: a unique key each.
fn request(
    topic: &str,
    queue: u32,
    count: u64,
    sequence: u64,
    body: usize,
) -> anyhow::Result<RemotingCommand> {
    let body = Bytes::from(vec![b'x'; body]);
    let properties = |index: u64| {
        let key = format!("{}{sequence:0SEQUENCE$X}{index:04X}", key_of(queue));
        properties::encode([(keys::UNIQUE_KEY, key.as_str()), (keys::TAGS, "bench"), ("WAIT", "true")])
    };
    if count == 1 {
        return send_one(topic, queue, body, properties(0));
    }
    let mut packed = BytesMut::new();
    for index in 0..count {
        let properties = properties(index);
        batch::encode([BatchItem { flag: 0, body: &body, properties: properties.as_bytes() }], &mut packed)?;
    }
    let header = SendMessageRequestHeaderV2 { batch: Some(true), ..header(topic, queue, properties(0))? };
    Ok(RemotingCommand::request(RequestCode::SEND_BATCH_MESSAGE, &header).with_body(packed.freeze()))
}

/// One message in a request.
pub(crate) fn send_one(
    topic: &str,
    queue: u32,
    body: Bytes,
    properties: String,
) -> anyhow::Result<RemotingCommand> {
    let header = header(topic, queue, properties)?;
    Ok(RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &header).with_body(body))
}

fn header(topic: &str, queue: u32, properties: String) -> anyhow::Result<SendMessageRequestHeaderV2> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(SendMessageRequestHeaderV2 {
        producer_group: "gantry-bench".to_owned(),
        topic: topic.to_owned(),
        default_topic: "TBW102".to_owned(),
        default_topic_queue_nums: 8,
        queue_id: i32::try_from(queue)?,
        born_timestamp: i64::try_from(now.as_millis())?,
        properties: Some(properties),
        ..SendMessageRequestHeaderV2::default()
    })
}

/// Waits until a topic has as many messages as were sent: a broker may tell of them later than it answers.
pub(crate) async fn await_filled(broker: SocketAddr, load: Load, topic: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let there = messages(broker, topic, load.queues).await?;
        if there == load.messages {
            return Ok(());
        }
        let sent = load.messages;
        anyhow::ensure!(there < sent, "{there} messages are in {topic}, where only {sent} were sent");
        anyhow::ensure!(
            Instant::now() < deadline,
            "{there} of {sent} messages are in {topic} after {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many messages a topic has.
async fn messages(broker: SocketAddr, topic: &str, queues: u32) -> anyhow::Result<u64> {
    let mut connection = Connection::open(broker).await?;
    let mut all = 0;
    for queue in 0..queues {
        let header = GetMaxOffsetRequestHeader {
            topic: topic.to_owned(),
            queue_id: i32::try_from(queue)?,
            ..GetMaxOffsetRequestHeader::default()
        };
        let reply = connection.ask(RequestCode::GET_MAX_OFFSET, &header).await?;
        all += u64::try_from(reply.header::<GetMaxOffsetResponseHeader>()?.offset)?;
    }
    Ok(all)
}

/// How many messages of a topic a group has committed.
pub(crate) async fn committed(
    broker: SocketAddr,
    topic: &str,
    queues: u32,
    group: &str,
) -> anyhow::Result<u64> {
    let mut connection = Connection::open(broker).await?;
    let mut all = 0;
    for queue in 0..queues {
        let header = QueryConsumerOffsetRequestHeader {
            consumer_group: group.to_owned(),
            topic: topic.to_owned(),
            queue_id: i32::try_from(queue)?,
            ..QueryConsumerOffsetRequestHeader::default()
        };
        connection.queue(&mut RemotingCommand::request(RequestCode::QUERY_CONSUMER_OFFSET, &header), 1)?;
        connection.flush().await?;
        let reply = connection.reply().await?;
        if reply.response_code() != ResponseCode::QUERY_NOT_FOUND {
            all += u64::try_from(succeeded(reply)?.header::<QueryConsumerOffsetResponseHeader>()?.offset)?;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_differ_in_their_messages_keys() {
        for count in [1, 3] {
            let mut sends = Sends::new("t", 9, count, 4).unwrap();
            for sequence in [5, 0xABC_DEF0_1234] {
                let mut made = BytesMut::new();
                let expected = request("t", 9, count, sequence, 4).unwrap();
                let mut frame = BytesMut::from(sends.next(sequence).unwrap());
                let sent = gantry_protocol::FrameDecoder::default().decode(&mut frame).unwrap().unwrap();
                expected.encode(&mut made).unwrap();
                assert_eq!(frame.len(), 0);
                assert_eq!(sent.body, expected.body);
                let properties = |command: &RemotingCommand| {
                    command.header::<SendMessageRequestHeaderV2>().unwrap().properties
                };
                assert_eq!(properties(&sent), properties(&expected));
            }
        }
    }

    #[test]
    fn a_load_is_spread_evenly_and_whole() {
        for (queues, messages) in [(8, 1_000_000), (64, 1_000_000), (512, 1_001), (8, 3)] {
            let load = Load { queues, messages, body: 1 };
            let shares: Vec<u64> = (0..queues).map(|queue| load.in_queue(queue)).collect();
            assert_eq!(shares.iter().sum::<u64>(), messages);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }
}
