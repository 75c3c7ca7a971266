//! What a client tells of a message's way, in the form `mqadmin queryMsgTraceById` reads (RocketMQ: TraceDataEncoder).
//!
//! A trace is an ordinary message to [`TRACE_TOPIC`](crate::names::TRACE_TOPIC): its body is a line of fields for each event, its keys are the ids and keys of
//! the messages the events are about, by which it is found.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

/// The region of brokers that say none (RocketMQ: MixAll.DEFAULT_TRACE_REGION_ID).
pub const DEFAULT_REGION: &str = "DefaultRegion";

/// Between the fields of an event, and behind the event.
const FIELD: char = '\u{1}';
const EVENT: char = '\u{2}';

/// A message was sent, or could not be (RocketMQ: TraceType.Pub).
#[derive(Clone, Copy, Debug)]
pub struct Published<'a> {
    /// When the send began, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// MSG_REGION of the broker's answer.
    pub region: &'a str,
    /// The producer group.
    pub group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The UNIQ_KEY.
    pub message_id: &'a str,
    /// The tag.
    pub tags: &'a str,
    /// The keys, separated by spaces.
    pub keys: &'a str,
    /// The broker's address.
    pub store_host: &'a str,
    /// Bytes of the body as it was given.
    pub body_length: usize,
    /// How long the send took, in milliseconds.
    pub cost: u64,
    /// What kind of message it is.
    pub kind: MessageKind,
    /// The broker's id of the stored message.
    pub offset_message_id: &'a str,
    /// Whether the broker has it.
    pub success: bool,
}

/// RocketMQ: MessageType, by ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// An ordinary one.
    Normal = 0,
    /// Half of a transaction.
    Half = 1,
    /// The commit of one.
    Commit = 2,
    /// With a delay.
    Delay = 3,
}

/// What the two events of a consumption have in common: one listener call with one message.
#[derive(Clone, Copy, Debug)]
pub struct Consumption<'a> {
    /// The same in both events, unique to the call.
    pub request_id: &'a str,
    /// The message's UNIQ_KEY, else its offset id.
    pub message_id: &'a str,
    /// Its keys, separated by spaces.
    pub keys: &'a str,
    /// MSG_REGION.
    pub region: &'a str,
    /// The consumer group.
    pub group: &'a str,
    /// How often it had come before.
    pub retry_times: i32,
    /// When the call began, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// How long it took, in milliseconds.
    pub cost: u64,
    /// How it ended.
    pub code: ConsumeReturnType,
}

/// How a listener's call ended (RocketMQ: ConsumeReturnType, by ordinal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeReturnType {
    /// With success.
    Success = 0,
    /// Not in its time.
    TimeOut = 1,
    /// By an exception: a trap, or the listener's own error.
    Exception = 2,
    /// Without an answer.
    ReturnNull = 3,
    /// With RECONSUME_LATER or a dead letter.
    Failed = 4,
}

/// The events of one trace message, as they gather.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceBody {
    text: String,
    keys: BTreeSet<String>,
    events: usize,
}

impl TraceBody {
    /// Adds a send.
    pub fn published(&mut self, sent: &Published<'_>) {
        let Published { timestamp, region, group, topic, message_id, tags, keys, store_host, .. } = *sent;
        let fields: [&dyn fmt::Display; 13] = [
            &timestamp,
            &region,
            &group,
            &topic,
            &message_id,
            &tags,
            &keys,
            &store_host,
            &sent.body_length,
            &sent.cost,
            &(sent.kind as u8),
            &sent.offset_message_id,
            &sent.success,
        ];
        self.event("Pub", &fields, message_id, keys);
    }

    /// Adds a consumption, its beginning and its end.
    pub fn consumed(&mut self, call: &Consumption<'_>) {
        let Consumption { request_id, message_id, keys, region, group, retry_times, timestamp, .. } = *call;
        let before: [&dyn fmt::Display; 7] =
            [&timestamp, &region, &group, &request_id, &message_id, &retry_times, &keys];
        self.event("SubBefore", &before, message_id, keys);
        let success = call.code == ConsumeReturnType::Success;
        let ended = timestamp.saturating_add(call.cost);
        let code = call.code as u8;
        let after: [&dyn fmt::Display; 8] =
            [&request_id, &message_id, &call.cost, &success, &keys, &code, &ended, &group];
        self.event("SubAfter", &after, message_id, keys);
    }

