//! What each request means: one file per family of requests. A handler reads its header, asks the state, and
//! answers.

mod account;
mod ack;
mod admin;
mod assignment;
mod attributes;
mod codes;
mod group;
mod heartbeat;
mod inventory;
mod kv;
mod message;
mod offset;
mod pop;
mod progress;
mod pull;
mod query;
mod recall;
mod relay;
mod reply;
mod reset;
mod revive;
mod route;
mod send;
mod send_back;
mod send_batch;
mod take;
mod topic;
mod transaction;

use std::sync::Arc;

use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode, fastjson};
use serde::Serialize;

use crate::core::{Core, Refusal};
use crate::server::Call;
use crate::store::Lot;

pub(crate) use message::redeliver;
pub(crate) use pull::{arrived, sweep};
pub(crate) use revive::revive;
pub(crate) use transaction::check as check_transactions;

/// A response, or the refusal that stands for it.
type Answer = Result<RemotingCommand, Refusal>;

/// Carries a request out. Returns when the connection may be read on: what takes longer goes on in a task or in
/// the store, and answers later. What a send has to be written joins the lot; any other request has the lot written before.
pub(crate) async fn dispatch(core: &Arc<Core>, call: Call, request: RemotingCommand, lot: &mut Lot) {
    type Code = RequestCode;
    tracing::trace!(peer = %call.peer.address, code = %request.request_code(), fields = ?request.ext_fields, "request");
    if let Err(refusal) = account::admit(core, &request) {
        return settle(call, Err(refusal));
    }
    let code = request.request_code();
    if matches!(code, Code::SEND_MESSAGE | Code::SEND_MESSAGE_V2 | Code::SEND_BATCH_MESSAGE) {
        return send::send(core, call, request, lot).await;
    }
    core.store.write(lot).await;
    match code {
        Code::PULL_MESSAGE | Code::LITE_PULL_MESSAGE => pull::pull(core, call, &request),
        Code::POP_MESSAGE => pop::pop(core, call, &request),
        Code::NOTIFICATION => pop::notification(core, call, &request),
        // The next request on the connection may rely on these.
        Code::HEART_BEAT => {
            let answer = heartbeat::heartbeat(core, &call.peer, &request).await;
            settle(call, answer);
        }
        Code::UPDATE_AND_CREATE_TOPIC => settle(call, topic::create(core, &request).await),
        codes::UPDATE_AND_CREATE_TOPIC_LIST => settle(call, topic::create_list(core, &request).await),
        Code::GET_ROUTEINFO_BY_TOPIC => {
            let answer = route::route(core, &call.peer, &request).await;
            settle(call, answer);
        }
        _ => match at_once(core, &call, &request) {
            Some(answer) => settle(call, answer),
            None => {
                let core_of_task = Arc::clone(core);
                core.tasks.spawn("request", async move {
                    let answer = in_task(&core_of_task, &call, &request).await;
                    settle(call, answer);
                });
            }
        },
    }
}

/// Requests answered from memory.
fn at_once(core: &Core, call: &Call, request: &RemotingCommand) -> Option<Answer> {
    type Code = RequestCode;
    Some(match request.request_code() {
        Code::UPDATE_CONSUMER_OFFSET => offset::update(core, request),
        Code::QUERY_CONSUMER_OFFSET => return offset::query(core, request),
        Code::GET_MAX_OFFSET => offset::max(core, request),
        Code::GET_MIN_OFFSET => offset::min(core, request),
        Code::GET_CONSUMER_LIST_BY_GROUP => group::members(core, request),
        Code::UNREGISTER_CLIENT => group::unregister(core, &call.peer, request),
        Code::LOCK_BATCH_MQ => group::lock(core, request),
        Code::UNLOCK_BATCH_MQ => group::unlock(core, request),
        Code::CHECK_CLIENT_CONFIG => group::check(request),
        Code::GET_BROKER_CLUSTER_INFO => route::cluster(core, &call.peer),
        Code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => route::topic_list(core),
        Code::QUERY_ASSIGNMENT => assignment::query(core, request),
        Code::POLLING_INFO => pop::polling_info(core, request),
        Code::GET_TOPIC_CONFIG => topic::config(core, request),
        admin::GET_BROKER_RUNTIME_INFO => admin::runtime_info(core),
        Code::GET_TOPIC_STATS_INFO => admin::topic_stats(core, request),
        Code::QUERY_TOPIC_CONSUME_BY_WHO => admin::consumers_of(core, request),
        Code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => admin::group_configs(core),
        Code::GET_CONSUMER_CONNECTION_LIST => admin::consumer_connections(core, request),
        Code::GET_KV_CONFIG => kv::get(core, request),
        codes::GET_KVLIST_BY_NAMESPACE => kv::list(core, request),
        // The name server keeps no topics of its own here, and nothing expires.
        Code::DELETE_TOPIC_IN_NAMESRV
        | codes::CLEAN_EXPIRED_CONSUMEQUEUE
        | codes::CLEAN_UNUSED_TOPIC
        | codes::DELETE_EXPIRED_COMMITLOG => Ok(success()),
        _ => return inventory(core, request),
    })
}

