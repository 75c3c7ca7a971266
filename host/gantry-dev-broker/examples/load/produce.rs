//! Filling a topic: a connection for each queue, a window of requests on each.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gantry_protocol::batch::{self, BatchItem};
use gantry_protocol::header::{
    CreateTopicRequestHeader, GetMaxOffsetRequestHeader, GetMaxOffsetResponseHeader,
    SendMessageRequestHeaderV2,
};
use gantry_protocol::properties::{self, keys};
use gantry_protocol::{RemotingCommand, RequestCode, perm};

use crate::wire::{Connection, succeeded};
use crate::{Failure, QUEUES, Size};

/// Requests under way on a connection.
const WINDOW: usize = 64;
/// Requests made ahead, which are sent in turn: making one costs this program more than some brokers.
const MADE_AHEAD: u64 = 64;

/// Makes the topic and sends messages, `together` in a request, which divides what each queue gets.
pub(crate) async fn fill(broker: SocketAddr, topic: &str, size: Size, together: u64) -> Result<(), Failure> {
    create(broker, topic).await?;
    let each = size.messages / u64::from(QUEUES.unsigned_abs());
    let senders: Vec<_> = (0..QUEUES)
        .map(|queue| {
            let size = Size { messages: each, ..size };
            tokio::task::spawn(send(broker, topic.to_owned(), queue, size, together))
        })
        .collect();
    for sender in senders {
        sender.await??;
    }
    Ok(())
}

pub(crate) async fn create(broker: SocketAddr, topic: &str) -> Result<(), Failure> {
    let header = CreateTopicRequestHeader {
        topic: topic.to_owned(),
        default_topic: Some("TBW102".to_owned()),
        read_queue_nums: QUEUES,
        write_queue_nums: QUEUES,
        perm: perm::READ | perm::WRITE,
        topic_filter_type: Some("SINGLE_TAG".to_owned()),
        topic_sys_flag: Some(0),
        order: Some(false),
        ..CreateTopicRequestHeader::default()
    };
    Connection::open(broker).await?.ask(RequestCode::UPDATE_AND_CREATE_TOPIC, &header).await?;
    Ok(())
}

/// Waits until as many messages can be read: a broker may tell of them later than it answers.
pub(crate) async fn await_filled(broker: SocketAddr, topic: &str, messages: u64) -> Result<(), Failure> {
    let mut connection = Connection::open(broker).await?;
    loop {
        let mut there = 0;
        for queue_id in 0..QUEUES {
            let header =
                GetMaxOffsetRequestHeader { topic: topic.to_owned(), queue_id, ..Default::default() };
            let reply = connection.ask(RequestCode::GET_MAX_OFFSET, &header).await?;
            there += reply.header::<GetMaxOffsetResponseHeader>()?.offset;
        }
        if u64::try_from(there)? >= messages {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn send(
    broker: SocketAddr,
    topic: String,
    queue: i32,
    size: Size,
    together: u64,
) -> Result<(), Failure> {
    let mut connection = Connection::open(broker).await?;
    let body = Bytes::from(vec![b'x'; size.body]);
    let requests: Vec<Bytes> = (0..MADE_AHEAD)
        .map(|number| {
            let mut frame = BytesMut::new();
            request(&topic, queue, number * together, together, &body)?.encode(&mut frame)?;
            Ok::<_, Failure>(frame.freeze())
        })
        .collect::<Result<_, _>>()?;
    let (mut left, mut under_way) = (size.messages / together, 0);
    let mut next = requests.iter().cycle();
    while left > 0 || under_way > 0 {
        // Half a window at once, so that a request costs no write of its own.
        while left > 0 && under_way < WINDOW {
            left -= 1;
            connection.queue_frame(next.next().ok_or("no request")?);
            under_way += 1;
        }
        connection.flush().await?;
        while under_way > if left > 0 { WINDOW / 2 } else { 0 } {
            succeeded(connection.reply().await?)?;
            under_way -= 1;
        }
    }
    Ok(())
}

/// A send of `count` messages, each with a unique key as Java's client has it.
fn request(
    topic: &str,
    queue: i32,
    sequence: u64,
    count: u64,
    body: &Bytes,
) -> Result<RemotingCommand, Failure> {
    let properties = |index: u64| {
        let key = format!("7F000001{queue:08X}{:016X}", sequence + index);
        properties::encode([(keys::UNIQUE_KEY, key.as_str()), (keys::TAGS, "load"), ("WAIT", "true")])
    };
    if count == 1 {
        return Ok(send_one(topic, queue, body.clone(), properties(0)));
    }
    let mut packed = BytesMut::new();
    for index in 0..count {
        let properties = properties(index);
        batch::encode([BatchItem { flag: 0, body, properties: properties.as_bytes() }], &mut packed)?;
    }
    let header = SendMessageRequestHeaderV2 { batch: Some(true), ..header(topic, queue, properties(0)) };
    Ok(RemotingCommand::request(RequestCode::SEND_BATCH_MESSAGE, &header).with_body(packed.freeze()))
}

/// A send of one message.
pub(crate) fn send_one(topic: &str, queue: i32, body: Bytes, properties: String) -> RemotingCommand {
    let header = header(topic, queue, properties);
    RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &header).with_body(body)
}

fn header(topic: &str, queue_id: i32, properties: String) -> SendMessageRequestHeaderV2 {
    SendMessageRequestHeaderV2 {
        producer_group: "load".to_owned(),
        topic: topic.to_owned(),
        default_topic: "TBW102".to_owned(),
        default_topic_queue_nums: QUEUES,
        queue_id,
        born_timestamp: 1,
        properties: Some(properties),
        ..SendMessageRequestHeaderV2::default()
    }
}