    fn event(&mut self, kind: &str, fields: &[&dyn fmt::Display], message_id: &str, keys: &str) {
        self.text.push_str(kind);
        for field in fields {
            self.text.push(FIELD);
            let before = self.text.len();
            // Writing to a String cannot fail.
            let _ = write!(Plain(&mut self.text), "{field}");
            if self.text.len() == before {
                // As Java writes what is not there; its reader has no place for empty fields at the end.
                self.text.push_str("null");
            }
        }
        self.text.push(EVENT);
        self.events += 1;
        let words = std::iter::once(message_id).chain(keys.split_ascii_whitespace());
        self.keys.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
    }

    /// Takes over the events of another.
    pub fn append(&mut self, other: Self) {
        self.text.push_str(&other.text);
        self.keys.extend(other.keys);
        self.events += other.events;
    }

    /// Events so far.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Bytes of body and keys so far.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.keys.iter().map(|key| key.len() + 1).sum::<usize>()
    }

    /// The message's body and its keys.
    pub fn into_parts(self) -> (String, Vec<String>) {
        (self.text, self.keys.into_iter().collect())
    }
}

/// Text without the separators, which a user's key or tag may hold.
struct Plain<'a>(&'a mut String);

impl fmt::Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.chars().map(|c| if c == FIELD || c == EVENT { ' ' } else { c }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Published<'static> {
        Published {
            timestamp: 1_700_000_000_000,
            region: "DefaultRegion",
            group: "producers",
            topic: "orders",
            message_id: "7F01",
            tags: "created",
            keys: "A-1 B-2",
            store_host: "127.0.0.1:10911",
            body_length: 12,
            cost: 3,
            kind: MessageKind::Delay,
            offset_message_id: "7F00",
            success: true,
        }
    }

    fn call() -> Consumption<'static> {
        Consumption {
            request_id: "R",
            message_id: "7F01",
            keys: "A-1",
            region: "DefaultRegion",
            group: "consumers",
            retry_times: 2,
            timestamp: 1_000,
            cost: 5,
            code: ConsumeReturnType::Failed,
        }
    }

    /// With the separators as people can see them.
    fn shown(body: &TraceBody) -> String {
        body.text.replace(FIELD, "|").replace(EVENT, "\n")
    }

    #[test]
    fn events_have_the_fields_of_javas_encoder_in_their_order() {
        let mut body = TraceBody::default();
        body.published(&sent());
        body.consumed(&call());
        assert_eq!(
            shown(&body),
            "Pub|1700000000000|DefaultRegion|producers|orders|7F01|created|A-1 B-2|127.0.0.1:10911|12|3|3|7F00|true\n\
             SubBefore|1000|DefaultRegion|consumers|R|7F01|2|A-1\n\
             SubAfter|R|7F01|5|false|A-1|4|1005|consumers\n"
        );
        assert_eq!(body.events(), 3);
        assert_eq!(body.into_parts().1, ["7F01", "A-1", "B-2"]);
    }

    #[test]
    fn what_is_not_there_is_null_as_in_java() {
        let mut body = TraceBody::default();
        body.consumed(&Consumption { keys: "", ..call() });
        assert!(shown(&body).contains("|7F01|2|null\n"), "{}", shown(&body));
        assert_eq!(body.into_parts().1, ["7F01"]);
    }

    #[test]
    fn bodies_add_up() {
        let (mut whole, mut one, mut other) =
            (TraceBody::default(), TraceBody::default(), TraceBody::default());
        whole.published(&sent());
        whole.consumed(&call());
        one.published(&sent());
        other.consumed(&call());
        one.append(other);
        assert_eq!(one, whole);
        assert_eq!(one.bytes(), whole.bytes());
    }

    #[test]
    fn a_separator_in_a_users_text_does_not_separate() {
        let mut body = TraceBody::default();
        body.published(&Published { tags: "a\u{1}b\u{2}c", ..sent() });
        assert!(shown(&body).contains("|a b c|"), "{}", shown(&body));
        assert_eq!(shown(&body).matches('\n').count(), 1);
    }
}
