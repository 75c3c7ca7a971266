use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::body::{GetConsumerStatusBody, QueueMap};
use gantry_protocol::header::{
    ConsumeMessageDirectlyRequestHeader, GetConsumerRunningInfoRequestHeader, GetConsumerStatusRequestHeader,
};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode, fastjson, message_id};

use super::{Answer, with_json};
use crate::core::{Core, Refusal};
use crate::server::Peer;
use crate::state::groups::MemberInfo;

/// How long a client has for a question (RocketMQ: 10 s).
const PATIENCE: Duration = Duration::from_secs(10);

/// GET_CONSUMER_RUNNING_INFO 307: asked of the client, its answer is passed on as it is.
pub(super) async fn running_info(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetConsumerRunningInfoRequestHeader = request.header()?;
    let peer = member(core, &header.consumer_group, &header.client_id)?;
    relay(&peer, RemotingCommand::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &header)).await
}

/// CONSUME_MESSAGE_DIRECTLY 309: the client gets the message itself along.
pub(super) async fn consume_directly(core: &Core, request: &RemotingCommand) -> Answer {
    let mut header: ConsumeMessageDirectlyRequestHeader = request.header()?;
    let client_id = header.client_id.clone().unwrap_or_default();
    let peer = member(core, &header.consumer_group, &client_id)?;
    let msg_id = header.msg_id.clone().unwrap_or_default();
    let invalid = |error: String| Refusal::new(ResponseCode::SYSTEM_ERROR, error);
    let (_, physical) =
        message_id::parse_offset_msg_id(&msg_id).map_err(|error| invalid(error.to_string()))?;
    let record = core.store.read_at(physical).await?;
    let record = record.ok_or_else(|| invalid(format!("can not find message by the offset, {physical}")))?;
    header.broker_name = Some(core.config.broker_name.clone());
    header.topic_sys_flag = Some(0);
    header.group_sys_flag = Some(0);
    relay(&peer, RemotingCommand::request(RequestCode::CONSUME_MESSAGE_DIRECTLY, &header).with_body(record))
        .await
}

/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS 223: every member, or the one named, says where it is.
pub(super) async fn consumer_status(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetConsumerStatusRequestHeader = request.header()?;
    let wanted = header.client_addr.clone().filter(|client_id| !client_id.is_empty());
    let members = core.groups.view(&header.group).map(|view| view.members).unwrap_or_default();
    if members.is_empty() {
        let remark = format!("No Any Consumer online in the consumer group: [{}]", header.group);
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    let question = GetConsumerStatusRequestHeader { client_addr: None, ..header };
    let mut consumer_table = BTreeMap::new();
    for member in
        members.iter().filter(|member| wanted.as_ref().is_none_or(|wanted| *wanted == member.client_id))
    {
        match positions(member, &question).await {
            Ok(positions) => {
                consumer_table.insert(member.client_id.clone(), positions);
            }
            // The others' positions are worth knowing all the same.
            Err(refusal) => {
                tracing::warn!(client = member.client_id, reason = refusal.remark, "no consumer status")
            }
        }
    }
    with_json(&GetConsumerStatusBody { consumer_table, ..GetConsumerStatusBody::default() })
}

async fn positions(
    member: &MemberInfo,
    question: &GetConsumerStatusRequestHeader,
) -> Result<QueueMap<i64>, Refusal> {
    let question = RemotingCommand::request(RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT, question);
    let answer = relay(&member.peer, question).await?;
    if answer.response_code() != ResponseCode::SUCCESS {
        return Err(Refusal::new(answer.response_code(), answer.remark.unwrap_or_default()));
    }
    let body: GetConsumerStatusBody = fastjson::from_slice(&answer.body)
        .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    Ok(body.message_queue_table)
}

fn member(core: &Core, group: &str, client_id: &str) -> Result<Arc<Peer>, Refusal> {
    let members = core.groups.view(group).map(|view| view.members).unwrap_or_default();
    let found = members.into_iter().find(|member| member.client_id == client_id);
    found.map(|member| member.peer).ok_or_else(|| {
        let remark = format!("The Consumer <{group}> <{client_id}> not online");
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    })
}

async fn relay(peer: &Peer, question: RemotingCommand) -> Answer {
    peer.ask(question, PATIENCE).await.map_err(|error| {
        Refusal::new(ResponseCode::CONSUME_MSG_TIMEOUT, format!("consumer <{}>: {error}", peer.address))
    })
}
