//! A listener that takes its time, as one that calls a database does.

use std::sync::Arc;
use std::time::Duration;

use gantry_host::{ConsumeContext, ConsumeResult, ListenerDescription, MessageBatch, NativeListener};

use crate::ledger::Scribe;

/// Sleeps 2 to 4 ms over each message, writes it down, and succeeds.
#[derive(Debug, Clone)]
pub struct Sleeper {
    description: ListenerDescription,
    scribe: Arc<Scribe>,
}

impl Sleeper {
    /// Its name as a listener, to which `[plugin.sleeper]` in the configuration applies.
    pub const NAME: &str = "sleeper";

    /// A member of `group`, subscribed to every message of `topic`.
    pub fn new(group: &str, topic: &str, scribe: Scribe) -> Self {
        let description = ListenerDescription::new(Self::NAME, group, topic);
        Self { description, scribe: Arc::new(scribe) }
    }
}

impl NativeListener for Sleeper {
    fn describe(&self) -> ListenerDescription {
        self.description.clone()
    }

    fn consume(&self, context: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
        for index in 0..batch.len() {
            let message = batch.message(index);
            std::thread::sleep(Duration::from_micros(2_000 + scattered(message.queue_offset) % 2_001));
            self.scribe.consumed(
                i32::try_from(context.queue_id).unwrap(),
                i64::try_from(message.queue_offset).unwrap(),
                i64::try_from(message.store_timestamp).unwrap(),
            );
        }
        vec![ConsumeResult::Success; batch.len()]
    }
}

/// A number that looks like chance and is the same each time (Knuth's multiplicative hash).
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(2_654_435_761) >> 7
}
