//! Allocation by the broker: QUERY_ASSIGNMENT 400 and SET_MESSAGE_REQUEST_MODE 401 (RocketMQ:
//! QueryAssignmentProcessor).

use std::collections::BTreeSet;

use gantry_protocol::body::{
    MessageModel, MessageQueueAssignment, MessageRequestMode, QueryAssignmentRequestBody,
    QueryAssignmentResponseBody, SetMessageRequestModeRequestBody,
};
use gantry_protocol::{RemotingCommand, ResponseCode, names};
use serde_json::json;

use super::admin::message_queue;
use super::{Answer, read_json, success, with_json};
use crate::core::{Core, Refusal};
use crate::store::Settings;

/// Stands for every queue of the broker.
const ANY_QUEUE: i32 = -1;

/// SET_MESSAGE_REQUEST_MODE 401.
pub(super) async fn set_mode(core: &Core, request: &RemotingCommand) -> Answer {
    let mode: SetMessageRequestModeRequestBody = read_json(request)?;
    if names::is_retry(&mode.topic) {
        let remark = "retry topic is not allowed to set mode";
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    let text = serde_json::to_string(&mode)
        .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    let name = format!("{}@{}", mode.topic, mode.consumer_group);
    core.store.put(Settings::RequestMode, name, text).await?;
    if core.settings.put_mode(mode, core.config.limits.topics) {
        return Ok(success());
    }
    let remark = format!("the broker has {} request modes already", core.config.limits.topics);
    Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark))
}

/// QUERY_ASSIGNMENT 400: what one client shall consume of a topic.
pub(super) fn query(core: &Core, request: &RemotingCommand) -> Answer {
    let asked: QueryAssignmentRequestBody = read_json(request)?;
    let clients = core.groups.client_ids(&asked.consumer_group);
    let topic = core.topics.get(&asked.topic);
    let broadcast = asked.message_model == MessageModel::Broadcasting;
    let member = clients.contains(&asked.client_id);
    let Some(topic) = topic.filter(|_| member || broadcast) else { return with_json(&json!({})) };
    let mode = core.settings.mode(&asked.consumer_group, &asked.topic);
    let (mode, share) =
        mode.map_or((MessageRequestMode::Pull, 0), |mode| (mode.mode, mode.pop_share_queue_num));
    let queues: Vec<i32> = (0..topic.read_queue_nums).collect();
    let by_circle = match asked.strategy_name.as_str() {
        "AVG" => false,
        "AVG_BY_CIRCLE" => true,
        other => {
            let remark = format!("QueryAssignment unsupported strategy {other}");
            return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
        }
    };
    let own = if broadcast {
        queues.into_iter().collect()
    } else if mode == MessageRequestMode::Pop {
        popped(&queues, &clients, &asked.client_id, by_circle, share)
    } else {
        allocated(&queues, &clients, &asked.client_id, by_circle).into_iter().collect()
    };
    let assignment = |queue_id: i32| MessageQueueAssignment {
        attachments: Default::default(),
        message_queue: message_queue(core, &asked.topic, queue_id),
        mode,
    };
    let message_queue_assignments = own.into_iter().map(assignment).collect();
    with_json(&QueryAssignmentResponseBody { message_queue_assignments })
}

/// What a popping client looks at: every queue, or its own ones and those of the `share` clients after it.
fn popped(queues: &[i32], clients: &[String], client: &str, by_circle: bool, share: i32) -> BTreeSet<i32> {
    let share = usize::try_from(share).unwrap_or(0);
    if share == 0 || share + 1 >= clients.len() {
        return [ANY_QUEUE].into();
    }
    let Some(index) = clients.iter().position(|known| known == client) else { return BTreeSet::new() };
    if clients.len() > queues.len() {
        // So that nobody is without a queue.
        return index.checked_rem(queues.len()).and_then(|at| queues.get(at)).copied().into_iter().collect();
    }
    let sharers = clients.iter().cycle().skip(index).take(share + 1);
    sharers.flat_map(|sharer| allocated(queues, clients, sharer, by_circle)).collect()
}

/// A client's queues: a run of them, or every so many.
fn allocated(queues: &[i32], clients: &[String], client: &str, by_circle: bool) -> Vec<i32> {
    let Some(index) = clients.iter().position(|known| known == client) else { return Vec::new() };
    if by_circle {
        return queues.iter().copied().skip(index).step_by(clients.len().max(1)).collect();
    }
    let (each, more) = (queues.len() / clients.len(), queues.len() % clients.len());
    let start = index * each + index.min(more);
    queues.iter().copied().skip(start).take(each + usize::from(index < more)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("c{number}")).collect()
    }

    #[test]
    fn queues_are_shared_in_runs_or_in_turn() {
        let queues = [0, 1, 2, 3, 4];
        let all = clients(3);
        let runs: Vec<_> = all.iter().map(|client| allocated(&queues, &all, client, false)).collect();
        assert_eq!(runs, [vec![0, 1], vec![2, 3], vec![4]]);
        let turns: Vec<_> = all.iter().map(|client| allocated(&queues, &all, client, true)).collect();
        assert_eq!(turns, [vec![0, 3], vec![1, 4], vec![2]]);
        assert_eq!(allocated(&queues, &all, "other", false), Vec::<i32>::new());
        assert_eq!(allocated(&[0], &all, "c2", false), Vec::<i32>::new());
    }

    #[test]
    fn popping_clients_share_all_queues_unless_told_how_many() {
        let queues = [0, 1, 2, 3];
        let of = |count, client: &str, share| popped(&queues, &clients(count), client, false, share);
        assert_eq!(of(2, "c0", 0), [-1].into());
        assert_eq!(of(2, "c0", 1), [-1].into());
        assert_eq!(of(4, "c3", 1), [0, 3].into());
        assert_eq!(of(6, "c5", 1), [1].into());
    }
}
