//! Queues as a line of the messages file names them: a number of them, or `BROKER:ID`.

use gantry_engine::MessageQueue;
use serde::Deserialize;

/// Most queues of one question.
const MAX_QUEUES: usize = 10_000;
/// What they are queues of, unless the line says so.
const TOPIC: &str = "topic";

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "`queues` is a number of queues at `broker-a`, or a list such as [\"broker-a:0\"]"
)]
pub(super) enum Queues {
    Count(u32),
    Named(Vec<String>),
}

impl Queues {
    /// The queues of this topic, sorted, as every client sees them.
    pub(super) fn of(self, topic: Option<&str>) -> Result<Vec<MessageQueue>, String> {
        let names = match self {
            Self::Count(count) if count as usize <= MAX_QUEUES => {
                (0..count).map(|id| format!("broker-a:{id}")).collect()
            }
            Self::Named(names) if names.len() <= MAX_QUEUES => names,
            _ => return Err(format!("too many queues; at most {MAX_QUEUES}")),
        };
        let queues = names.iter().map(|name| queue(topic.unwrap_or(TOPIC), name));
        let mut queues = queues.collect::<Result<Vec<_>, _>>()?;
        queues.sort();
        if doubled(&queues) {
            return Err("a queue is named twice".to_owned());
        }
        Ok(queues)
    }
}

/// A queue as a line would name it.
pub(super) fn name(queue: &MessageQueue) -> String {
    format!("{}:{}", queue.broker_name, queue.queue_id)
}

/// Whether something sorted has neighbours alike.
pub(super) fn doubled<T: PartialEq>(sorted: &[T]) -> bool {
    sorted.windows(2).any(|pair| pair.first() == pair.last())
}

fn queue(topic: &str, name: &str) -> Result<MessageQueue, String> {
    let read = name.rsplit_once(':').and_then(|(broker, id)| Some((broker, id.parse().ok()?)));
    let (broker, queue_id) = read
        .filter(|(broker, _)| !broker.is_empty())
        .ok_or_else(|| format!("`{name}` is no queue; write BROKER:ID, such as broker-a:0"))?;
    Ok(MessageQueue { topic: topic.to_owned(), broker_name: broker.to_owned(), queue_id })
}
