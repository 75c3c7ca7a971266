//! A rule for which queue a message is sent to, and how it becomes a component's export.

use crate::MessageQueue;
pub use crate::bindings::listener::gantry::rocketmq::types::{DeliveryTime, OutgoingMessage};
use crate::bindings::selector::exports::gantry::rocketmq::selector::SelectorDescription as WitDescription;

/// A rule that gives each message that is sent its queue (RocketMQ: `MessageQueueSelector`).
///
/// ```
/// use gantry_guest::{MessageQueue, OutgoingMessage, Selector, SelectorDescription};
///
/// /// By the number the sender gives, such as a customer's.
/// struct ByNumber;
///
/// impl Selector for ByNumber {
///     fn describe() -> SelectorDescription {
///         SelectorDescription::new("by-number")
///     }
///     fn select(queues: &[MessageQueue], _: &OutgoingMessage, arg: &str) -> Result<usize, String> {
///         let number: usize = arg.parse().map_err(|_| format!("{arg} is not a number"))?;
///         Ok(number % queues.len())
///     }
/// }
///
/// gantry_guest::export_selector!(ByNumber);
/// ```
pub trait Selector {
    /// What the selector is called.
    ///
    /// Called once per version, before it serves: it must always answer the same and have no effects. A panic rejects the
    /// file; the version that serves stays.
    fn describe() -> SelectorDescription;

    /// The index in `queues` of the queue that `message` goes to. `queues`, never empty, are the writable queues of the
    /// message's topic, sorted; `arg` is what the sender gave.
    ///
    /// Called for each message sent through it, on any instance, in parallel on several; one instance never runs two calls
    /// at once.
    ///
    /// # Errors
    /// There is no answer, in words for the log: the sender's fallback decides. A panic, taking longer than 1 s, or an index
    /// that no queue has is the same.
    fn select(queues: &[MessageQueue], message: &OutgoingMessage, arg: &str) -> Result<usize, String>;
}

/// What a selector says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectorDescription(WitDescription);

impl SelectorDescription {
    /// A selector called `name`: 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(WitDescription { name: name.into(), version: String::new() })
    }

    /// The plugin's own version, for people: up to 64 characters. Left out: the version in its `Cargo.toml`.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.0.version = version.into();
        self
    }
}

/// The WIT's `describe`; `package_version` stands in where no version was given.
pub fn describe<S: Selector>(package_version: &str) -> WitDescription {
    let SelectorDescription(mut description) = S::describe();
    if description.version.is_empty() {
        description.version = package_version.to_owned();
    }
    description
}

/// Makes a type that implements [`Selector`] the plugin's: exports the WIT world `gantry:rocketmq/message-queue-selector`.
///
/// Once per crate, at module level; a crate may have a listener and a strategy beside it. Where the target is not `wasm32` it
/// exports nothing, and only makes sure that it could.
#[macro_export]
macro_rules! export_selector {
    ($selector:ty) => {
        const _: fn(&str) -> $crate::__private::WitSelectorDescription =
            $crate::__private::describe_selector::<$selector>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct ExportedSelector;

            impl $crate::__private::SelectorGuest for ExportedSelector {
                fn describe() -> $crate::__private::WitSelectorDescription {
                    $crate::__private::describe_selector::<$selector>(env!("CARGO_PKG_VERSION"))
                }

                fn select(
                    queues: Vec<$crate::MessageQueue>,
                    message: $crate::OutgoingMessage,
                    arg: String,
                ) -> Result<u32, String> {
                    let index = <$selector as $crate::Selector>::select(&queues, &message, &arg)?;
                    Ok(u32::try_from(index).unwrap_or(u32::MAX))
                }
            }

    $crate::bindings::selector::export_message_queue_selector!(ExportedSelector with_types_in $crate::bindings::selector);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    struct First;

    impl Selector for First {
        fn describe() -> SelectorDescription {
            SelectorDescription::new("first")
        }

        fn select(_: &[MessageQueue], _: &OutgoingMessage, _: &str) -> Result<usize, String> {
            Ok(0)
        }
    }

    export_selector!(First);

    #[test]
    fn a_description_without_version_has_the_packages() {
        assert_eq!(describe::<First>("1.2.3").version, "1.2.3");
        let described = SelectorDescription::new("first").version("blue");
        assert_eq!((&*described.0.name, &*described.0.version), ("first", "blue"));
    }
}
