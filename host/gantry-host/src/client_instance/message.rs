//! A message on its way out.

use std::sync::Arc;

use bytes::Bytes;
use gantry_protocol::compression::{self, CompressionType};
use gantry_protocol::names::check_topic;
use gantry_protocol::properties::{self, keys};

use super::error::SendError;

/// The level RocketMQ's producers compress at.
const COMPRESSION_LEVEL: i32 = 5;

/// When a message is to be delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delay {
    /// At once.
    #[default]
    None,
    /// After the time of a delay level, 1 to 18 (RocketMQ: `setDelayTimeLevel`).
    Level(i32),
    /// After so many milliseconds (RocketMQ: `setDelayTimeMs`), where the broker has timers.
    Millis(u64),
    /// At a time in milliseconds since the Unix epoch (RocketMQ: `setDeliverTimeMs`), where the broker has timers.
    At(u64),
}

/// A message to send (RocketMQ: Message).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The topic.
    pub topic: String,
    /// The tag (`TAGS`), at most one.
    pub tag: Option<String>,
    /// Keys to find the message by (`KEYS`).
    pub keys: Vec<String>,
    /// Properties of the sender's own.
    pub properties: Vec<(String, String)>,
    /// A number of the sender's own.
    pub flag: i32,
    /// When to deliver it.
    pub delay: Delay,
    /// The body. Brokers refuse empty ones.
    pub body: Bytes,
}

impl OutgoingMessage {
    /// A message with nothing but a topic and a body.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), body: body.into(), ..Self::default() }
    }

    /// The same message with a tag.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// The same message with one key more.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// The same message with one property more.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Checks what a broker would refuse, or what would be lost on the way.
    pub(super) fn check(&self, max_size: usize) -> Result<(), SendError> {
        check_topic(&self.topic).map_err(|error| self.invalid(error.to_string()))?;
        if self.body.is_empty() {
            return Err(self.invalid("its body is empty, which brokers refuse".to_owned()));
        }
        if self.body.len() > max_size {
            let length = self.body.len();
            return Err(self
                .invalid(format!("its body of {length} bytes is longer than max_message_size {max_size}")));
        }
        if let Some((name, _)) = self.properties.iter().find(|(name, _)| is_reserved(name)) {
            return Err(self.invalid(format!(
                "property {name} is RocketMQ's own; use the field for it, or another name"
            )));
        }
        Ok(())
    }

    /// The properties' text, with the unique key.
    pub(super) fn property_text(&self, unique_key: &str) -> Result<String, SendError> {
        let delay = match self.delay {
            Delay::None => None,
            Delay::Level(level) => Some((keys::DELAY, level.to_string())),
            Delay::Millis(ms) => Some((keys::TIMER_DELAY_MS, ms.to_string())),
            Delay::At(ms) => Some((keys::TIMER_DELIVER_MS, ms.to_string())),
        };
        let joined = (!self.keys.is_empty()).then(|| self.keys.join(" "));
        let own = [(keys::TAGS, self.tag.clone()), (keys::KEYS, joined)];
        let own = own.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(delay);
        let fixed = [(keys::UNIQUE_KEY, unique_key.to_owned()), (keys::WAIT, "true".to_owned())];
        let mut text = String::new();
        let mut push = |name: &str, value: &str| -> Result<(), SendError> {
            properties::check(name, value).map_err(|error| self.invalid(error.to_string()))?;
            properties::push(&mut text, name, value);
            Ok(())
        };
        own.chain(fixed).try_for_each(|(name, value)| push(name, &value))?;
        self.properties.iter().try_for_each(|(name, value)| push(name, value))?;
        if text.len() > properties::MAX_PROPERTIES {
            let (length, most) = (text.len(), properties::MAX_PROPERTIES);
            return Err(self.invalid(format!("its properties take {length} bytes; a record holds {most}")));
        }
        Ok(text)
    }

    /// The body as it is to be stored, and the bits of the sysFlag that say so.
    pub(super) fn stored_body(&self, threshold: usize) -> (Bytes, i32) {
        if self.body.len() < threshold {
            return (self.body.clone(), 0);
        }
        match compression::compress(CompressionType::Zlib, COMPRESSION_LEVEL, &self.body) {
            // What does not get shorter may get too long for the broker.
            Ok(compressed) if compressed.len() >= self.body.len() => (self.body.clone(), 0),
            Ok(compressed) => (compressed, CompressionType::Zlib.sys_flag_bits()),
            Err(error) => {
                tracing::warn!(topic = self.topic, %error, "the body is sent uncompressed");
                (self.body.clone(), 0)
            }
        }
    }

    pub(super) fn invalid(&self, rule: String) -> SendError {
        SendError::Invalid { topic: Arc::from(self.topic.as_str()), rule }
    }
}

