//! A message on its way out.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use gantry_protocol::compression;
use gantry_protocol::names::{check_topic, is_not_allowed_send_topic, reply_topic};
use gantry_protocol::properties::{self, keys};
use gantry_protocol::{MessageExt, Namespace};

use super::{ProducerConfig, SendError};

/// The type of messages that answer others (RocketMQ: REPLY_MESSAGE_FLAG).
const REPLY: &str = "reply";

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

    /// The same message, delivered then.
    #[must_use]
    pub fn with_delay(mut self, delay: Delay) -> Self {
        self.delay = delay;
        self
    }

    /// The answer to a request message that was consumed (RocketMQ: MessageUtil.createReplyMessage): a message to the reply
    /// topic of the request's cluster, with the properties that say whose it is.
    ///
    /// # Errors
    /// The message is no request: it lacks `CLUSTER`, which brokers add, or `CORRELATION_ID` or `REPLY_TO_CLIENT`, which
    /// requesters do.
    pub fn reply_to(request: &MessageExt, body: impl Into<Bytes>) -> Result<Self, SendError> {
        let property = |name: &str| {
            request.property(name).ok_or_else(|| SendError::Invalid {
                topic: request.topic().into(),
                rule: format!("its reply needs property {name} of a request message, which it does not have"),
            })
        };
        let mut reply =
            Self::new(reply_topic(property(keys::CLUSTER)?), body).with_property(keys::MSG_TYPE, REPLY);
        for name in [keys::CORRELATION_ID, keys::REPLY_TO_CLIENT] {
            reply = reply.with_property(name, property(name)?);
        }
        Ok(match request.property(keys::TTL) {
            Some(ttl) => reply.with_property(keys::TTL, ttl),
            None => reply,
        })
    }

    /// Whether it answers a request message.
    pub(super) fn is_reply(&self) -> bool {
        self.properties.iter().any(|(name, value)| name == keys::MSG_TYPE && value == REPLY)
    }

    /// Its topic's name on the wire: that of replies is the brokers' own, in every namespace.
    pub(super) fn wire_topic(&self, namespace: &Namespace) -> Cow<'_, str> {
        if self.is_reply() { self.topic.as_str().into() } else { namespace.wrap(&self.topic) }
    }

    /// Checks what a broker would refuse of a message in `namespace`, or what would be lost on the way.
    pub(super) fn check(&self, namespace: &Namespace, max_size: usize) -> Result<(), SendError> {
        check_topic(&self.wire_topic(namespace)).map_err(|error| self.invalid(error.to_string()))?;
        if is_not_allowed_send_topic(&self.topic) {
            return Err(
                self.invalid("brokers keep the topic for themselves; send to one of your own".to_owned())
            );
        }
        if let Delay::Level(level) = self.delay
            && level < 1
        {
            return Err(self.invalid(format!("delay levels begin at 1, and it has {level}")));
        }
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
    pub(super) fn stored_body(&self, config: &ProducerConfig) -> (Bytes, i32) {
        if self.body.len() < config.compress_msg_body_over_howmuch {
            return (self.body.clone(), 0);
        }
        match compression::compress(config.compress_type, config.compress_level, &self.body) {
            // What does not get shorter may get too long for the broker.
            Ok(compressed) if compressed.len() >= self.body.len() => (self.body.clone(), 0),
            Ok(compressed) => (compressed, config.compress_type.sys_flag_bits()),
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
    use bytes::BytesMut;
    use gantry_protocol::MessageRecord;
    use gantry_protocol::compression::CompressionType;

    use super::*;

    fn invalid(message: &OutgoingMessage) -> String {
        let error = message
            .check(&Namespace::default(), 100)
            .and_then(|()| message.property_text("K").map(drop))
            .unwrap_err();
        error.to_string()
    }

    #[test]
    fn properties_carry_tag_keys_delay_and_unique_key() {
        let mut message = OutgoingMessage::new("t", "x").with_tag("TagA").with_key("a").with_key("b");
        message = message.with_property("color", "blau");
        message.delay = Delay::Level(3);
        message.check(&Namespace::default(), 100).unwrap();
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
        assert!(invalid(&OutgoingMessage::new("t".repeat(128), "x")).contains("127"));
        assert!(invalid(&OutgoingMessage::new("SCHEDULE_TOPIC_XXXX", "x")).contains("for themselves"));
        assert!(invalid(&OutgoingMessage::new("t", "x").with_delay(Delay::Level(0))).contains("begin at 1"));
        assert!(invalid(&OutgoingMessage::new("t", "x").with_property("DELAY", "3")).contains("DELAY"));
        assert!(invalid(&OutgoingMessage::new("t", "x").with_property("a", "b\u{1}")).contains("0x01"));
        assert!(invalid(&OutgoingMessage::new("t", "x").with_tag("")).contains("TAGS"));
        assert!(
            invalid(&OutgoingMessage::new("t", "x").with_property("a", "y".repeat(40_000))).contains("32767")
        );
    }

    #[test]
    fn bodies_from_the_threshold_on_are_compressed_as_configured() {
        let message = OutgoingMessage::new("t", vec![b'x'; 5_000]);
        for (compress_type, expected) in
            [(CompressionType::Zlib, 0x301), (CompressionType::Lz4, 0x101), (CompressionType::Zstd, 0x201)]
        {
            let config = ProducerConfig { compress_type, ..ProducerConfig::default() };
            let (stored, bits) = message.stored_body(&config);
            assert_eq!(bits, expected);
            assert!(stored.len() < 100);
            assert_eq!(compression::decompress(compress_type, &stored, 10_000).unwrap(), message.body);
        }
        let config = ProducerConfig { compress_msg_body_over_howmuch: 5_001, ..ProducerConfig::default() };
        assert_eq!(message.stored_body(&config), (message.body.clone(), 0));
    }

    fn consumed(properties: &[(&str, &str)]) -> MessageExt {
        let properties = properties::encode(properties.iter().copied()).into();
        let record = MessageRecord { topic: "asked".to_owned(), properties, ..MessageRecord::default() };
        let mut bytes = BytesMut::new();
        record.encode(&mut bytes).unwrap();
        MessageExt::decode(bytes.freeze()).unwrap()
    }

    #[test]
    fn a_reply_goes_to_the_reply_topic_of_the_requests_cluster() {
        let asked = [("CLUSTER", "c"), ("CORRELATION_ID", "7"), ("REPLY_TO_CLIENT", "me"), ("TTL", "3000")];
        let reply = OutgoingMessage::reply_to(&consumed(&asked), "yes").unwrap();
        let expected = OutgoingMessage::new("c_REPLY_TOPIC", "yes")
            .with_property("MSG_TYPE", "reply")
            .with_property("CORRELATION_ID", "7")
            .with_property("REPLY_TO_CLIENT", "me")
            .with_property("TTL", "3000");
        assert_eq!(reply, expected);
        assert!(reply.is_reply() && !OutgoingMessage::new("t", "x").is_reply());
        reply.check(&Namespace::default(), 100).unwrap();
        for lacks in 0..3 {
            let mut some = asked.to_vec();
            let (name, _) = some.remove(lacks);
            let error = OutgoingMessage::reply_to(&consumed(&some), "yes").unwrap_err().to_string();
            assert!(error.contains("asked") && error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_body_that_compression_makes_longer_stays_as_it_is() {
        let mut random = fastrand::Rng::with_seed(7);
        let message = OutgoingMessage::new(
            "t",
            std::iter::repeat_with(|| random.u8(..)).take(5_000).collect::<Vec<_>>(),
        );
        let config = ProducerConfig::default();
        let compressed =
            compression::compress(config.compress_type, config.compress_level, &message.body).unwrap();
        assert!(compressed.len() > message.body.len());
        assert_eq!(message.stored_body(&config), (message.body.clone(), 0));
    }
}
