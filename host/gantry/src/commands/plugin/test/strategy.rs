//! A question to a strategy: every member's share, and whether the shares fit together as a host demands.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_engine::{MessageQueue, StrategyModule};
use serde_json::json;

use super::compare::Actual;
use super::lines::Question;
use super::queues::name;

/// What a host allows.
const DEADLINE: Duration = Duration::from_secs(1);

/// Asks for each member, as a host does.
pub(super) fn ask(strategy: &StrategyModule, question: &Question) -> Actual {
    let Question { consumer_group, queues, members } = question;
    let mut shares = BTreeMap::new();
    for member in members {
        match strategy.allocate(consumer_group, member, queues, members, DEADLINE) {
            Ok(share) => shares.insert(member.as_str(), share),
            Err(failure) => return Actual::failed(failure.name(), format!("asked for {member}: {failure}")),
        };
    }
    let unsound = unsound(queues, &shares);
    let named: BTreeMap<_, Vec<_>> =
        shares.iter().map(|(member, share)| (member, share.iter().map(name).collect())).collect();
    Actual { value: json!(named), sound: unsound.is_none(), note: unsound }
}

/// The first rule of a division that the shares break: a host would not obey them.
fn unsound(queues: &[MessageQueue], shares: &BTreeMap<&str, Vec<MessageQueue>>) -> Option<String> {
    let mut owners: BTreeMap<&MessageQueue, Vec<&str>> =
        queues.iter().map(|queue| (queue, Vec::new())).collect();
    for (member, share) in shares {
        for queue in share {
            match owners.get_mut(queue) {
                Some(owners) => owners.push(member),
                None => {
                    return Some(format!("unsound: {member} is given {}, which is no queue", name(queue)));
                }
            }
        }
    }
    let fault = |(queue, owners): (&&MessageQueue, &Vec<&str>)| match owners.as_slice() {
        [] => Some(format!("unsound: {} is nobody's", name(queue))),
        [_] => None,
        several => Some(format!("unsound: {} is given to {}", name(queue), several.join(" and "))),
    };
    owners.iter().find_map(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(queue_id: u32) -> MessageQueue {
        MessageQueue { topic: "t".into(), broker_name: "b".into(), queue_id }
    }

    #[test]
    fn a_division_gives_each_queue_one_owner() {
        let queues = [queue(0), queue(1)];
        let told = |a: &[u32], b: &[u32]| {
            let share = |ids: &[u32]| ids.iter().map(|id| queue(*id)).collect();
            unsound(&queues, &BTreeMap::from([("a", share(a)), ("b", share(b))]))
        };
        assert_eq!(told(&[0], &[1]), None);
        assert_eq!(told(&[0], &[]).as_deref(), Some("unsound: b:1 is nobody's"));
        assert_eq!(told(&[0, 1], &[1]).as_deref(), Some("unsound: b:1 is given to a and b"));
        assert_eq!(told(&[0, 1], &[7]).as_deref(), Some("unsound: b is given b:7, which is no queue"));
    }
}
