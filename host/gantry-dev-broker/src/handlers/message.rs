use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use gantry_protocol::names::{SCHEDULE_TOPIC, TRANS_HALF_TOPIC};
use gantry_protocol::properties::keys;
use gantry_protocol::{MessageExt, MessageRecord, RecallHandle, ResponseCode, sys_flag, tag};

use crate::clock::millis;
use crate::core::{Core, Refusal};
use crate::filter::SEVERAL_TAGS;
use crate::props::Properties;
use crate::state::topics::TIMER_TOPIC;
use crate::store::{NewRecords, Redeliver};

/// RocketMQ's timer ticks in seconds; only what clients are told is rounded to that here.
const TIMER_PRECISION_MS: i64 = 1000;
/// Furthest point in time a timer message may ask for (RocketMQ: timerMaxDelaySec), 3 days.
const TIMER_MAX_MS: i64 = 3 * 24 * 3600 * 1000;
/// For how many seconds a prepared message is not asked about (RocketMQ: CHECK_IMMUNITY_TIME_IN_SECONDS).
const CHECK_IMMUNITY: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
pub(super) const TIMERS: [&str; 3] = [keys::TIMER_DELAY_SEC, keys::TIMER_DELAY_MS, keys::TIMER_DELIVER_MS];

/// A message about to be stored, wherever it came from.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) topic: String,
    pub(super) queue_id: i32,
    pub(super) flag: i32,
    pub(super) sys_flag: i32,
    pub(super) born_timestamp: i64,
    pub(super) born_host: SocketAddr,
    pub(super) reconsume_times: i32,
    /// Physical offset of the prepared record of a transaction, else 0.
    pub(super) prepared_offset: i64,
    pub(super) body: Bytes,
    pub(super) properties: Properties<'a>,
}

impl Draft<'_> {
    /// Makes the record, in the schedule when the properties ask for a delay.
    pub(super) fn into_record(mut self, core: &Core) -> Result<NewRecords, Refusal> {
        let due_ms = self.schedule(core)?;
        let mut record = self.encode(core, due_ms.is_none())?;
        record.due_ms = due_ms;
        Ok(record)
    }

    /// Makes the record of a transaction that is not decided: out of every consumer's sight (RocketMQ:
    /// TransactionalMessageBridge.parseHalfMessageInner).
    pub(super) fn into_prepared(mut self, core: &Core) -> Result<NewRecords, Refusal> {
        let immune_seconds = self.properties.number(CHECK_IMMUNITY).filter(|seconds| *seconds > 0);
        let timeout_ms = millis(core.config.timing.transaction_timeout.as_millis());
        let immune_ms = immune_seconds.map_or(timeout_ms, |seconds| seconds.saturating_mul(1000));
        self.move_to(TRANS_HALF_TOPIC, 0);
        self.sys_flag &= !sys_flag::TRANSACTION_MASK;
        let check_ms = Some(core.clock.wall_ms().saturating_add(immune_ms));
        let mut record = self.encode(core, false)?;
        record.check_ms = check_ms;
        Ok(record)
    }

    /// Makes the record of a message that cancels a timer: it is kept with the timers and never delivered.
    pub(super) fn into_timer_mark(mut self, core: &Core) -> Result<NewRecords, Refusal> {
        self.move_to(TIMER_TOPIC, 0);
        self.encode(core, false)
    }

    /// Makes one record of a batch of `messages`, which clients take apart (RocketMQ: MessageExtBatch.isInnerBatch).
    pub(super) fn into_inner_batch(mut self, core: &Core, messages: usize) -> Result<NewRecords, Refusal> {
        self.sys_flag |= sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;
        self.properties.put(keys::CLUSTER, core.config.cluster.clone());
        self.properties.put(keys::INNER_NUM, messages.to_string());
        let messages = u32::try_from(messages).map_err(|_| illegal(core))?;
        let mut record = self.encode(core, true)?;
        for entry in &mut record.entries {
            (entry.messages, entry.tags) = (messages, SEVERAL_TAGS);
        }
        Ok(record)
    }

    /// The record as it is stored. Copies that wait for something are not found by key: the delivered record is.
    pub(super) fn encode(self, core: &Core, found_by_key: bool) -> Result<NewRecords, Refusal> {
        let keys = if found_by_key { key_hashes(&self.topic, &self.properties) } else { Vec::new() };
        let mut records = NewRecords::new(core.store.queue(&self.topic, self.queue_id));
        let tags = self.properties.get(keys::TAGS).map_or(0, tags_hash);
        let record = MessageRecord {
            topic: self.topic,
            queue_id: self.queue_id,
            flag: self.flag,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp,
            born_host: self.born_host,
            store_host: core.address,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: self.prepared_offset,
            body: self.body,
            properties: Bytes::from(self.properties.encode()),
            ..MessageRecord::default()
        };
        records.push(&record, 1, tags, keys).map_err(|_| illegal(core))?;
        Ok(records)
    }

    /// Applies DELAY and the timer properties as RocketMQ's HookUtils does, a level before a time: moves the
    /// message into the schedule and says when it is due.
    fn schedule(&mut self, core: &Core) -> Result<Option<i64>, Refusal> {
        let now_ms = core.clock.wall_ms();
        if let Some(level) = self.properties.number(keys::DELAY).filter(|level| *level > 0) {
            TIMERS.iter().for_each(|timer| self.properties.remove(timer));
            let levels = &core.config.delay_levels;
            let index = usize::try_from(level - 1).unwrap_or(usize::MAX).min(levels.len().saturating_sub(1));
            let delay = levels.get(index).copied().unwrap_or_default();
            self.properties.put(keys::DELAY, (index + 1).to_string());
            self.move_to(SCHEDULE_TOPIC, i32::try_from(index).unwrap_or(0));
            return Ok(Some(now_ms + millis(delay.as_millis())));
        }
        if TIMERS
            .iter()
            .any(|timer| self.properties.get(timer).is_some_and(|value| value.parse::<i64>().is_err()))
        {
            return Err(illegal_timer());
        }
        match timer_due(&self.properties, now_ms) {
            Some(due_ms) if due_ms.saturating_sub(now_ms) > TIMER_MAX_MS => Err(illegal_timer()),
            Some(due_ms) if due_ms > now_ms => {
                self.properties.put(keys::TIMER_OUT_MS, whole_seconds(due_ms).to_string());
                self.move_to(TIMER_TOPIC, 0);
                Ok(Some(due_ms))
            }
            _ => Ok(None),
        }
    }

    fn move_to(&mut self, topic: &str, queue_id: i32) {
        let real_topic = std::mem::replace(&mut self.topic, topic.to_owned());
        let real_queue = std::mem::replace(&mut self.queue_id, queue_id);
        self.properties.put(keys::REAL_TOPIC, real_topic);
        self.properties.put(keys::REAL_QUEUE_ID, real_queue.to_string());
    }
}

