//! Request-reply: SEND_REPLY_MESSAGE 324 and its version 2, 325, brought to the requester by
//! PUSH_REPLY_MESSAGE_TO_CLIENT 326 (RocketMQ: ReplyMessageProcessor).

use std::time::Duration;

use gantry_protocol::header::{
    ReplyMessageRequestHeader, SendMessageRequestHeader, SendMessageRequestHeaderV2,
    SendMessageResponseHeader,
};
use gantry_protocol::properties::keys;
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode, message_id};
use tokio::sync::oneshot;

use super::message::Draft;
use super::send::REGION;
use super::{Answer, no_such_topic};
use crate::core::{Core, Refusal};
use crate::error::StoreError;
use crate::props::Properties;
use crate::server::Peer;

/// How long the requester has to take a reply.
const PATIENCE: Duration = Duration::from_secs(3);
/// When the reply was brought, in milliseconds since the epoch (RocketMQ: PROPERTY_PUSH_REPLY_TIME).
const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";

/// Brings the reply to the client it is for, and keeps a copy in the reply topic as RocketMQ does.
pub(super) async fn reply(core: &Core, peer: &Peer, request: &RemotingCommand) -> Answer {
    let header: SendMessageRequestHeader = match request.request_code() {
        RequestCode::SEND_REPLY_MESSAGE => request.header()?,
        _ => request.header::<SendMessageRequestHeaderV2>()?.into(),
    };
    let topic = core.topics.get(&header.topic).ok_or_else(|| no_such_topic(&header.topic))?;
    let text = header.properties.clone().unwrap_or_default();
    let mut properties = Properties::parse(&text);
    properties.put(keys::MSG_REGION, REGION);
    properties.put(keys::TRACE_SWITCH, "true");
    properties.put(PUSH_REPLY_TIME, core.clock.wall_ms().to_string());
    let brought = bring(core, peer, &header, &properties, request).await;
    let queue_id = header.queue_id.clamp(0, topic.write_queue_nums.max(1) - 1);
    let draft = Draft {
        topic: header.topic,
        queue_id,
        flag: header.flag,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: peer.address,
        reconsume_times: header.reconsume_times.unwrap_or(0),
        prepared_offset: 0,
        body: request.body.clone(),
        properties,
    };
    let (sender, receiver) = oneshot::channel();
    // The replier may be gone; the copy is kept all the same.
    let done = move |stored: Result<Vec<_>, StoreError>| drop(sender.send(stored));
    core.store.append_now(vec![draft.into_record(core)?], Box::new(done)).await;
    let stored = receiver.await.unwrap_or(Err(StoreError::Closed))?.first().copied().unwrap_or_default();
    let header = SendMessageResponseHeader {
        msg_id: message_id::offset_msg_id(core.address, stored.physical),
        queue_id,
        queue_offset: stored.offset,
        transaction_id: None,
        batch_uniq_id: None,
        recall_handle: None,
        msg_region: Some(REGION.to_owned()),
        trace_on: Some(true),
    };
    Ok(match brought {
        Ok(()) => RemotingCommand::response(ResponseCode::SUCCESS).with_header(&header),
        Err(Refusal { code, remark }) => {
            RemotingCommand::response(code).with_remark(remark).with_header(&header)
        }
    })
}

/// Pushes the reply to the requester's connection, and waits until it has it.
async fn bring(
    core: &Core,
    from: &Peer,
    header: &SendMessageRequestHeader,
    properties: &Properties<'_>,
    request: &RemotingCommand,
) -> Result<(), Refusal> {
    let failed = |remark: String| Refusal::new(ResponseCode::SYSTEM_ERROR, remark);
    let Some(client_id) = properties.get("REPLY_TO_CLIENT") else {
        return Err(failed("reply message properties[REPLY_TO_CLIENT] is null".to_owned()));
    };
    let Some(requester) = core.producers.client(client_id) else {
        return Err(failed(format!("push reply message fail, channel of <{client_id}> not found.")));
    };
    let push = ReplyMessageRequestHeader {
        producer_group: header.producer_group.clone(),
        topic: header.topic.clone(),
        default_topic: header.default_topic.clone(),
        default_topic_queue_nums: header.default_topic_queue_nums,
        queue_id: header.queue_id,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        flag: header.flag,
        properties: Some(properties.encode()),
        reconsume_times: header.reconsume_times,
        unit_mode: header.unit_mode,
        born_host: from.address.to_string(),
        store_host: core.address.to_string(),
        store_timestamp: core.clock.wall_ms(),
    };
    let push = RemotingCommand::request(RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT, &push);
    match requester.ask(push.with_body(request.body.clone()), PATIENCE).await {
        Ok(answer) if answer.response_code() == ResponseCode::SUCCESS => Ok(()),
        Ok(answer) => Err(failed(format!(
            "push reply message to {client_id} fail, it answered {}",
            answer.response_code()
        ))),
        Err(error) => Err(failed(format!("push reply message to {client_id} fail: {error}"))),
    }
}
