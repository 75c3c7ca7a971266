use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MessageModel;
use crate::MessageQueue;
use crate::pop::PopReceipt;

wire_enum! {
    /// Whether a group pulls or pops a topic (RocketMQ: MessageRequestMode).
    MessageRequestMode, default Pull {
        /// The client pulls and keeps offsets.
        Pull = "PULL",
        /// The client pops and settles messages one by one.
        Pop = "POP",
    }
}

/// The body of QUERY_ASSIGNMENT 400 (RocketMQ: QueryAssignmentRequestBody).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignmentRequestBody {
    /// The client that asks.
    pub client_id: String,
    /// The consumer group.
    pub consumer_group: String,
    /// How the group shares the topic.
    pub message_model: MessageModel,
    /// `AVG` or `AVG_BY_CIRCLE`.
    pub strategy_name: String,
    /// The topic.
    pub topic: String,
}

/// The answer to QUERY_ASSIGNMENT (RocketMQ: QueryAssignmentResponseBody).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignmentResponseBody {
    /// What the client shall consume; absent for a client that is not in the group.
    pub message_queue_assignments: Vec<MessageQueueAssignment>,
}

/// One queue to consume (RocketMQ: MessageQueueAssignment).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageQueueAssignment {
    /// Further facts by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attachments: BTreeMap<String, String>,
    /// The queue; queue id -1 is any queue of the broker.
    pub message_queue: MessageQueue,
    /// How to consume it.
    #[serde(default)]
    pub mode: MessageRequestMode,
}

/// The body of SET_MESSAGE_REQUEST_MODE 401 (RocketMQ: SetMessageRequestModeRequestBody).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetMessageRequestModeRequestBody {
    /// The consumer group.
    pub consumer_group: String,
    /// How it shall consume.
    pub mode: MessageRequestMode,
    /// How many clients share a queue; 0 and below is all.
    pub pop_share_queue_num: i32,
    /// The topic.
    pub topic: String,
}

/// The body of BATCH_ACK_MESSAGE 200151 (RocketMQ: BatchAckMessageRequestBody).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchAckMessageRequestBody {
    /// The broker's name.
    pub broker_name: String,
    /// One entry per pop.
    pub acks: Vec<BatchAck>,
}

impl BatchAckMessageRequestBody {
    /// The messages of a group at one broker that are settled, each with the topic it was first sent to: one entry for each
    /// pop and queue they are of.
    pub fn new<'a>(
        broker_name: &str,
        consumer_group: &str,
        settled: impl IntoIterator<Item = (&'a str, PopReceipt)>,
    ) -> Self {
        // A message too far from its pop's first to be told in bits has an entry of its own.
        let mut acks: BTreeMap<_, BatchAck> = BTreeMap::new();
        for (topic, receipt) in settled {
            let from_start = usize::try_from(receipt.offset - receipt.check_point_offset).ok();
            let bit = from_start.filter(|&bit| bit < AckBits::MAX);
            let PopReceipt { check_point_offset, pop_time, invisible_time, .. } = receipt;
            let start = if bit.is_some() { check_point_offset } else { receipt.offset };
            let PopReceipt { revive_queue_id, retry, queue_id, .. } = receipt;
            let pop = (topic, retry.to_string(), queue_id, start, pop_time, invisible_time, revive_queue_id);
            let ack = acks.entry(pop).or_insert_with_key(|(topic, retry, ..)| BatchAck {
                consumer_group: consumer_group.to_owned(),
                topic: (*topic).to_owned(),
                retry: retry.clone(),
                start_offset: start,
                queue_id,
                revive_queue_id,
                pop_time,
                invisible_time,
                bits: AckBits::default(),
            });
            ack.bits.insert(bit.unwrap_or(0));
        }
        Self { broker_name: broker_name.to_owned(), acks: acks.into_values().collect() }
    }
}

/// Messages of one pop that are settled (RocketMQ: BatchAck).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchAck {
    /// The consumer group.
    #[serde(rename = "c")]
    pub consumer_group: String,
    /// The topic, without the retry prefix.
    #[serde(rename = "t")]
    pub topic: String,
    /// `0` for the topic itself, `1` and `2` for its retry topics.
    #[serde(rename = "r")]
    pub retry: String,
    /// The first offset of the pop.
    #[serde(rename = "so")]
    pub start_offset: i64,
    /// The queue.
    #[serde(rename = "q")]
    pub queue_id: i32,
    /// The queue of the revive log.
    #[serde(rename = "rq")]
    pub revive_queue_id: i32,
    /// When the messages were popped, in milliseconds since the epoch.
    #[serde(rename = "pt")]
    pub pop_time: i64,
    /// How long they stay hidden, in milliseconds.
    #[serde(rename = "it")]
    pub invisible_time: i64,
    /// Which of them are settled: bit `i` is offset `start_offset + i`.
    #[serde(rename = "b")]
    pub bits: AckBits,
}

