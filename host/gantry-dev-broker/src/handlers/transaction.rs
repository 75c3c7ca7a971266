//! The second half of transactions: END_TRANSACTION 37, and the questions about those that do not end
//! (RocketMQ: EndTransactionProcessor, TransactionalMessageServiceImpl).

use std::sync::Arc;

use gantry_protocol::header::{CheckTransactionStateRequestHeader, EndTransactionRequestHeader};
use gantry_protocol::names::TRANS_HALF_TOPIC;
use gantry_protocol::properties::keys;
use gantry_protocol::{MessageExt, MessageRecord, RemotingCommand, RequestCode, ResponseCode, sys_flag};

use super::message::Draft;
use super::{Answer, no_such_topic, success};
use crate::clock::millis;
use crate::core::{Core, Refusal};
use crate::props::Properties;
use crate::store::{Change, NewRecords, Prepared};

/// Where messages go whose producers never said how the transaction ended (RocketMQ: TRANS_CHECK_MAX_TIME_TOPIC).
pub(crate) const TRANS_CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// How often a transaction was asked about (RocketMQ: PROPERTY_TRANSACTION_CHECK_TIMES).
const CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";

/// END_TRANSACTION 37, usually one-way: commit, rollback, or neither, which leaves the transaction open.
pub(super) async fn end(core: &Core, request: &RemotingCommand) -> Answer {
    let header: EndTransactionRequestHeader = request.header()?;
    let physical = header.commit_log_offset;
    let commit = match header.commit_or_rollback {
        sys_flag::TRANSACTION_COMMIT => true,
        sys_flag::TRANSACTION_ROLLBACK => false,
        _ => return Ok(success()),
    };
    let prepared = prepared(core, &header).await?;
    let records = if commit { vec![committed(core, &prepared)?] } else { Vec::new() };
    // A transaction ends once: what comes later changes nothing.
    core.store.change(vec![Change::EndTransaction { physical }], records).await?;
    Ok(success())
}

/// The prepared message, when it is the one the header means.
async fn prepared(core: &Core, header: &EndTransactionRequestHeader) -> Result<MessageExt, Refusal> {
    let failed = |remark: &str| Refusal::new(ResponseCode::SYSTEM_ERROR, remark);
    let record = core.store.read_at(header.commit_log_offset).await?;
    let record = record.ok_or_else(|| failed("Find prepared transaction message failed"))?;
    let message = MessageExt::decode(record).map_err(|error| failed(&error.to_string()))?;
    if message.topic() != TRANS_HALF_TOPIC {
        return Err(failed("Find prepared transaction message failed"));
    }
    if message.property(keys::PRODUCER_GROUP) != Some(header.producer_group.as_str()) {
        return Err(failed("The producer group wrong"));
    }
    if message.queue_offset() != header.tran_state_table_offset {
        return Err(failed("The transaction state table offset wrong"));
    }
    Ok(message)
}

/// The record consumers see: where it was sent to, marked as committed, with the prepared record's offset.
fn committed(core: &Core, prepared: &MessageExt) -> Result<NewRecords, Refusal> {
    let text = prepared.properties_str();
    let draft = draft(prepared, Properties::parse(&text))?;
    if core.topics.get(&draft.topic).is_none() {
        return Err(no_such_topic(&draft.topic));
    }
    draft.into_record(core)
}

fn draft<'a>(prepared: &MessageExt, mut properties: Properties<'a>) -> Result<Draft<'a>, Refusal> {
    let nowhere = || Refusal::new(ResponseCode::SYSTEM_ERROR, "the prepared message does not say where to");
    let topic = properties.get(keys::REAL_TOPIC).ok_or_else(nowhere)?.to_owned();
    let queue_id = properties.number(keys::REAL_QUEUE_ID).and_then(|id| i32::try_from(id).ok());
    properties.remove(keys::REAL_TOPIC);
    properties.remove(keys::REAL_QUEUE_ID);
    Ok(Draft {
        topic,
        queue_id: queue_id.ok_or_else(nowhere)?,
        flag: prepared.flag(),
        sys_flag: prepared.sys_flag() & !sys_flag::TRANSACTION_MASK | sys_flag::TRANSACTION_COMMIT,
        born_timestamp: prepared.born_timestamp(),
        born_host: prepared.born_host(),
        reconsume_times: prepared.reconsume_times(),
        prepared_offset: prepared.physical_offset(),
        body: prepared.shared(prepared.stored_body()),
        properties,
    })
}

