//! The small texts POP carries in headers and properties (RocketMQ: ExtraInfoUtil).

use std::fmt;

use crate::header::PopMessageResponseHeader;
use crate::properties::keys;
use crate::{MessageExt, names};

/// Which topic a popped message is stored under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PopRetry {
    /// The topic itself.
    #[default]
    Normal,
    /// The first form of its retry topic: the default of 5.x brokers.
    RetryV1,
    /// The second form.
    RetryV2,
}

impl PopRetry {
    /// The topic to settle the message under.
    pub fn topic(self, group: &str, topic: &str) -> String {
        match self {
            Self::Normal => topic.to_owned(),
            Self::RetryV1 => names::pop_retry_topic_v1(group, topic),
            Self::RetryV2 => names::pop_retry_topic_v2(group, topic),
        }
    }

    fn from_wire(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self::Normal),
            "1" => Some(Self::RetryV1),
            "2" => Some(Self::RetryV2),
            _ => None,
        }
    }
}

impl fmt::Display for PopRetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "0",
            Self::RetryV1 => "1",
            Self::RetryV2 => "2",
        })
    }
}

/// Revive queue id of messages that were popped in order.
pub const ORDERLY_REVIVE_QUEUE: i32 = 999;

/// Text that is not what POP carries there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct PopTextError {
    text: String,
    expected: &'static str,
}

impl PopTextError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(120).collect(), expected }
    }
}

/// The handle that settles one popped message: property POP_CK, header field extraInfo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PopHandle {
    /// First offset of the pop.
    pub check_point_offset: i64,
    /// When the message was popped, in milliseconds since the epoch.
    pub pop_time: i64,
    /// How long it stays hidden, in milliseconds.
    pub invisible_time: i64,
    /// The queue of the broker's revive log; [`ORDERLY_REVIVE_QUEUE`] for ordered pops.
    pub revive_queue_id: i32,
    /// Which topic the message is stored under.
    pub retry: PopRetry,
    /// The broker's name.
    pub broker_name: String,
    /// The queue.
    pub queue_id: i32,
    /// The message's offset in the queue; absent in handles of the first 5.0 brokers.
    pub offset: Option<i64>,
}

impl PopHandle {
    /// Reads a handle: seven or eight parts, separated by single spaces.
    ///
    /// # Errors
    /// The text has another form.
    pub fn parse(text: &str) -> Result<Self, PopTextError> {
        Self::parts(text).ok_or_else(|| PopTextError::new(text, "a POP handle of 7 or 8 parts"))
    }

    fn parts(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let handle = Self {
            check_point_offset: parts.next()?.parse().ok()?,
            pop_time: parts.next()?.parse().ok()?,
            invisible_time: parts.next()?.parse().ok()?,
            revive_queue_id: parts.next()?.parse().ok()?,
            retry: PopRetry::from_wire(parts.next()?)?,
            broker_name: parts.next()?.to_owned(),
            queue_id: parts.next()?.parse().ok()?,
            offset: parts.next().map(str::parse).transpose().ok()?,
        };
        parts.next().is_none().then_some(handle)
    }

    /// Whether the message was popped in order.
    pub fn is_orderly(&self) -> bool {
        self.revive_queue_id == ORDERLY_REVIVE_QUEUE
    }
}

impl fmt::Display for PopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check_point_offset, pop_time, invisible_time, revive_queue_id, retry, .. } = self;
        let Self { broker_name, queue_id, .. } = self;
        write!(
            f,
            "{check_point_offset} {pop_time} {invisible_time} {revive_queue_id} {retry} {broker_name} {queue_id}"
        )?;
        self.offset.map_or(Ok(()), |offset| write!(f, " {offset}"))
    }
}

/// What settles one popped message at the broker it was popped from: a [`PopHandle`] less the broker's name (RocketMQ 5:
/// ReceiptHandle). Small, and the same for no two pops of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PopReceipt {
    /// First offset of the pop.
    pub check_point_offset: i64,
    /// When the message was popped, in milliseconds since the epoch, by the broker's clock.
    pub pop_time: i64,
    /// How long it stays hidden, in milliseconds.
    pub invisible_time: i64,
    /// The queue of the broker's revive log.
    pub revive_queue_id: i32,
    /// Which topic the message is stored under.
    pub retry: PopRetry,
    /// The queue.
    pub queue_id: i32,
    /// The message's offset in the queue.
    pub offset: i64,
}