/// Names whose value another field of the message decides.
fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        keys::TAGS
            | keys::KEYS
            | keys::UNIQUE_KEY
            | keys::WAIT
            | keys::DELAY
            | keys::TIMER_DELAY_MS
            | keys::TIMER_DELIVER_MS
            | keys::REAL_TOPIC
            | keys::REAL_QUEUE_ID
            | keys::RETRY_TOPIC
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(message: &OutgoingMessage) -> String {
        let error = message.check(100).and_then(|()| message.property_text("K").map(drop)).unwrap_err();
        error.to_string()
    }

    #[test]
    fn properties_carry_tag_keys_delay_and_unique_key() {
        let mut message = OutgoingMessage::new("t", "x").with_tag("TagA").with_key("a").with_key("b");
        message = message.with_property("color", "blau");
        message.delay = Delay::Level(3);
        message.check(100).unwrap();
        let at = OutgoingMessage { delay: Delay::At(1_795_689_000_000), ..message.clone() };
        assert_eq!(
            properties::get(&at.property_text("UNIQUE").unwrap(), "TIMER_DELIVER_MS"),
            Some("1795689000000")
        );
        let text = message.property_text("UNIQUE").unwrap();
        let found: Vec<_> = properties::parse(&text).collect();
        let expected = [
            ("TAGS", "TagA"),
            ("KEYS", "a b"),
            ("DELAY", "3"),
            ("UNIQ_KEY", "UNIQUE"),
            ("WAIT", "true"),
            ("color", "blau"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_broker_would_refuse_or_lose_is_refused_here_with_the_rule() {
        assert!(invalid(&OutgoingMessage::new("t", "")).contains("empty"));
        assert!(invalid(&OutgoingMessage::new("t", vec![0; 101])).contains("max_message_size"));
        assert!(invalid(&OutgoingMessage::new("a b", "x")).contains("topic"));
        assert!(invalid(&OutgoingMessage::new("t", "x").with_property("DELAY", "3")).contains("DELAY"));
        assert!(invalid(&OutgoingMessage::new("t", "x").with_property("a", "b\u{1}")).contains("0x01"));
        assert!(invalid(&OutgoingMessage::new("t", "x").with_tag("")).contains("TAGS"));
        assert!(
            invalid(&OutgoingMessage::new("t", "x").with_property("a", "y".repeat(40_000))).contains("32767")
        );
    }

    #[test]
    fn bodies_from_the_threshold_on_are_compressed() {
        let message = OutgoingMessage::new("t", vec![b'x'; 5_000]);
        let (stored, bits) = message.stored_body(4_096);
        assert_eq!(bits, 0x301);
        assert!(stored.len() < 100);
        assert_eq!(compression::decompress(CompressionType::Zlib, &stored, 10_000).unwrap(), message.body);
        assert_eq!(message.stored_body(5_001), (message.body.clone(), 0));
    }

    #[test]
    fn a_body_that_compression_makes_longer_stays_as_it_is() {
        let mut random = fastrand::Rng::with_seed(7);
        let message = OutgoingMessage::new(
            "t",
            std::iter::repeat_with(|| random.u8(..)).take(5_000).collect::<Vec<_>>(),
        );
        let compressed =
            compression::compress(CompressionType::Zlib, COMPRESSION_LEVEL, &message.body).unwrap();
        assert!(compressed.len() > message.body.len());
        assert_eq!(message.stored_body(4_096), (message.body.clone(), 0));
    }
}