/// A timer too far away, or none (RocketMQ: PutMessageStatus.WHEEL_TIMER_MSG_ILLEGAL).
fn illegal_timer() -> Refusal {
    let remark = format!(
        "timer message illegal, the delay time should not be bigger than the max delay {TIMER_MAX_MS}ms; or if set \
         del msg, the delay time should be bigger than the current time"
    );
    Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark)
}

/// When a timer message is due; `None` for any other message.
pub(super) fn timer_due(properties: &Properties<'_>, now_ms: i64) -> Option<i64> {
    if let Some(seconds) = properties.number(keys::TIMER_DELAY_SEC) {
        return Some(now_ms.saturating_add(seconds.saturating_mul(1000)));
    }
    if let Some(delay_ms) = properties.number(keys::TIMER_DELAY_MS) {
        return Some(now_ms.saturating_add(delay_ms));
    }
    properties.number(keys::TIMER_DELIVER_MS)
}

pub(super) fn whole_seconds(ms: i64) -> i64 {
    ms / TIMER_PRECISION_MS * TIMER_PRECISION_MS
}

/// The handle by which RocketMQ 5 recalls a timer message, when it is one.
pub(super) fn recall_handle(core: &Core, topic: &str, properties: &Properties<'_>) -> Option<String> {
    let has_level = properties.number(keys::DELAY).is_some_and(|level| level > 0);
    let now_ms = core.clock.wall_ms();
    let due_ms = timer_due(properties, now_ms).filter(|due_ms| !has_level && *due_ms > now_ms)?;
    let unique_key = properties.get(keys::UNIQUE_KEY)?;
    let handle = RecallHandle {
        topic: topic.to_owned(),
        broker_name: core.config.broker_name.clone(),
        deliver_ms: whole_seconds(due_ms) + 1,
        unique_key: unique_key.to_owned(),
    };
    Some(handle.to_string())
}

