//! What moving a group's offsets would do, queue by queue.

use anyhow::Context as _;
use gantry_host::client_instance::ClientInstance;
use gantry_protocol::MessageQueue;
use serde_json::{Value, json};

use crate::commands::exit::NotFound;
use crate::commands::table::{Table, left, right};

/// One queue's move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    /// The queue.
    pub(super) mq: MessageQueue,
    /// The offset the group has; none where it has stored none.
    pub(super) from: Option<i64>,
    /// The offset it gets.
    pub(super) to: i64,
}

impl Move {
    /// Messages the group would not see.
    fn skipped(&self) -> i64 {
        self.from.map_or(0, |from| (self.to - from).max(0))
    }

    /// Messages it would see again.
    fn repeated(&self) -> i64 {
        self.from.map_or(0, |from| (from - self.to).max(0))
    }

    fn as_json(&self) -> Value {
        json!({
            "brokerName": &*self.mq.broker_name, "queueId": self.mq.queue_id, "from": self.from, "to": self.to,
            "skipped": self.skipped(), "repeated": self.repeated(),
        })
    }
}

/// Every queue that can be read of a topic, which is named as brokers know it.
pub(super) async fn queues(client: &ClientInstance, topic: &str) -> anyhow::Result<Vec<MessageQueue>> {
    let queues = client.refresh_route(topic).await?.subscribe_queues.clone();
    if queues.is_empty() {
        let topic = client.namespace().unwrap(topic);
        return Err(NotFound(format!("topic {topic} has no queue that may be read")).into());
    }
    Ok(queues)
}

/// Moves a group that is not online, so that nobody stores other offsets over these.
pub(super) async fn store(client: &ClientInstance, group: &str, moves: &[Move]) -> anyhow::Result<()> {
    for Move { mq, to, .. } in moves {
        client
            .update_offset(group, mq, *to)
            .await
            .with_context(|| format!("no offset was stored of {mq}"))?;
        // Brokers ignore an offset while a reset waits for the queue's next pull; another reset takes its place.
        if client.query_offset(group, mq).await? != Some(*to) {
            client.reset_offset(group, mq, *to).await?;
        }
    }
    Ok(())
}

/// The moves as JSON.
pub(super) fn as_json(moves: &[Move]) -> Vec<Value> {
    moves.iter().map(Move::as_json).collect()
}

/// The moves as a table and in sum, and whether they were done.
pub(super) fn print(moves: &[Move], done: bool) {
    let mut table = Table::new([
        left("BROKER"),
        right("QUEUE"),
        right("FROM"),
        right("TO"),
        right("SKIPPED"),
        right("REPEATED"),
    ]);
    for queue in moves {
        table.row([
            queue.mq.broker_name.to_string(),
            queue.mq.queue_id.to_string(),
            queue.from.map_or_else(|| "-".to_owned(), |from| from.to_string()),
            queue.to.to_string(),
            queue.skipped().to_string(),
            queue.repeated().to_string(),
        ]);
    }
    table.print();
    let (skipped, repeated): (i64, i64) =
        (moves.iter().map(Move::skipped).sum(), moves.iter().map(Move::repeated).sum());
    if done {
        say!("done: {skipped} messages are skipped, {repeated} come again");
    } else {
        say!("{skipped} messages would be skipped, {repeated} would come again");
        say!("dry run: nothing was changed; add --yes to do it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_forward_skips_and_one_backward_repeats() {
        let moved = |from, to| Move { mq: MessageQueue::new("t", "b", 0), from, to };
        let counts = |queue: Move| (queue.skipped(), queue.repeated());
        assert_eq!(counts(moved(Some(3), 10)), (7, 0));
        assert_eq!(counts(moved(Some(10), 3)), (0, 7));
        assert_eq!(counts(moved(None, 3)), (0, 0));
    }
}
