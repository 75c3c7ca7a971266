//! Traffic in which order can be seen: each message has a key and its number in the key's sequence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gantry_host::client_instance::{OutgoingMessage, Producer};
use gantry_protocol::MessageQueue;
use tokio::task::JoinSet;

use crate::cluster::TestCluster;
use crate::ledger::Entry;

/// Keys of each queue.
const KEYS: usize = 4;
/// Room for one key's sequence in a message's number.
const SEQUENCE: usize = 1_000_000;
/// Between messages of one queue.
const PACE: Duration = Duration::from_millis(3);

/// Messages `ok N`, with a failure among them now and then, each key in the queue it belongs to, until it is stopped.
pub struct Sequences {
    stop: Arc<AtomicBool>,
    senders: JoinSet<usize>,
}

impl Sequences {
    /// Begins to send to `topic`.
    pub async fn start(cluster: &TestCluster, topic: &str) -> Self {
        let (stop, mut senders) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for (index, mq) in cluster.queues(topic).await.into_iter().enumerate() {
            senders.spawn(send(cluster.patient_producer().clone(), mq, index * KEYS, Arc::clone(&stop)));
        }
        Self { stop, senders }
    }

    /// Ends. How many messages were sent.
    pub async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.senders.join_all().await.into_iter().sum()
    }
}

async fn send(producer: Producer, mq: MessageQueue, first_key: usize, stop: Arc<AtomicBool>) -> usize {
    let mut sequence = 0;
    while !stop.load(Ordering::Relaxed) {
        for key in first_key..first_key + KEYS {
            let body = format!("{} {}", script(sequence), key * SEQUENCE + sequence);
            producer.send_to(&mq, &OutgoingMessage::new(&*mq.topic, body)).await.unwrap();
            tokio::time::sleep(PACE).await;
        }
        sequence += 1;
    }
    sequence * KEYS
}

/// What the listener is to do with the message of this number (`tests/guests/orderly`).
fn script(sequence: usize) -> &'static str {
    match sequence % 40 {
        11 => "later-once:20",
        23 => "trap-once",
        37 => "later-twice:20",
        _ => "ok",
    }
}

/// What went out of order: entries whose number is not the next of their key, nor once more the one before it.
pub fn out_of_order(entries: &[Entry]) -> Vec<String> {
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in entries {
        let (key, sequence) = (entry.number / SEQUENCE, entry.number % SEQUENCE);
        let expected = next.entry(key).or_default();
        if sequence != *expected && sequence + 1 != *expected {
            wrong.push(format!(
                "key {key}: {sequence} where {expected} was expected, at member {}",
                entry.member
            ));
        }
        *expected = sequence + 1;
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_message_is_in_order_and_one_that_is_skipped_or_goes_back_is_not() {
        let entry = |number| Entry { at: 0, stored: 0, member: 0, queue: None, number };
        let wrong = |numbers: &[usize]| out_of_order(&numbers.iter().copied().map(entry).collect::<Vec<_>>());
        assert!(wrong(&[0, SEQUENCE, 1, 1, 2, SEQUENCE + 1]).is_empty());
        assert_eq!(wrong(&[0, 2, 3]).len(), 1, "1 is skipped");
        assert_eq!(wrong(&[0, 1, 2, 0]).len(), 1, "2 goes back to 0");
    }
}