/// Makes delivered records of scheduled ones: the real topic and queue, everything else as it was
/// (RocketMQ: ScheduleMessageService.messageTimeUp, TimerMessageStore).
pub(crate) fn redeliver(core: Arc<Core>) -> Redeliver {
    Arc::new(move |record, physical| match deliverable(&core, record) {
        Ok(record) => Some(record),
        Err(reason) => {
            tracing::warn!(physical, %reason, "a scheduled message is dropped");
            None
        }
    })
}

fn deliverable(core: &Core, record: Bytes) -> Result<NewRecords, String> {
    let message = MessageExt::decode(record).map_err(|error| error.to_string())?;
    let text = message.properties_str();
    let mut properties = Properties::parse(&text);
    let topic = properties.get(keys::REAL_TOPIC).ok_or("it does not say where to")?.to_owned();
    let queue_id = properties.number(keys::REAL_QUEUE_ID).and_then(|id| i32::try_from(id).ok()).unwrap_or(0);
    if core.topics.get(&topic).is_none() {
        return Err(format!("its topic {topic} was deleted"));
    }
    if message.topic() == TIMER_TOPIC {
        properties.put(keys::TIMER_ENQUEUE_MS, whole_seconds(message.store_timestamp()).to_string());
        properties.put(keys::TIMER_DEQUEUE_MS, core.clock.wall_ms().to_string());
    }
    let keys = key_hashes(&topic, &properties);
    let tags = properties.get(keys::TAGS).map_or(0, tags_hash);
    let mut records = NewRecords::new(core.store.queue(&topic, queue_id));
    let record = MessageRecord {
        topic,
        queue_id,
        properties: Bytes::from(properties.encode()),
        ..MessageRecord::from(&message)
    };
    records.push(&record, 1, tags, keys).map_err(|error| error.to_string())?;
    Ok(records)
}

/// How many messages a record holds: 1, or those of an inner batch.
pub(super) fn messages_in(message: &MessageExt) -> usize {
    let inner = message.sys_flag() & sys_flag::INNER_BATCH != 0;
    let number = message.property(keys::INNER_NUM).filter(|_| inner).and_then(|number| number.parse().ok());
    number.unwrap_or(1)
}

/// Hash of a tag as the consume queue keeps it.
pub(super) fn tags_hash(tag: &str) -> i64 {
    i64::from(tag::hash_code(tag))
}

/// Hashes under which a message is found: its unique key and each of its keys.
fn key_hashes(topic: &str, properties: &Properties<'_>) -> Vec<i64> {
    let mut hashes = Vec::with_capacity(2);
    let given = properties.get(keys::KEYS).unwrap_or_default();
    KeyHasher::new(topic).hash_all(properties.get(keys::UNIQUE_KEY), given, &mut hashes);
    hashes
}

pub(super) fn key_hash(topic: &str, key: &str) -> i64 {
    KeyHasher::new(topic).hash(key)
}

/// FNV-1a over topic, `#` and key: stable, since it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHasher {
    behind_topic: u64,
}

impl KeyHasher {
    pub(super) fn new(topic: &str) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        Self { behind_topic: fnv(fnv(OFFSET, topic), "#") }
    }

    fn hash(self, key: &str) -> i64 {
        i64::from_ne_bytes(fnv(self.behind_topic, key).to_ne_bytes())
    }

    /// Hashes of a unique key and of keys joined by spaces, each once.
    pub(super) fn hash_all(self, unique: Option<&str>, given: &str, hashes: &mut Vec<i64>) {
        hashes.clear();
        let given = given.split(' ').filter(|key| !key.is_empty());
        hashes.extend(unique.into_iter().chain(given).map(|key| self.hash(key)));
        hashes.sort_unstable();
        hashes.dedup();
    }
}

fn fnv(state: u64, text: &str) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    text.bytes().fold(state, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// What does not fit a record (RocketMQ: PutMessageStatus.MESSAGE_ILLEGAL and PROPERTIES_SIZE_EXCEEDED).
pub(super) fn illegal(core: &Core) -> Refusal {
    let remark = format!(
        "the message is illegal, maybe msg body or properties length not matched. msg body length limit {}B, msg \
         properties length limit 32KB.",
        core.config.max_message_size
    );
    Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_by_its_unique_key_and_each_key() {
        let properties = Properties::parse("KEYS\u{1}a b\u{2}UNIQ_KEY\u{1}u\u{2}");
        let hashes = key_hashes("t", &properties);
        assert_eq!(hashes.len(), 3);
        assert!(["a", "b", "u"].iter().all(|key| hashes.contains(&key_hash("t", key))));
    }
}
