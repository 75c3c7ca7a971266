//! A model broker: queue logs, group offsets, members, delayed retries. No sockets and no time of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use gantry_core::{PullAnswer, PullRequest, PullStatus, SendBackRequest};
use gantry_protocol::{MessageExt, MessageQueue, MessageRecord, names, properties, tag};

pub(crate) const GROUP: &str = "orders";
pub(crate) const BROKER: &str = "broker-a";
const LEASE: Duration = Duration::from_secs(60);

/// What every test sends: a message's own number survives retries as its UNIQ_KEY.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) uid: u64,
    pub(crate) topic: String,
    pub(crate) tag: Option<String>,
    pub(crate) message: MessageExt,
    /// A listener succeeded with this very record, or the broker took it back, or it is gone from the log.
    pub(crate) settled: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) min: usize,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug, Default)]
pub(crate) struct Broker {
    pub(crate) logs: BTreeMap<MessageQueue, Log>,
    pub(crate) offsets: BTreeMap<MessageQueue, i64>,
    /// Offsets an operator asked for, told to the next pull.
    pub(crate) resets: BTreeMap<MessageQueue, i64>,
    pub(crate) members: BTreeSet<String>,
    /// Where each record is, by physical offset.
    places: Vec<(MessageQueue, usize)>,
    /// Who holds each queue's lock, and when it was asked for last.
    pub(crate) locks: BTreeMap<MessageQueue, (String, Instant)>,
    pub(crate) dead: Vec<u64>,
    next_uid: u64,
}

pub(crate) fn uid_of(message: &MessageExt) -> u64 {
    message.unique_key().unwrap().parse().unwrap()
}

impl Broker {
    pub(crate) fn add_topic(&mut self, topic: &str, queues: i32) {
        for id in 0..queues {
            self.logs.entry(MessageQueue::new(topic, BROKER, id)).or_default();
        }
    }

    pub(crate) fn queues_of(&self, topic: &str) -> Vec<MessageQueue> {
        self.logs.keys().filter(|mq| &*mq.topic == topic).cloned().collect()
    }

    pub(crate) fn send(&mut self, mq: &MessageQueue, tag: Option<&str>) -> u64 {
        self.next_uid += 1;
        let uid = self.next_uid;
        self.append(mq, uid, &mq.topic.clone(), tag, 0);
        uid
    }

    fn append(&mut self, mq: &MessageQueue, uid: u64, origin: &str, tag: Option<&str>, reconsume_times: i32) {
        let physical_offset = self.places.len();
        let log = self.logs.get_mut(mq).unwrap();
        let key = uid.to_string();
        let mut pairs = vec![("UNIQ_KEY", key.as_str())];
        pairs.extend(tag.map(|tag| ("TAGS", tag)));
        if names::is_retry(&mq.topic) {
            pairs.push(("RETRY_TOPIC", origin));
        }
        let record = MessageRecord {
            topic: mq.topic.to_string(),
            queue_id: mq.queue_id,
            queue_offset: log.entries.len() as i64,
            physical_offset: physical_offset as i64,
            reconsume_times,
            body: bytes::Bytes::from_static(b"body"),
            properties: properties::encode(pairs).into(),
            ..MessageRecord::default()
        };
        let mut bytes = BytesMut::new();
        record.encode(&mut bytes).unwrap();
        let message = MessageExt::decode(bytes.freeze()).unwrap();
        self.places.push((mq.clone(), log.entries.len()));
        let (topic, tag) = (origin.to_owned(), tag.map(str::to_owned));
        log.entries.push(Entry { uid, topic, tag, message, settled: false });
    }

    pub(crate) fn entry_mut(&mut self, mq: &MessageQueue, offset: i64) -> &mut Entry {
        &mut self.logs.get_mut(mq).unwrap().entries[offset as usize]
    }

    pub(crate) fn end(&self, mq: &MessageQueue) -> i64 {
        self.logs[mq].entries.len() as i64
    }

    /// Offsets before `min` are gone; what was in them is nobody's any more.
    pub(crate) fn trim(&mut self, mq: &MessageQueue, min: usize) {
        let log = self.logs.get_mut(mq).unwrap();
        log.min = log.min.max(min.min(log.entries.len()));
        for entry in &mut log.entries[..log.min] {
            entry.settled = true;
        }
    }

