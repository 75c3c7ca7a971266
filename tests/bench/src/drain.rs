//! The limit: what is to be had of a broker at all. Raw pulls over some connections, several queues in turn on each, and of
//! what comes only sizes are looked at.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use anyhow::{Context as _, bail};
use gantry_protocol::header::{PullMessageRequestHeader, PullMessageResponseHeader};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode, sys_flag};

use crate::tally::Tally;
use crate::wire::Connection;

/// How to drain.
#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    /// The broker.
    #[arg(long)]
    broker: SocketAddr,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    queues: i32,
    /// Messages in the topic.
    #[arg(long)]
    count: u64,
    /// Messages asked for by one pull.
    #[arg(long)]
    pull: i32,
    /// Bytes asked for by one pull.
    #[arg(long)]
    bytes: i32,
    #[arg(long)]
    connections: i32,
}

/// Drains the topic, with a thread for each connection. The threads stay until the process ends, so that the system still
/// tells their CPU time apart to the nanosecond.
pub(crate) fn run(drain: Drain) -> anyhow::Result<()> {
    let (tally, drain) = (Arc::new(Tally::new(drain.count)), Arc::new(drain));
    let (done, ends) = mpsc::channel();
    for connection in 0..drain.connections {
        let (drain, tally, done) = (Arc::clone(&drain), Arc::clone(&tally), done.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let pulled = runtime.context("no runtime");
            let pulled = pulled.and_then(|runtime| runtime.block_on(pull(&drain, connection, &tally)));
            let _nobody_waits = done.send(pulled);
            loop {
                std::thread::park();
            }
        });
    }
    for _ in 0..drain.connections {
        ends.recv()??;
    }
    tally.wait_for_stdin();
    Ok(())
}

/// One pull of each of its queues is under way, until all of them are empty.
async fn pull(drain: &Drain, connection: i32, tally: &Tally) -> anyhow::Result<()> {
    let mine = (0..drain.queues).filter(|queue| queue % drain.connections == connection);
    let mut headers: Vec<_> = mine.map(|queue| header(drain, queue)).collect();
    let mut connection = Connection::open(drain.broker).await?;
    for (index, header) in headers.iter().enumerate() {
        let mut request = RemotingCommand::request(RequestCode::PULL_MESSAGE, header);
        connection.queue(&mut request, i32::try_from(index)?)?;
    }
    connection.flush().await?;
    let mut empty = 0;
    while empty < headers.len() {
        let reply = connection.reply().await?;
        match reply.response_code() {
            ResponseCode::SUCCESS => {}
            ResponseCode::PULL_NOT_FOUND => {
                empty += 1;
                continue;
            }
            code => bail!("a pull is answered {code}: {}", reply.remark.unwrap_or_default()),
        }
        let index = usize::try_from(reply.opaque)?;
        let header = headers.get_mut(index).context("an answer to no pull")?;
        header.queue_offset = reply.header::<PullMessageResponseHeader>()?.next_begin_offset;
        let mut request = RemotingCommand::request(RequestCode::PULL_MESSAGE, header);
        connection.queue(&mut request, reply.opaque)?;
        connection.flush().await?;
        tally.add(records(&reply.body)?);
    }
    Ok(())
}

fn header(drain: &Drain, queue_id: i32) -> PullMessageRequestHeader {
    PullMessageRequestHeader {
        consumer_group: "gantry-bench-drain".to_owned(),
        topic: drain.topic.clone(),
        queue_id,
        max_msg_nums: drain.pull,
        max_msg_bytes: Some(drain.bytes),
        sys_flag: sys_flag::PULL_SUBSCRIPTION,
        subscription: Some("*".to_owned()),
        ..PullMessageRequestHeader::default()
    }
}

/// How many records there are: each begins with its length.
fn records(mut body: &[u8]) -> anyhow::Result<u64> {
    let mut count = 0;
    while let Some(length) = body.first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length))?;
        body = body.get(length.max(1)..).context("a record that ends behind its answer")?;
        count += 1;
    }
    anyhow::ensure!(body.is_empty(), "{} bytes behind the last record", body.len());
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_by_their_lengths() {
        assert_eq!(records(&[]).unwrap(), 0);
        assert_eq!(records(&[0, 0, 0, 5, 1, 0, 0, 0, 6, 1, 2]).unwrap(), 2);
        assert!(records(&[0, 0, 0, 9, 1]).is_err());
        assert!(records(&[0, 0, 0, 0]).is_err());
        assert!(records(&[0, 0, 0, 4, 1]).is_err());
    }
}
