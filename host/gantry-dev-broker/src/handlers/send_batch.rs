//! What the records of a batch are. Its messages go through here by the hundred thousand, so what they share is made once.

use bytes::Bytes;
use gantry_protocol::batch::{self, BatchItem};
use gantry_protocol::body::TopicConfig;
use gantry_protocol::header::SendMessageRequestHeader;
use gantry_protocol::properties::{self, keys};
use gantry_protocol::{MessageRecord, ResponseCode, names};

use super::message::{KeyHasher, TIMERS, illegal, tags_hash};
use super::send::{Checked, draft_of};
use crate::core::{Core, Refusal};
use crate::props::Properties;
use crate::server::Call;
use crate::state::topics;
use crate::store::NewRecords;

/// The items of a batch, each a record of its own; they keep their own properties and get none from the broker. In a topic
/// for inner batches they stay together.
pub(super) fn batch(
    core: &Core,
    call: &Call,
    header: &SendMessageRequestHeader,
    (topic, queue_id): (&TopicConfig, i32),
    body: Bytes,
) -> Result<Checked, Refusal> {
    if header.topic.starts_with(names::RETRY_PREFIX) {
        let remark = format!("batch request does not support retry group {}", header.topic);
        return Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark));
    }
    let items: Vec<BatchItem<'_>> = batch::decode(&body)
        .collect::<Result<_, _>>()
        .map_err(|error| Refusal::new(ResponseCode::MESSAGE_ILLEGAL, error.to_string()))?;
    if items.is_empty() {
        return Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, "the batch holds no message"));
    }
    let of_batch = Properties::parse(header.properties.as_deref().unwrap_or_default());
    let unique_key = of_batch.get(keys::UNIQUE_KEY).map(str::to_owned);
    if topics::keeps_batches(topic)
        && let Some(batch_id) = unique_key
    {
        let record = draft_of((call, header, queue_id), header.flag, body.clone(), of_batch)
            .into_inner_batch(core, items.len())?;
        let transaction_id = Some(batch_id.clone());
        let (records, batch_id) = (vec![record], Some(batch_id));
        return Ok(Checked { records, queue_id, transaction_id, batch_id, ..Checked::default() });
    }
    let records = records(core, call, (header, queue_id), &items)?;
    Ok(Checked { records, queue_id, transaction_id: unique_key, ..Checked::default() })
}

/// As few runs of records as can be.
fn records(
    core: &Core,
    call: &Call,
    (header, queue_id): (&SendMessageRequestHeader, i32),
    items: &[BatchItem<'_>],
) -> Result<Vec<NewRecords>, Refusal> {
    let queue = core.store.queue(&header.topic, queue_id);
    let hasher = KeyHasher::new(&header.topic);
    let shared = MessageRecord {
        topic: header.topic.clone(),
        queue_id,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: call.peer.address,
        store_host: core.address,
        reconsume_times: header.reconsume_times.unwrap_or(0),
        ..MessageRecord::default()
    };
    // About what their records take: the parts that a record has and an item has not come to less.
    let more = 100 + header.topic.len();
    let room = items.iter().map(|item| more + item.body.len() + item.properties.len()).sum();
    let (mut all, mut hashes) = (Vec::new(), Vec::new());
    let mut run = NewRecords::with_room(queue.clone(), items.len(), room);
    for item in items {
        let text = String::from_utf8_lossy(item.properties);
        let known = Known::of(&text);
        let changed = if known.untimed { None } else { Some(untimed(&text)) };
        let properties = changed.as_deref().map_or(item.properties, str::as_bytes);
        let item = BatchItem { properties, ..*item };
        hasher.hash_all(known.unique, known.keys, &mut hashes);
        if run.is_full_for(shared.encoded_len_of(item)) {
            all.push(std::mem::replace(&mut run, NewRecords::new(queue.clone())));
        }
        let tags = known.tags.map_or(0, tags_hash);
        run.push_item((&shared, item), 1, tags, hashes.drain(..)).map_err(|_| illegal(core))?;
    }
    all.push(run);
    Ok(all)
}

/// What the broker wants of an item's properties, found in one pass.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known<'a> {
    tags: Option<&'a str>,
    keys: &'a str,
    unique: Option<&'a str>,
    /// There is no delay among them.
    untimed: bool,
}

impl<'a> Known<'a> {
    fn of(text: &'a str) -> Self {
        let mut known = Self { untimed: true, ..Self::default() };
        // Of a name that comes twice the last value counts, as in Java's map.
        for (name, value) in properties::parse(text) {
            match name {
                keys::TAGS => known.tags = Some(value),
                keys::KEYS => known.keys = value,
                keys::UNIQUE_KEY => known.unique = Some(value),
                _ if is_timed(name) => known.untimed = false,
                _ => {}
            }
        }
        known
    }
}

fn is_timed(name: &str) -> bool {
    name == keys::DELAY || TIMERS.contains(&name)
}

/// A batch has no delay: all its messages are visible at once, in order.
fn untimed(text: &str) -> String {
    properties::encode(properties::parse(text).filter(|(name, _)| !is_timed(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_known_by_the_last_of_its_properties() {
        let known = Known::of("TAGS\u{1}a\u{2}x\u{1}y\u{2}KEYS\u{1}k l\u{2}TAGS\u{1}b\u{2}UNIQ_KEY\u{1}u");
        let expected = Known { tags: Some("b"), keys: "k l", unique: Some("u"), untimed: true };
        assert_eq!(known, expected);
    }

    #[test]
    fn delays_are_taken_from_an_item() {
        let text = "a\u{1}1\u{2}DELAY\u{1}3\u{2}TIMER_DELAY_MS\u{1}9\u{2}b\u{1}2\u{2}";
        assert!(!Known::of(text).untimed);
        assert_eq!(untimed(text), "a\u{1}1\u{2}b\u{1}2\u{2}");
    }
}
