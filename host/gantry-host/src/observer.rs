//! What happens in a host, told as it happens. The demo's live view and tests listen here.

use std::sync::Arc;

use gantry_protocol::MessageExt;

/// How one message ended in a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettledAs {
    /// Done.
    Success,
    /// Given back to come again at this delay level (0: the broker's own schedule by attempts).
    ReconsumeLater {
        /// RocketMQ's delay level, 0 to 18.
        level: u8,
    },
    /// To the dead-letter topic, with the listener's reason.
    DeadLetter {
        /// The reason the listener gave.
        reason: String,
    },
    /// Failed in a broadcasting group: there is nobody to give it back to.
    Dropped {
        /// The reason the listener gave, if it gave one.
        reason: String,
    },
}

/// One message's end in a listener.
#[derive(Debug)]
pub struct Settled<'a> {
    /// The consumer group.
    pub group: &'a str,
    /// The plugin's file name without `.wasm`.
    pub plugin: &'a str,
    /// The plugin's version as it describes itself.
    pub version: &'a str,
    /// The message as it came from the broker.
    pub message: &'a MessageExt,
    /// The topic it was sent to, also when it comes back from the retry topic.
    pub topic: &'a str,
    /// How often it had come back before.
    pub reconsume_times: i32,
    /// How it ended.
    pub as_: SettledAs,
    /// The failure behind it, if the listener did not answer itself: a trap, a deadline, ...
    pub failure: Option<&'a str>,
}

/// A change in a plugin's life.
#[derive(Debug, Clone)]
pub struct PluginChange {
    /// The plugin's file name without `.wasm`.
    pub plugin: String,
    /// The new state.
    pub state: &'static str,
    /// The version as the plugin describes itself, once known.
    pub version: Option<String>,
    /// Why, where there is something to say.
    pub reason: Option<String>,
}

/// Listens to a host. Calls come from the host's threads and must return at once.
pub trait Observer: Send + Sync + 'static {
    /// Whether it wants to hear of messages. It is asked now and then, not for each.
    fn watches_messages(&self) -> bool {
        true
    }
    /// A message was settled by a listener.
    fn settled(&self, _settled: &Settled<'_>) {}
    /// A plugin's state changed.
    fn plugin_changed(&self, _change: &PluginChange) {}
}

/// No one listens.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn watches_messages(&self) -> bool {
        false
    }
}

/// A shared observer.
pub type SharedObserver = Arc<dyn Observer>;