/// Lists for administrators.
fn inventory(core: &Core, request: &RemotingCommand) -> Option<Answer> {
    Some(match request.request_code() {
        codes::GET_ALL_TOPIC_CONFIG => inventory::topic_configs(core),
        codes::GET_BROKER_CONFIG => inventory::broker_config(core),
        codes::GET_ALL_CONSUMER_OFFSET => inventory::offsets(core),
        codes::GET_PRODUCER_CONNECTION_LIST => inventory::producer_connections(core, request),
        codes::GET_ALL_PRODUCER_INFO => inventory::producers(core),
        codes::GET_TOPICS_BY_CLUSTER => inventory::topics_of_cluster(core, request),
        codes::GET_SYSTEM_TOPIC_LIST_FROM_NS => inventory::system_topics(core, true),
        codes::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => inventory::system_topics(core, false),
        codes::QUERY_TOPICS_BY_CONSUMER => inventory::topics_of_group(core, request),
        codes::QUERY_SUBSCRIPTION_BY_CONSUMER => inventory::subscription(core, request),
        codes::GET_SUBSCRIPTIONGROUP_CONFIG => inventory::group_config(core, request),
        codes::VIEW_BROKER_STATS_DATA => inventory::stats(request),
        codes::QUERY_CORRECTION_OFFSET => inventory::correction_offsets(core, request),
        codes::CLONE_GROUP_OFFSET => inventory::clone_offsets(core, request),
        _ => return None,
    })
}

/// Requests that wait for the store or for another client.
async fn in_task(core: &Arc<Core>, call: &Call, request: &RemotingCommand) -> Answer {
    type Code = RequestCode;
    match request.request_code() {
        Code::CONSUMER_SEND_MSG_BACK => send_back::send_back(core, request).await,
        Code::ACK_MESSAGE => ack::ack(core, request).await,
        Code::BATCH_ACK_MESSAGE => ack::batch_ack(core, request).await,
        Code::CHANGE_MESSAGE_INVISIBLETIME => ack::change_invisible_time(core, request).await,
        Code::PEEK_MESSAGE => pop::peek(core, &call.peer, request).await,
        Code::SET_MESSAGE_REQUEST_MODE => assignment::set_mode(core, request).await,
        Code::PUT_KV_CONFIG => kv::put(core, request).await,
        Code::DELETE_KV_CONFIG => kv::delete(core, request).await,
        Code::END_TRANSACTION => transaction::end(core, request).await,
        Code::RECALL_MESSAGE => recall::recall(core, request).await,
        Code::SEND_REPLY_MESSAGE | Code::SEND_REPLY_MESSAGE_V2 => {
            reply::reply(core, &call.peer, request).await
        }
        Code::QUERY_CONSUMER_OFFSET => offset::query_first(core, request).await,
        Code::SEARCH_OFFSET_BY_TIMESTAMP => offset::search(core, request).await,
        Code::GET_EARLIEST_MSG_STORETIME => offset::earliest(core, request).await,
        Code::VIEW_MESSAGE_BY_ID => query::view(core, request).await,
        Code::QUERY_MESSAGE => query::by_key(core, request).await,
        Code::DELETE_TOPIC_IN_BROKER => topic::delete(core, request).await,
        Code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => admin::update_group(core, request).await,
        codes::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => admin::update_groups(core, request).await,
        Code::DELETE_SUBSCRIPTIONGROUP => admin::delete_group(core, request).await,
        Code::GET_CONSUME_STATS => progress::of_group(core, request).await,
        codes::QUERY_CONSUME_TIME_SPAN => progress::time_spans(core, request).await,
        codes::GET_BROKER_CONSUME_STATS => progress::of_broker(core, request).await,
        Code::INVOKE_BROKER_TO_RESET_OFFSET => reset::reset(core, request).await,
        Code::GET_CONSUMER_RUNNING_INFO => relay::running_info(core, request).await,
        Code::CONSUME_MESSAGE_DIRECTLY => relay::consume_directly(core, request).await,
        Code::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => relay::consumer_status(core, request).await,
        RequestCode(number) => {
            let remark = format!(" request type {number} not supported");
            Err(Refusal::new(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark))
        }
    }
}

fn settle(call: Call, answer: Answer) {
    match answer {
        Ok(response) => call.answer(response),
        Err(refusal) => call.refuse(refusal.code, refusal.remark),
    }
}

fn success() -> RemotingCommand {
    RemotingCommand::response(ResponseCode::SUCCESS)
}

/// SUCCESS with a JSON body, in fastjson's form where its keys are queues.
fn with_json(body: &impl Serialize) -> Answer {
    match fastjson::to_vec(body) {
        Ok(json) => Ok(success().with_body(json)),
        Err(error) => {
            Err(Refusal::new(ResponseCode::SYSTEM_ERROR, format!("the answer cannot be written: {error}")))
        }
    }
}

/// Reads a JSON body.
fn read_json<T: serde::de::DeserializeOwned>(request: &RemotingCommand) -> Result<T, Refusal> {
    fastjson::from_slice(&request.body).map_err(|error| {
        Refusal::new(
            ResponseCode::SYSTEM_ERROR,
            format!("the body of {} is not readable: {error}", request.request_code()),
        )
    })
}

/// The remark of a missing topic at the broker, as RocketMQ writes it.
fn no_such_topic(topic: &str) -> Refusal {
    let remark = format!("topic[{topic}] not exist, apply first please!\n{HELP}");
    Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)
}

const HELP: &str = "See https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";
