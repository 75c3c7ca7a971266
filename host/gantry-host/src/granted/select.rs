//! Who is asked for the queue of a message sent through a selector plugin.

use std::sync::Arc;

use gantry_engine::OutgoingMessage;
use gantry_protocol::MessageQueue;

/// Asks the selector plugin of a name for the index of a queue. It may block, for a second or so.
pub(crate) type SelectByPlugin =
    Arc<dyn Fn(&str, &[MessageQueue], &OutgoingMessage, &str) -> Result<usize, String> + Send + Sync>;

/// What answers where no plugin is a selector.
#[cfg(test)]
pub(crate) fn no_selectors() -> SelectByPlugin {
    Arc::new(|name, _, _, _| Err(format!("there is no selector plugin {name}")))
}
