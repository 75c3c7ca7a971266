//! One queue to each member in turn.

use gantry_protocol::MessageQueue;

use super::{AllocateError, AllocateMessageQueueStrategy, position};

/// The queues are dealt round: the first to the first member, the second to the second (RocketMQ:
/// AllocateMessageQueueAveragelyByCircle). As even as [`AllocateMessageQueueAveragely`](super::AllocateMessageQueueAveragely),
/// and each member gets queues of several brokers.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllocateMessageQueueAveragelyByCircle;

impl AllocateMessageQueueStrategy for AllocateMessageQueueAveragelyByCircle {
    fn name(&self) -> &str {
        "AVG_BY_CIRCLE"
    }

    fn allocate(
        &self,
        _consumer_group: &str,
        current_client_id: &str,
        queues: &[MessageQueue],
        client_ids: &[String],
    ) -> Result<Vec<MessageQueue>, AllocateError> {
        let index = position(current_client_id, queues, client_ids)?;
        Ok(queues.iter().skip(index).step_by(client_ids.len()).cloned().collect())
    }
}
