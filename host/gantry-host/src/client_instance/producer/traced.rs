//! What is told of a send where traces are wanted.

use gantry_protocol::message_id::parse_offset_msg_id;
use gantry_protocol::trace::{DEFAULT_REGION, MessageKind, Published, TraceBody};
use tokio::time::Instant;

use super::message::{Delay, OutgoingMessage};
use super::prepare::now_ms;
use super::{Producer, SendReceipt};

/// When a send began.
#[derive(Clone, Copy)]
pub(super) struct Began {
    timestamp: u64,
    instant: Instant,
}

impl Began {
    pub(super) fn now() -> Self {
        Self { timestamp: now_ms(), instant: Instant::now() }
    }
}

impl Producer {
    pub(super) fn trace(&self, message: &OutgoingMessage, receipt: &SendReceipt, began: Began) {
        let config = &self.0.config;
        if let Some(traces) = &config.traces {
            traces.tell(published(&config.group, message, receipt, began));
        }
    }
}

/// The trace of a send that the broker took.
fn published(group: &str, message: &OutgoingMessage, receipt: &SendReceipt, began: Began) -> TraceBody {
    let store_host = parse_offset_msg_id(&receipt.offset_msg_id).map(|(host, _)| host.to_string());
    let mut body = TraceBody::default();
    body.published(&Published {
        timestamp: began.timestamp,
        region: DEFAULT_REGION,
        group,
        topic: &message.topic,
        message_id: &receipt.message_id,
        tags: message.tag.as_deref().unwrap_or_default(),
        keys: &message.keys.join(" "),
        store_host: &store_host.unwrap_or_default(),
        body_length: message.body.len(),
        cost: u64::try_from(began.instant.elapsed().as_millis()).unwrap_or(u64::MAX),
        kind: if message.delay == Delay::None { MessageKind::Normal } else { MessageKind::Delay },
        offset_message_id: &receipt.offset_msg_id,
        success: true,
    });
    body
}