impl PopReceipt {
    /// The receipts of a pop's messages, in their order. A message that comes again brings its own (POP_CK); those of the
    /// others follow from the answer's header.
    ///
    /// # Errors
    /// A text of the header or of a message has not POP's form.
    pub fn of_answer(
        header: &PopMessageResponseHeader,
        messages: &[MessageExt],
    ) -> Result<Vec<Self>, PopTextError> {
        let starts = parse_offset_info(header.start_offset_info.as_deref().unwrap_or_default())?;
        messages.iter().map(|message| Self::of_message(header, &starts, message)).collect()
    }

    fn of_message(
        header: &PopMessageResponseHeader,
        starts: &[QueueOffsets],
        message: &MessageExt,
    ) -> Result<Self, PopTextError> {
        let (queue_id, offset) = (message.queue_id(), message.queue_offset());
        if let Some(text) = message.property(keys::POP_CK) {
            let handle = PopHandle::parse(text)?;
            return Ok(Self {
                check_point_offset: handle.check_point_offset,
                pop_time: handle.pop_time,
                invisible_time: handle.invisible_time,
                revive_queue_id: handle.revive_queue_id,
                retry: handle.retry,
                queue_id: handle.queue_id,
                offset: handle.offset.unwrap_or(offset),
            });
        }
        let of_queue = |start: &&QueueOffsets| start.retry == PopRetry::Normal && start.queue_id == queue_id;
        let start = starts.iter().find(of_queue).and_then(|start| start.offsets.first());
        Ok(Self {
            check_point_offset: start.copied().unwrap_or(offset),
            pop_time: header.pop_time,
            invisible_time: header.invisible_time,
            revive_queue_id: header.revive_queue_id,
            retry: PopRetry::Normal,
            queue_id,
            offset,
        })
    }

    /// The receipt after the message's invisible time was changed: a pop of its own, of this one message, with what
    /// CHANGE_MESSAGE_INVISIBLETIME answered.
    #[must_use]
    pub fn changed(self, pop_time: i64, invisible_time: i64, revive_queue_id: i32) -> Self {
        Self { check_point_offset: self.offset, pop_time, invisible_time, revive_queue_id, ..self }
    }

    /// As it goes to the broker.
    pub fn handle(&self, broker_name: &str) -> PopHandle {
        PopHandle {
            check_point_offset: self.check_point_offset,
            pop_time: self.pop_time,
            invisible_time: self.invisible_time,
            revive_queue_id: self.revive_queue_id,
            retry: self.retry,
            broker_name: broker_name.to_owned(),
            queue_id: self.queue_id,
            offset: Some(self.offset),
        }
    }
}

/// Offsets of one queue in a pop's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOffsets {
    /// Which topic the queue is of.
    pub retry: PopRetry,
    /// The queue.
    pub queue_id: i32,
    /// One offset in startOffsetInfo, that of each message in msgOffsetInfo.
    pub offsets: Vec<i64>,
}

/// Reads startOffsetInfo or msgOffsetInfo: `retry queue offset,offset` joined by `;`. Empty text is no entry.
///
/// # Errors
/// The text has another form.
pub fn parse_offset_info(text: &str) -> Result<Vec<QueueOffsets>, PopTextError> {
    let error = || PopTextError::new(text, "offset info such as \"0 1 0,1;0 0 5\"");
    text.split(';')
        .filter(|entry| !entry.is_empty())
        .map(|entry| queue_offsets(entry).ok_or_else(error))
        .collect()
}

fn queue_offsets(entry: &str) -> Option<QueueOffsets> {
    let mut parts = entry.split(' ');
    let retry = PopRetry::from_wire(parts.next()?)?;
    let queue_id = parts.next()?.parse().ok()?;
    let offsets = parts.next()?.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    parts.next().is_none().then_some(QueueOffsets { retry, queue_id, offsets })
}

/// Writes startOffsetInfo or msgOffsetInfo; the opposite of [`parse_offset_info`].
pub fn format_offset_info(entries: &[QueueOffsets]) -> String {
    let entry = |entry: &QueueOffsets| {
        let offsets: Vec<_> = entry.offsets.iter().map(i64::to_string).collect();
        format!("{} {} {}", entry.retry, entry.queue_id, offsets.join(","))
    };
    entries.iter().map(entry).collect::<Vec<_>>().join(";")
}

/// How often an ordered pop was consumed already: one entry of orderCountInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderCount {
    /// Which topic the queue is of.
    pub retry: PopRetry,
    /// The queue.
    pub queue_id: i32,
    /// The message the count is of; `None` for the queue as a whole.
    pub offset: Option<i64>,
    /// The count.
    pub count: i32,
}