    /// Answers a pull; none when the broker would hold it.
    pub(crate) fn pull(&mut self, request: &PullRequest) -> Option<PullAnswer> {
        let mq = &request.mq;
        if let Some(offset) = request.commit_offset {
            self.store_offset(mq, offset);
        }
        if let Some(offset) = self.resets.remove(mq) {
            self.offsets.insert(mq.clone(), offset);
            let answer = self.answer(mq, PullStatus::OffsetIllegal, offset, Vec::new());
            return Some(PullAnswer { reset: true, ..answer });
        }
        let log = &self.logs[mq];
        let (min, end) = (log.min as i64, log.entries.len() as i64);
        match request.offset {
            offset if offset < min => Some(self.answer(mq, PullStatus::OffsetIllegal, min, Vec::new())),
            offset if offset > end => Some(self.answer(mq, PullStatus::OffsetIllegal, end, Vec::new())),
            offset if offset == end => None,
            offset => {
                // A small scan, so that filtered stretches show as NO_MATCHED_MSG.
                let scanned = &log.entries[offset as usize..end.min(offset + 20) as usize];
                let next = offset + scanned.len() as i64;
                let codes = &request.subscription.codes;
                let wanted = |entry: &&Entry| {
                    codes.is_empty() || codes.contains(&entry.tag.as_deref().map_or(0, tag::hash_code))
                };
                let messages: Vec<_> = scanned
                    .iter()
                    .filter(wanted)
                    .take(request.max_msg_nums as usize)
                    .map(|entry| entry.message.clone())
                    .collect();
                if messages.is_empty() {
                    return Some(self.answer(mq, PullStatus::NoMatchedMsg, next, messages));
                }
                let full = messages.len() == request.max_msg_nums as usize;
                let next = if full { messages.last().unwrap().queue_offset() + 1 } else { next };
                Some(self.answer(mq, PullStatus::Found, next, messages))
            }
        }
    }

    pub(crate) fn no_news(&self, request: &PullRequest) -> PullAnswer {
        self.answer(&request.mq, PullStatus::NoNewMsg, request.offset, Vec::new())
    }

    fn answer(
        &self,
        mq: &MessageQueue,
        status: PullStatus,
        next: i64,
        messages: Vec<MessageExt>,
    ) -> PullAnswer {
        PullAnswer {
            status,
            next_begin_offset: next,
            min_offset: self.logs[mq].min as i64,
            max_offset: self.end(mq),
            broker_id: 0,
            suggest_which_broker_id: 0,
            reset: false,
            messages,
        }
    }

    /// Stores what it is told, as brokers do; but not while a reset waits to be told.
    pub(crate) fn store_offset(&mut self, mq: &MessageQueue, offset: i64) {
        if !self.resets.contains_key(mq) {
            self.offsets.insert(mq.clone(), offset);
        }
    }

    /// Takes a message back; what is to come again is returned with its delay level.
    pub(crate) fn take_back(&mut self, request: &SendBackRequest) -> Result<Option<(Retry, i32)>, String> {
        let physical = request.message.physical_offset() as usize;
        let (mq, index) = self.places.get(physical).cloned().ok_or("no such message")?;
        assert_eq!(mq, request.mq, "a message goes back to its own broker and queue");
        let entry = self.entry_mut(&mq, index as i64);
        assert_eq!(
            entry.topic, *request.origin_topic,
            "a message goes back under the topic it was first sent to"
        );
        entry.settled = true;
        let times = entry.message.reconsume_times();
        let retry =
            Retry { uid: entry.uid, topic: entry.topic.clone(), tag: entry.tag.clone(), times: times + 1 };
        if request.delay_level < 0 || times >= request.max_reconsume_times {
            self.dead.push(retry.uid);
            return Ok(None);
        }
        let level = if request.delay_level == 0 { 3 + times } else { request.delay_level };
        self.add_topic(&names::retry_topic(GROUP), 1);
        Ok(Some((retry, level)))
    }

    /// Locks what is free, or this client's already, or was not renewed for 60 s.
    pub(crate) fn lock(&mut self, now: Instant, client_id: &str, mqs: &[MessageQueue]) -> Vec<MessageQueue> {
        let free = |locks: &BTreeMap<MessageQueue, (String, Instant)>, mq: &MessageQueue| {
            locks.get(mq).is_none_or(|(holder, since)| holder == client_id || now >= *since + LEASE)
        };
        let granted: Vec<_> = mqs.iter().filter(|mq| free(&self.locks, mq)).cloned().collect();
        for mq in &granted {
            self.locks.insert(mq.clone(), (client_id.to_owned(), now));
        }
        granted
    }

    pub(crate) fn unlock(&mut self, client_id: &str, mqs: &[MessageQueue]) {
        for mq in mqs {
            if self.locks.get(mq).is_some_and(|(holder, _)| holder == client_id) {
                self.locks.remove(mq);
            }
        }
    }

    pub(crate) fn deliver_retry(&mut self, retry: &Retry) -> MessageQueue {
        let mq = MessageQueue::new(names::retry_topic(GROUP), BROKER, 0);
        self.append(&mq, retry.uid, &retry.topic, retry.tag.as_deref(), retry.times);
        mq
    }
}

/// A message on its way through the delay levels.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    pub(crate) uid: u64,
    pub(crate) topic: String,
    pub(crate) tag: Option<String>,
    pub(crate) times: i32,
}
