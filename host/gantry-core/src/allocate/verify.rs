//! Whether a strategy's answers to all members fit together.

use std::collections::BTreeMap;

use gantry_protocol::MessageQueue;
use thiserror::Error;

use super::{AllocateError, AllocateMessageQueueStrategy};

/// Which rule an allocation breaks, seen over the whole group.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AllocationFault {
    /// A member gets no answer.
    #[error("{strategy} refuses to answer {client_id}: {error}")]
    Refused {
        /// The strategy's name.
        strategy: String,
        /// The member.
        client_id: String,
        /// Why.
        error: AllocateError,
    },
    /// Asked the same twice, the strategy gives two answers: other queues, or another order.
    #[error(
        "{strategy} answers {client_id} differently when asked again; it must depend on nothing but its input"
    )]
    Unstable {
        /// The strategy's name.
        strategy: String,
        /// The member.
        client_id: String,
    },
    /// A member gets a queue that there is not.
    #[error("{strategy} gives {client_id} {queue}, which is not among the queues to allocate")]
    Unknown {
        /// The strategy's name.
        strategy: String,
        /// The member.
        client_id: String,
        /// The queue.
        queue: MessageQueue,
    },
    /// A queue is given twice.
    #[error("{strategy} gives {queue} both to {first} and to {second}; each queue has one owner")]
    Doubled {
        /// The strategy's name.
        strategy: String,
        /// The queue.
        queue: MessageQueue,
        /// Who gets it.
        first: String,
        /// Who gets it too; it may be the same member.
        second: String,
    },
    /// A queue is given to nobody: its messages would wait for ever.
    #[error("{strategy} gives {queue} to none of the {members} members")]
    Lost {
        /// The strategy's name.
        strategy: String,
        /// The queue.
        queue: MessageQueue,
        /// How many there are.
        members: usize,
    },
}

/// Asks a strategy, for every member of a group, which queues it gets, and holds the answers against each other: each
/// queue to exactly one member, no other queues, and the same answer each time. `queues` and `members` are sorted.
///
/// `MACHINE_ROOM` and `CONFIG` do not hold to this, by intention: queues of other rooms are nobody's, and every member
/// has its own list.
///
/// # Errors
/// The first rule that is broken, by members in their order; that a queue is lost shows last.
pub fn verify_allocation(
    strategy: &dyn AllocateMessageQueueStrategy,
    consumer_group: &str,
    queues: &[MessageQueue],
    members: &[String],
) -> Result<(), AllocationFault> {
    let mut answers = Vec::with_capacity(members.len());
    for client_id in members {
        answers.push((client_id.clone(), answer(strategy, consumer_group, client_id, queues, members)?));
    }
    verify_division(strategy.name(), queues, answers)
}

/// Holds the answers to the members against each other: each of `queues` to exactly one, and no other queues.
///
/// # Errors
/// The first rule that is broken, in the order of the answers; that a queue is lost shows last.
pub fn verify_division(
    strategy: &str,
    queues: &[MessageQueue],
    answers: impl IntoIterator<Item = (String, Vec<MessageQueue>)>,
) -> Result<(), AllocationFault> {
    let name = || strategy.to_owned();
    let mut owners: BTreeMap<&MessageQueue, Option<String>> = queues.iter().map(|mq| (mq, None)).collect();
    let mut members = 0;
    for (client_id, answer) in answers {
        members += 1;
        for queue in answer {
            let Some(owner) = owners.get_mut(&queue) else {
                return Err(AllocationFault::Unknown {
                    strategy: name(),
                    client_id: client_id.clone(),
                    queue,
                });
            };
            if let Some(first) = owner.replace(client_id.clone()) {
                let second = client_id;
                return Err(AllocationFault::Doubled { strategy: name(), queue, first, second });
            }
        }
    }
    match owners.into_iter().find(|(_, owner)| owner.is_none()) {
        Some((lost, _)) => Err(AllocationFault::Lost { strategy: name(), queue: lost.clone(), members }),
        None => Ok(()),
    }
}

