//! Measures a running broker: `load ADDRESS [MESSAGES [BODY_BYTES]]`. Sends to four queues over four connections, a window of
//! requests in flight on each, then pulls everything back. Prints messages per second of both.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measuring program")]

use std::error::Error;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use gantry_protocol::header::{
    PullMessageRequestHeader, PullMessageResponseHeader, SendMessageRequestHeaderV2,
};
use gantry_protocol::{FrameDecoder, MAX_FRAME, RemotingCommand, RequestCode, ResponseCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

type Failure = Box<dyn Error + Send + Sync>;

const QUEUES: i32 = 4;
const WINDOW: usize = 256;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().ok_or("name the broker's address")?.parse()?;
    let messages: usize = arguments.next().unwrap_or_else(|| "200000".to_owned()).parse()?;
    let size: usize = arguments.next().unwrap_or_else(|| "128".to_owned()).parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let topic = format!("load-{}", std::process::id());
        let each = messages / 4;
        let body = Bytes::from(vec![b'x'; size]);
        let start = Instant::now();
        join((0..QUEUES).map(|queue| send(address, topic.clone(), queue, each, body.clone())).collect())
            .await?;
        rate("sent", each * 4, start);
        let start = Instant::now();
        join((0..QUEUES).map(|queue| pull(address, topic.clone(), queue, each)).collect()).await?;
        rate("pulled", each * 4, start);
        Ok(())
    })
}

fn rate(what: &str, messages: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what} {messages} messages in {seconds:.2} s: {:.0} per second", messages as f64 / seconds);
}

async fn join(work: Vec<impl Future<Output = Result<(), Failure>> + Send + 'static>) -> Result<(), Failure> {
    let tasks: Vec<_> = work.into_iter().map(tokio::task::spawn).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn send(
    address: SocketAddr,
    topic: String,
    queue_id: i32,
    messages: usize,
    body: Bytes,
) -> Result<(), Failure> {
    let mut connection = Connection::open(address).await?;
    let header = SendMessageRequestHeaderV2 {
        producer_group: "load".to_owned(),
        topic,
        default_topic: "TBW102".to_owned(),
        default_topic_queue_nums: QUEUES,
        queue_id,
        born_timestamp: 1,
        properties: Some("TAGS\u{1}A\u{2}WAIT\u{1}true\u{2}".to_owned()),
        ..SendMessageRequestHeaderV2::default()
    };
    let request = RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &header).with_body(body);
    let (mut started, mut answered) = (0, 0);
    while answered < messages {
        let mut out = BytesMut::new();
        while started < messages && started - answered < WINDOW {
            request.encode(&mut out)?;
            started += 1;
        }
        connection.socket.write_all(&out).await?;
        for reply in connection.replies().await? {
            if reply.response_code() != ResponseCode::SUCCESS {
                return Err(format!("{}: {:?}", reply.response_code(), reply.remark).into());
            }
            answered += 1;
        }
    }
    Ok(())
}

async fn pull(address: SocketAddr, topic: String, queue_id: i32, messages: usize) -> Result<(), Failure> {
    let mut connection = Connection::open(address).await?;
    let mut header = PullMessageRequestHeader {
        consumer_group: "load".to_owned(),
        topic,
        queue_id,
        max_msg_nums: 32,
        sys_flag: 4,
        subscription: Some("*".to_owned()),
        ..PullMessageRequestHeader::default()
    };
    while usize::try_from(header.queue_offset)? < messages {
        let mut out = BytesMut::new();
        RemotingCommand::request(RequestCode::PULL_MESSAGE, &header).encode(&mut out)?;
        connection.socket.write_all(&out).await?;
        for reply in connection.replies().await? {
            header.queue_offset = reply.header::<PullMessageResponseHeader>()?.next_begin_offset;
        }
    }
    Ok(())
}

struct Connection {
    socket: TcpStream,
    buffer: BytesMut,
    decoder: FrameDecoder,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: BytesMut::with_capacity(1 << 20), decoder: FrameDecoder::new(MAX_FRAME) })
    }

    /// The replies that are there, at least one.
    async fn replies(&mut self) -> Result<Vec<RemotingCommand>, Failure> {
        let mut replies = Vec::new();
        loop {
            while let Some(reply) = self.decoder.decode(&mut self.buffer)? {
                replies.push(reply);
            }
            if !replies.is_empty() {
                return Ok(replies);
            }
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err("the broker closed the connection".into());
            }
        }
    }
}