/// Reads orderCountInfo: `retry queue count` and `retry qo<queue>%<offset> count`, joined by `;`.
///
/// # Errors
/// The text has another form.
pub fn parse_order_count_info(text: &str) -> Result<Vec<OrderCount>, PopTextError> {
    let error = || PopTextError::new(text, "order counts such as \"0 qo0%5 1;0 0 1\"");
    text.split(';')
        .filter(|entry| !entry.is_empty())
        .map(|entry| order_count(entry).ok_or_else(error))
        .collect()
}

fn order_count(entry: &str) -> Option<OrderCount> {
    let mut parts = entry.split(' ');
    let retry = PopRetry::from_wire(parts.next()?)?;
    let place = parts.next()?;
    let (queue_id, offset) = match place.strip_prefix("qo") {
        Some(place) => {
            let (queue, offset) = place.split_once('%')?;
            (queue.parse().ok()?, Some(offset.parse().ok()?))
        }
        None => (place.parse().ok()?, None),
    };
    let count = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(OrderCount { retry, queue_id, offset, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageRecord;

    #[test]
    fn a_captured_handle_comes_back_as_it_was() {
        let text = "0 1795471496799 20000 0 1 broker-a 1 7";
        let handle = PopHandle::parse(text).unwrap();
        assert_eq!((handle.retry, handle.queue_id, handle.offset), (PopRetry::RetryV1, 1, Some(7)));
        assert_eq!(handle.to_string(), text);
        let short = PopHandle::parse("0 1 2 999 0 b 1").unwrap();
        assert_eq!(short.offset, None);
        assert!(short.is_orderly());
        assert_eq!(short.to_string(), "0 1 2 999 0 b 1");
    }

    #[test]
    fn other_text_is_no_handle() {
        for text in
            ["", "0 1 2 3 0 b", "0 1 2 3 9 b 1 2", "0 1 2 3 0 b 1 2 3", "0  1 2 3 0 b 1", "x 1 2 3 0 b 1"]
        {
            assert!(PopHandle::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn captured_offset_info_comes_back_as_it_was() {
        for text in ["", "0 0 0,1", "0 1 0,1;0 0 0,1", "1 0 0"] {
            assert_eq!(format_offset_info(&parse_offset_info(text).unwrap()), text);
        }
        assert!(parse_offset_info("0 1").is_err());
        assert!(parse_offset_info("0 1 2,").is_err());
    }

    #[test]
    fn a_popped_messages_receipt_is_the_answers_or_its_own() {
        let record = |queue_id, queue_offset, properties: &[(&str, &str)]| {
            let mut bytes = bytes::BytesMut::new();
            let properties = crate::properties::encode(properties.iter().copied()).into();
            let topic = "t".to_owned();
            let record =
                MessageRecord { queue_id, queue_offset, topic, properties, ..MessageRecord::default() };
            record.encode(&mut bytes).unwrap();
            MessageExt::decode(bytes.freeze()).unwrap()
        };
        let own = "7 1000 60000 3 1 broker-a 0 9";
        let messages = [record(1, 5, &[]), record(1, 6, &[]), record(0, 9, &[(keys::POP_CK, own)])];
        let header = PopMessageResponseHeader {
            pop_time: 2_000,
            invisible_time: 30_000,
            revive_queue_id: 2,
            start_offset_info: Some("1 0 7;0 1 4".to_owned()),
            ..PopMessageResponseHeader::default()
        };
        let receipts = PopReceipt::of_answer(&header, &messages).unwrap();
        let texts: Vec<_> = receipts.iter().map(|receipt| receipt.handle("broker-a").to_string()).collect();
        assert_eq!(texts, ["4 2000 30000 2 0 broker-a 1 5", "4 2000 30000 2 0 broker-a 1 6", own]);
        let longer = receipts[1].changed(2_500, 10_000, 5);
        assert_eq!(longer.handle("broker-a").to_string(), "6 2500 10000 5 0 broker-a 1 6");
        let torn = [record(0, 0, &[(keys::POP_CK, "torn")])];
        assert!(PopReceipt::of_answer(&header, &torn).is_err());
    }

    #[test]
    fn order_counts_are_per_message_and_per_queue() {
        let counts = parse_order_count_info("0 qo0%0 1;0 qo0%1 1;0 0 2").unwrap();
        let places: Vec<_> = counts.iter().map(|count| (count.queue_id, count.offset, count.count)).collect();
        assert_eq!(places, [(0, Some(0), 1), (0, Some(1), 1), (0, None, 2)]);
        assert!(parse_order_count_info("0 qo0 1").is_err());
    }
}
