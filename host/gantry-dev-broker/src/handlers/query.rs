use bytes::BytesMut;
use gantry_protocol::header::{
    QueryMessageRequestHeader, QueryMessageResponseHeader, ViewMessageRequestHeader,
};
use gantry_protocol::{MessageExt, RemotingCommand, ResponseCode};

use super::message::key_hash;
use super::{Answer, success};
use crate::core::{Core, Refusal};

/// Most messages one query answers (RocketMQ: defaultQueryMaxNum).
const MOST: usize = 64;

/// VIEW_MESSAGE_BY_ID 33: the message at a physical offset.
pub(super) async fn view(core: &Core, request: &RemotingCommand) -> Answer {
    let header: ViewMessageRequestHeader = request.header()?;
    let missing = || {
        let remark = format!("can not find message by the offset, {}", header.offset);
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    };
    let record = core.store.read_at(header.offset).await?.ok_or_else(missing)?;
    Ok(success().with_body(record))
}

/// QUERY_MESSAGE 12: by unique key, or by one of a message's keys.
pub(super) async fn by_key(core: &Core, request: &RemotingCommand) -> Answer {
    let header: QueryMessageRequestHeader = request.header()?;
    let most = usize::try_from(header.max_num).unwrap_or(0).clamp(1, MOST);
    let by_unique_key = header.unique_key_query == Some(true) || header.index_type.as_deref() == Some("U");
    let records = core.store.read_by_key(key_hash(&header.topic, &header.key), MOST).await?;
    let mut body = BytesMut::new();
    let mut newest = QueryMessageResponseHeader::default();
    let matching = records.into_iter().filter_map(|record| MessageExt::decode(record).ok());
    for message in matching.filter(|message| asked_for(message, &header, by_unique_key)).take(most) {
        newest.index_last_update_timestamp =
            newest.index_last_update_timestamp.max(message.store_timestamp());
        newest.index_last_update_phyoffset =
            newest.index_last_update_phyoffset.max(message.physical_offset());
        body.extend_from_slice(message.record());
    }
    if body.is_empty() {
        let refusal = RemotingCommand::response(ResponseCode::QUERY_NOT_FOUND).with_header(&newest);
        return Ok(refusal.with_remark("can not find message, maybe time range not correct"));
    }
    Ok(success().with_header(&newest).with_body(body.freeze()))
}

/// The hash may collide, and the time range is the asker's.
fn asked_for(message: &MessageExt, header: &QueryMessageRequestHeader, by_unique_key: bool) -> bool {
    let stored_ms = message.store_timestamp();
    let key = header.key.as_str();
    let has_key = || message.keys().is_some_and(|keys| keys.split(' ').any(|known| known == key));
    let named = message.unique_key() == Some(key) || (!by_unique_key && has_key());
    named
        && message.topic() == header.topic
        && (header.begin_timestamp..=header.end_timestamp).contains(&stored_ms)
}
