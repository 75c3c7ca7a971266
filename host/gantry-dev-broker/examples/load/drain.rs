//! Pulling a topic empty, a connection for each queue; of what comes only the offsets are looked at.

use std::net::SocketAddr;

use gantry_protocol::header::{PullMessageRequestHeader, PullMessageResponseHeader};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode, sys_flag};

use crate::wire::Connection;
use crate::{Failure, QUEUES};

pub(crate) async fn drain(broker: SocketAddr, topic: &str, messages: u64, most: i32) -> Result<(), Failure> {
    let each = i64::try_from(messages)? / i64::from(QUEUES);
    let readers: Vec<_> =
        (0..QUEUES).map(|queue| tokio::task::spawn(pull(broker, header(topic, queue, most), each))).collect();
    for reader in readers {
        reader.await??;
    }
    Ok(())
}

async fn pull(broker: SocketAddr, mut header: PullMessageRequestHeader, until: i64) -> Result<(), Failure> {
    let mut connection = Connection::open(broker).await?;
    while header.queue_offset < until {
        connection.queue(&mut RemotingCommand::request(RequestCode::PULL_MESSAGE, &header), 1)?;
        connection.flush().await?;
        let reply = connection.reply().await?;
        // RocketMQ asks for another broker where it reads from disk; it is asked again.
        if !matches!(reply.response_code(), ResponseCode::SUCCESS | ResponseCode::PULL_RETRY_IMMEDIATELY) {
            return Err(format!("a pull is answered {}: {:?}", reply.response_code(), reply.remark).into());
        }
        header.queue_offset = reply.header::<PullMessageResponseHeader>()?.next_begin_offset;
    }
    Ok(())
}

pub(crate) fn header(topic: &str, queue_id: i32, most: i32) -> PullMessageRequestHeader {
    PullMessageRequestHeader {
        consumer_group: "load".to_owned(),
        topic: topic.to_owned(),
        queue_id,
        max_msg_nums: most,
        max_msg_bytes: Some(4 << 20),
        sys_flag: sys_flag::PULL_SUBSCRIPTION,
        subscription: Some("*".to_owned()),
        ..PullMessageRequestHeader::default()
    }
}