fn answer(
    strategy: &dyn AllocateMessageQueueStrategy,
    consumer_group: &str,
    client_id: &str,
    queues: &[MessageQueue],
    members: &[String],
) -> Result<Vec<MessageQueue>, AllocationFault> {
    let ask = || strategy.allocate(consumer_group, client_id, queues, members);
    let first = ask();
    if first != ask() {
        let (strategy, client_id) = (strategy.name().to_owned(), client_id.to_owned());
        return Err(AllocationFault::Unstable { strategy, client_id });
    }
    first.map_err(|error| AllocationFault::Refused {
        strategy: strategy.name().to_owned(),
        client_id: client_id.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::allocate::{NAMES, NEARBY, by_name};

    /// A strategy that is whatever a test makes of it.
    struct Wrong<F>(F);

    impl<F> AllocateMessageQueueStrategy for Wrong<F>
    where
        F: Fn(&str, &[MessageQueue]) -> Result<Vec<MessageQueue>, AllocateError> + Send,
    {
        fn name(&self) -> &str {
            "WRONG"
        }

        fn allocate(
            &self,
            _consumer_group: &str,
            current_client_id: &str,
            queues: &[MessageQueue],
            _client_ids: &[String],
        ) -> Result<Vec<MessageQueue>, AllocateError> {
            (self.0)(current_client_id, queues)
        }
    }

    fn queue(id: i32) -> MessageQueue {
        MessageQueue::new("t", "hz@b", id)
    }

    /// Verifies `wrong` over queues 0 to 3 and members `x@a` and `x@b`.
    fn fault(
        wrong: impl Fn(&str, &[MessageQueue]) -> Result<Vec<MessageQueue>, AllocateError> + Send,
    ) -> AllocationFault {
        let members = ["x@a".to_owned(), "x@b".to_owned()];
        verify_allocation(&Wrong(wrong), "g", &[0, 1, 2, 3].map(queue), &members).unwrap_err()
    }

    #[test]
    fn every_named_strategy_is_sound() {
        let nearby = NAMES.map(|inner| format!("{NEARBY}{inner}"));
        for name in NAMES.into_iter().chain(nearby.iter().map(String::as_str)) {
            for (queues, members) in [(1, 1), (7, 3), (3, 7), (16, 16)] {
                let queues: Vec<_> = (0..queues).map(queue).collect();
                let members: Vec<_> =
                    (0..members).map(|n| format!("{}@{n:02}", ["hz", "sh"][n % 2])).collect();
                let strategy = by_name(name).unwrap();
                assert_eq!(verify_allocation(&*strategy, "g", &queues, &members), Ok(()), "{name}");
            }
        }
    }

    #[test]
    fn a_queue_for_nobody_is_lost() {
        let fault = fault(|id, queues| Ok(if id == "x@a" { queues[..3].to_vec() } else { Vec::new() }));
        assert_eq!(fault, AllocationFault::Lost { strategy: "WRONG".into(), queue: queue(3), members: 2 });
        assert!(fault.to_string().contains("queueId=3"));
    }

    #[test]
    fn a_queue_for_two_is_doubled() {
        let fault = fault(|id, queues| Ok(queues[if id == "x@a" { 0..3 } else { 2..4 }].to_vec()));
        let (first, second) = ("x@a".into(), "x@b".into());
        assert_eq!(
            fault,
            AllocationFault::Doubled { strategy: "WRONG".into(), queue: queue(2), first, second }
        );
    }

    #[test]
    fn a_queue_given_twice_to_one_is_doubled() {
        let fault = fault(|_, queues| Ok([queues, &[queue(1)]].concat()));
        let (first, second) = ("x@a".into(), "x@a".into());
        assert_eq!(
            fault,
            AllocationFault::Doubled { strategy: "WRONG".into(), queue: queue(1), first, second }
        );
    }

    #[test]
    fn a_queue_out_of_thin_air_is_unknown() {
        let fault = fault(|_, _| Ok(vec![queue(0), queue(4)]));
        let client_id = "x@a".into();
        assert_eq!(fault, AllocationFault::Unknown { strategy: "WRONG".into(), client_id, queue: queue(4) });
    }

    #[test]
    fn another_order_each_time_is_unstable() {
        let asked = Cell::new(0);
        let fault = fault(move |_, queues| {
            let mut queues = queues.to_vec();
            queues.rotate_left(asked.replace(asked.get() + 1) % 2);
            Ok(queues)
        });
        assert_eq!(fault, AllocationFault::Unstable { strategy: "WRONG".into(), client_id: "x@a".into() });
    }

    #[test]
    fn no_answer_for_one_member_is_told_with_its_reason() {
        let fault = fault(|id, queues| match id {
            "x@a" => Ok(queues.to_vec()),
            _ => Err(AllocateError::Unsound("out of ideas".into())),
        });
        assert_eq!(fault.to_string(), "WRONG refuses to answer x@b: out of ideas");
    }
}
