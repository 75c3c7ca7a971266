//! Contiguous ranges.

use gantry_protocol::MessageQueue;

use super::{AllocateError, AllocateMessageQueueStrategy, position};

/// Contiguous ranges; the first members get one more where it does not come out even (RocketMQ:
/// AllocateMessageQueueAveragely).
#[derive(Debug, Clone, Copy, Default)]
pub struct AllocateMessageQueueAveragely;

impl AllocateMessageQueueStrategy for AllocateMessageQueueAveragely {
    fn name(&self) -> &str {
        "AVG"
    }

    fn allocate(
        &self,
        _consumer_group: &str,
        current_client_id: &str,
        queues: &[MessageQueue],
        client_ids: &[String],
    ) -> Result<Vec<MessageQueue>, AllocateError> {
        let index = position(current_client_id, queues, client_ids)?;
        let members = client_ids.len();
        let (share, rest) = (queues.len() / members, queues.len() % members);
        let (start, len) =
            if index < rest { (index * (share + 1), share + 1) } else { (index * share + rest, share) };
        Ok(queues.iter().skip(start).take(len).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Java's own arithmetic (AllocateMessageQueueAveragely.allocate), line by line, as the model.
    fn java(queues: usize, members: usize, index: usize) -> Vec<usize> {
        let modulo = queues % members;
        let average = if queues <= members {
            1
        } else if modulo > 0 && index < modulo {
            queues / members + 1
        } else {
            queues / members
        };
        let start = if modulo > 0 && index < modulo { index * average } else { index * average + modulo };
        let range = (queues as i64 - start as i64).min(average as i64);
        (0..range.max(0) as usize).map(|i| (start + i) % queues).collect()
    }

    fn queues(count: usize) -> Vec<MessageQueue> {
        (0..count).map(|id| MessageQueue::new("t", "b", id as i32)).collect()
    }

    fn clients(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("c{n:03}")).collect()
    }

    fn ids(count: usize, members: usize, index: usize) -> Vec<usize> {
        let (queues, clients) = (queues(count), clients(members));
        let own = AllocateMessageQueueAveragely.allocate("g", &clients[index], &queues, &clients).unwrap();
        own.iter().map(|mq| mq.queue_id as usize).collect()
    }

    #[test]
    fn averagely_reads_like_the_table() {
        let table = include_str!("../testdata/allocate_averagely.txt");
        for line in table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let (shape, expected) = line.split_once("->").unwrap();
            let [count, members] =
                shape.split('/').map(|n| n.trim().parse().unwrap()).collect::<Vec<_>>()[..]
            else {
                panic!("queues / members in {line:?}")
            };
            let got: Vec<String> = (0..members)
                .map(|index| {
                    ids(count, members, index).iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
                })
                .collect();
            let expected: Vec<&str> = expected.split('|').map(str::trim).collect();
            assert_eq!(got, expected, "{line}");
        }
    }

    #[test]
    fn averagely_equals_java_for_every_small_shape() {
        for count in 1..40 {
            for members in 1..40 {
                for index in 0..members {
                    assert_eq!(
                        ids(count, members, index),
                        java(count, members, index),
                        "{count}/{members}/{index}"
                    );
                }
            }
        }
    }

    #[test]
    fn averagely_refuses_a_client_that_is_no_member() {
        let refused = AllocateMessageQueueAveragely.allocate("g", "stranger", &queues(4), &clients(2));
        assert_eq!(refused, Err(AllocateError::NotAMember { client_id: "stranger".to_owned(), members: 2 }));
    }
}