/// Asks producers about transactions that have been open for too long; gives those up that were asked about often
/// enough. Answers how many there were.
pub(crate) async fn check(core: &Arc<Core>) -> Result<usize, Refusal> {
    let now_ms = core.clock.wall_ms();
    let due = core.store.to_check(now_ms).await?;
    let count = due.len();
    for prepared in due {
        if prepared.checks >= core.config.timing.transaction_checks {
            give_up(core, &prepared).await?;
            continue;
        }
        let (physical, checks) = (prepared.physical, prepared.checks + 1);
        let next_check_ms = now_ms + millis(core.config.timing.transaction_timeout.as_millis()).max(1);
        core.store.change(vec![Change::Checked { physical, checks, next_check_ms }], Vec::new()).await?;
        if let Err(refusal) = ask(core, &prepared, checks) {
            tracing::warn!(reason = refusal.remark, "a prepared message cannot be read");
        }
    }
    Ok(count)
}

/// Puts the message where an administrator can find it, and ends the transaction.
async fn give_up(core: &Core, prepared: &Prepared) -> Result<(), Refusal> {
    core.ensure_topic(TRANS_CHECK_MAX_TIME_TOPIC, 1).await?;
    let records = match given_up(core, prepared) {
        Ok(record) => vec![record],
        Err(refusal) => {
            tracing::warn!(reason = refusal.remark, "a prepared message cannot be read, and is dropped");
            Vec::new()
        }
    };
    core.store.change(vec![Change::EndTransaction { physical: prepared.physical }], records).await?;
    tracing::warn!(checks = prepared.checks, "a transaction is given up: no producer said how it ended");
    Ok(())
}

fn given_up(core: &Core, prepared: &Prepared) -> Result<NewRecords, Refusal> {
    let message = decode(prepared)?;
    let text = message.properties_str();
    let draft = Draft {
        topic: TRANS_CHECK_MAX_TIME_TOPIC.to_owned(),
        queue_id: 0,
        sys_flag: message.sys_flag(),
        properties: Properties::parse(&text),
        ..draft(&message, Properties::parse(&text))?
    };
    draft.encode(core, false)
}

/// CHECK_TRANSACTION_STATE 39, to some member of the producer group; its answer is an END_TRANSACTION.
fn ask(core: &Core, prepared: &Prepared, checks: i32) -> Result<(), Refusal> {
    let message = decode(prepared)?;
    let group = message.property(keys::PRODUCER_GROUP).unwrap_or_default();
    let Some(peer) = core.producers.any_of(group) else {
        tracing::debug!(group, "nobody to ask how a transaction ended");
        return Ok(());
    };
    let header = CheckTransactionStateRequestHeader {
        topic: Some(TRANS_HALF_TOPIC.to_owned()),
        tran_state_table_offset: message.queue_offset(),
        commit_log_offset: message.physical_offset(),
        msg_id: message.unique_key().map(str::to_owned),
        transaction_id: message.unique_key().map(str::to_owned),
        offset_msg_id: Some(message.offset_msg_id()),
        broker_name: Some(core.config.broker_name.clone()),
    };
    let question = RemotingCommand::request(RequestCode::CHECK_TRANSACTION_STATE, &header);
    peer.push(question.with_body(shown(&message, checks)?));
    Ok(())
}

/// The prepared message as producers are shown it: under its own topic.
fn shown(message: &MessageExt, checks: i32) -> Result<bytes::Bytes, Refusal> {
    let text = message.properties_str();
    let mut properties = Properties::parse(&text);
    properties.put(CHECK_TIMES, checks.to_string());
    let topic = properties.get(keys::REAL_TOPIC).unwrap_or_default().to_owned();
    let queue_id = properties.number(keys::REAL_QUEUE_ID).and_then(|id| i32::try_from(id).ok()).unwrap_or(0);
    let record = MessageRecord {
        topic,
        queue_id,
        properties: properties.encode().into(),
        ..MessageRecord::from(message)
    };
    let mut bytes = bytes::BytesMut::with_capacity(record.encoded_len());
    let encoded = record.encode(&mut bytes);
    encoded.map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    Ok(bytes.freeze())
}

fn decode(prepared: &Prepared) -> Result<MessageExt, Refusal> {
    MessageExt::decode(prepared.record.clone())
        .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))
}
