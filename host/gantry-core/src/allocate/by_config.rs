//! A fixed list.

use gantry_protocol::MessageQueue;

use super::{AllocateError, AllocateMessageQueueStrategy};

/// Always the same queues, whatever the topic has and whoever is a member (RocketMQ: AllocateMessageQueueByConfig).
///
/// That each queue is on the list of exactly one member is up to who writes the lists. Queues of a topic the list does
/// not name are nobody's, the group's retry topic among them.
#[derive(Debug, Clone, Default)]
pub struct AllocateMessageQueueByConfig {
    message_queue_list: Vec<MessageQueue>,
}

impl AllocateMessageQueueByConfig {
    /// With this member's list (RocketMQ: `setMessageQueueList`).
    pub fn new(message_queue_list: Vec<MessageQueue>) -> Self {
        Self { message_queue_list }
    }
}

impl AllocateMessageQueueStrategy for AllocateMessageQueueByConfig {
    fn name(&self) -> &str {
        "CONFIG"
    }

    fn allocate(
        &self,
        _consumer_group: &str,
        _current_client_id: &str,
        _queues: &[MessageQueue],
        _client_ids: &[String],
    ) -> Result<Vec<MessageQueue>, AllocateError> {
        Ok(self.message_queue_list.clone())
    }

    fn divides(&self) -> bool {
        false
    }
}