/// A set of small numbers, as Java's `BitSet.toByteArray` in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckBits(Vec<u8>);

impl AckBits {
    /// Most messages one pop can hold; larger numbers are not kept.
    pub const MAX: usize = 4096;

    /// Adds a number below [`Self::MAX`] and says whether it could.
    pub fn insert(&mut self, bit: usize) -> bool {
        if bit >= Self::MAX {
            return false;
        }
        if self.0.len() <= bit / 8 {
            self.0.resize(bit / 8 + 1, 0);
        }
        if let Some(byte) = self.0.get_mut(bit / 8) {
            *byte |= 1 << (bit % 8);
        }
        true
    }

    /// Whether the number is in the set.
    pub fn contains(&self, bit: usize) -> bool {
        self.0.get(bit / 8).is_some_and(|byte| byte & 1 << (bit % 8) != 0)
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.0.len() * 8).filter(|&bit| self.contains(bit))
    }
}

impl FromIterator<usize> for AckBits {
    fn from_iter<I: IntoIterator<Item = usize>>(bits: I) -> Self {
        let mut set = Self::default();
        for bit in bits {
            set.insert(bit);
        }
        set
    }
}

impl Serialize for AckBits {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for AckBits {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = decode_base64(&text);
        let bytes = bytes.ok_or_else(|| serde::de::Error::custom("the bits of an ack are not base64"))?;
        if bytes.len() * 8 > Self::MAX {
            return Err(serde::de::Error::custom(format_args!("more than {} bits in an ack", Self::MAX)));
        }
        Ok(Self(bytes))
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0u32, |word, (at, &byte)| word | u32::from(byte) << (16 - 8 * at));
        for at in 0..4 {
            let index = (word >> (18 - 6 * at) & 63) as usize;
            let digit = ALPHABET.get(index).filter(|_| at <= chunk.len());
            text.push(digit.map_or('=', |&digit| char::from(digit)));
        }
    }
    text
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut word = 0u32;
        for (at, digit) in chunk.iter().enumerate() {
            let value = ALPHABET.iter().position(|known| known == digit)?;
            word |= (value as u32) << (18 - 6 * at);
        }
        let [_, tail @ ..] = word.to_be_bytes();
        bytes.extend(tail.get(..chunk.len().checked_sub(1)?)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_bits_travel_as_javas_bit_set() {
        let first: AckBits = [0].into_iter().collect();
        assert_eq!(serde_json::to_string(&first).unwrap(), "\"AQ==\"");
        let bits: AckBits = [0, 9, 17, 31].into_iter().collect();
        let text = serde_json::to_string(&bits).unwrap();
        assert_eq!(text, "\"AQICgA==\"");
        let read: AckBits = serde_json::from_str(&text).unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [0, 9, 17, 31]);
    }

    #[test]
    fn settled_messages_are_told_pop_by_pop() {
        let receipt = |check_point_offset, offset, pop_time| PopReceipt {
            check_point_offset,
            pop_time,
            offset,
            ..PopReceipt::default()
        };
        let far = i64::try_from(AckBits::MAX).unwrap();
        let settled = [
            ("t", receipt(4, 4, 1)),
            ("t", receipt(4, 6, 1)),
            ("u", receipt(4, 5, 1)),
            ("t", receipt(4, 5, 2)),
            ("t", receipt(4, 4 + far, 1)),
        ];
        let body = BatchAckMessageRequestBody::new("b", "g", settled);
        let told = body.acks.iter().map(|ack| {
            let offsets = ack.bits.iter().map(|bit| ack.start_offset + i64::try_from(bit).unwrap());
            (ack.topic.as_str(), ack.pop_time, offsets.collect::<Vec<_>>())
        });
        let told: Vec<_> = told.collect();
        assert_eq!(
            told,
            [("t", 1, vec![4, 6]), ("t", 2, vec![5]), ("t", 1, vec![4 + far]), ("u", 1, vec![5])]
        );
        assert!(body.acks.iter().all(|ack| ack.consumer_group == "g" && ack.retry == "0"));
    }

    #[test]
    fn ack_bits_are_bounded() {
        let mut bits = AckBits::default();
        assert!(!bits.insert(AckBits::MAX));
        assert!(bits.insert(AckBits::MAX - 1));
        let long = format!("\"{}\"", "A".repeat(AckBits::MAX));
        assert!(serde_json::from_str::<AckBits>(&long).is_err());
        assert!(serde_json::from_str::<AckBits>("\"A*==\"").is_err());
        assert!(serde_json::from_str::<AckBits>("\"A\"").is_ok_and(|bits| bits.iter().count() == 0));
    }
}
