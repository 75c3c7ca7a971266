//! What is said of messages that were sent.

use gantry_host::client_instance::SendReceipt;
use gantry_protocol::MessageExt;
use serde_json::{Value, json};

use super::source::Item;
use crate::commands::{print_json, stored};

/// What became of a parcel.
pub(super) enum Sent {
    Stored(SendReceipt),
    /// Handed to the connection.
    OneWay,
    Reply(Box<MessageExt>),
}

/// How it is said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    pub(super) json: bool,
    /// Whether there is but one message, which is worth a sentence.
    pub(super) single: bool,
}

impl Show {
    pub(super) fn sent(self, parcel: &[Item], sent: &Sent) -> anyhow::Result<()> {
        match sent {
            Sent::Reply(reply) if !self.json => say!("{}", stored::body_text(reply)),
            Sent::Stored(receipt) if self.single && !self.json => say(receipt),
            _ if !self.json => {}
            Sent::Reply(reply) => print_json(&with_line(parcel.first(), stored::to_json(reply)?))?,
            Sent::OneWay => {
                for item in parcel {
                    print_json(&with_line(
                        Some(item),
                        json!({ "topic": item.message.topic, "oneWay": true }),
                    ))?;
                }
            }
            Sent::Stored(receipt) => {
                for (item, value) in parcel.iter().zip(each(receipt)) {
                    print_json(&with_line(Some(item), value))?;
                }
            }
        }
        Ok(())
    }
}

fn say(receipt: &SendReceipt) {
    let SendReceipt { message_id, queue, queue_offset, .. } = receipt;
    say!(
        "sent {message_id} to {}, queue {} of {}, offset {queue_offset}",
        queue.topic,
        queue.queue_id,
        queue.broker_name
    );
    if let Some(handle) = &receipt.recall_handle {
        say!("recall handle {handle}");
    }
}

/// Each message of a receipt: of a batch, ids are separated by commas and offsets follow each other.
fn each(receipt: &SendReceipt) -> impl Iterator<Item = Value> {
    let ids = receipt.message_id.split(',').zip(receipt.offset_msg_id.split(','));
    (receipt.queue_offset..).zip(ids).map(|(queue_offset, (message_id, offset_message_id))| {
        let mut value = json!({
            "messageId": message_id, "offsetMessageId": offset_message_id, "sendStatus": receipt.status.name(),
            "topic": &*receipt.queue.topic, "brokerName": &*receipt.queue.broker_name, "queueId": receipt.queue.queue_id,
            "queueOffset": queue_offset,
        });
        if let (Some(handle), Some(object)) = (&receipt.recall_handle, value.as_object_mut()) {
            object.insert("recallHandle".to_owned(), handle.as_str().into());
        }
        value
    })
}

fn with_line(item: Option<&Item>, mut value: Value) -> Value {
    if let (Some(line), Some(object)) = (item.and_then(|item| item.line), value.as_object_mut()) {
        object.insert("line".to_owned(), line.into());
    }
    value
}

#[cfg(test)]
mod tests {
    use gantry_host::client_instance::SendStatus;
    use gantry_protocol::MessageQueue;

    use super::*;

    #[test]
    fn a_batch_is_told_message_by_message() {
        let receipt = SendReceipt {
            status: SendStatus::FlushDiskTimeout,
            message_id: "A,B".to_owned(),
            offset_msg_id: "1,2".to_owned(),
            queue: MessageQueue::new("t", "broker-a", 3),
            queue_offset: 41,
            recall_handle: None,
        };
        let told: Vec<_> = each(&receipt).collect();
        let expected = |id: &str, place: &str, offset: i64| {
            json!({ "messageId": id, "offsetMessageId": place, "sendStatus": "FLUSH_DISK_TIMEOUT", "topic": "t",
                "brokerName": "broker-a", "queueId": 3, "queueOffset": offset })
        };
        assert_eq!(told, [expected("A", "1", 41), expected("B", "2", 42)]);
    }
}
