//! A rule for which queues are whose, and how it becomes a component's export.

pub use crate::bindings::listener::gantry::rocketmq::types::MessageQueue;
use crate::bindings::strategy::exports::gantry::rocketmq::strategy::StrategyDescription as WitDescription;

/// A rule by which every member of a group, each for itself, comes to the same division of a topic's queues (RocketMQ:
/// `AllocateMessageQueueStrategy`).
///
/// ```
/// use gantry_guest::{MessageQueue, Strategy, StrategyDescription};
///
/// /// Queue by queue, round the members.
/// struct Round;
///
/// impl Strategy for Round {
///     fn describe() -> StrategyDescription {
///         StrategyDescription::new("round")
///     }
///     fn allocate(
///         _group: &str,
///         me: &str,
///         queues: &[MessageQueue],
///         members: &[String],
///     ) -> Result<Vec<MessageQueue>, String> {
///         let place = members.iter().position(|member| member == me).ok_or("not a member")?;
///         Ok(queues.iter().skip(place).step_by(members.len()).cloned().collect())
///     }
/// }
///
/// gantry_guest::export_strategy!(Round);
/// ```
pub trait Strategy {
    /// What the strategy is called.
    ///
    /// Called once per version, before it serves: it must always answer the same and have no effects. A panic rejects the
    /// file; the version that serves stays.
    fn describe() -> StrategyDescription;

    /// The queues of `current_client_id`. `queues`, all of one topic, and `client_ids` are sorted, and the same at every
    /// member.
    ///
    /// Called at each rebalance for every member of the group, each time in a new instance: the answer must depend on the
    /// arguments alone, since every member works it out for itself. The host obeys only once it has seen that the answers for all members fit together:
    /// every queue one member's, and no other queue anybody's.
    ///
    /// # Errors
    /// There is no answer, in words for the log: the operator's fallback divides, else the group keeps the queues it has. A
    /// panic (a trap) or taking longer than 1 s is the same.
    fn allocate(
        consumer_group: &str,
        current_client_id: &str,
        queues: &[MessageQueue],
        client_ids: &[String],
    ) -> Result<Vec<MessageQueue>, String>;
}

/// What a strategy says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct StrategyDescription(WitDescription);

impl StrategyDescription {
    /// A strategy called `name`: 1 to 64 of `A-Z a-z 0-9 _ -`.
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
pub fn describe<S: Strategy>(package_version: &str) -> WitDescription {
    let StrategyDescription(mut description) = S::describe();
    if description.version.is_empty() {
        description.version = package_version.to_owned();
    }
    description
}

/// Makes a type that implements [`Strategy`] the plugin's: exports the WIT world
/// `gantry:rocketmq/allocate-message-queue-strategy`.
///
/// Once per crate, at module level; a crate may have a listener beside it. Where the target is not `wasm32` it exports
/// nothing, and only makes sure that it could.
#[macro_export]
macro_rules! export_strategy {
    ($strategy:ty) => {
        const _: fn(&str) -> $crate::__private::WitStrategyDescription =
            $crate::__private::describe_strategy::<$strategy>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct ExportedStrategy;

            impl $crate::__private::StrategyGuest for ExportedStrategy {
                fn describe() -> $crate::__private::WitStrategyDescription {
                    $crate::__private::describe_strategy::<$strategy>(env!("CARGO_PKG_VERSION"))
                }

                fn allocate(
                    consumer_group: String,
                    current_client_id: String,
                    queues: Vec<$crate::MessageQueue>,
                    client_ids: Vec<String>,
                ) -> Result<Vec<$crate::MessageQueue>, String> {
                    <$strategy as $crate::Strategy>::allocate(
                        &consumer_group,
                        &current_client_id,
                        &queues,
                        &client_ids,
                    )
                }
            }

    $crate::bindings::strategy::export_allocate_message_queue_strategy!(ExportedStrategy with_types_in $crate::bindings::strategy);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Strategy for Nothing {
        fn describe() -> StrategyDescription {
            StrategyDescription::new("nothing")
        }

        fn allocate(_: &str, _: &str, _: &[MessageQueue], _: &[String]) -> Result<Vec<MessageQueue>, String> {
            Ok(Vec::new())
        }
    }

    export_strategy!(Nothing);

    #[test]
    fn a_description_without_version_has_the_packages() {
        assert_eq!(describe::<Nothing>("1.2.3").version, "1.2.3");
        let described = StrategyDescription::new("nothing").version("blue");
        assert_eq!((&*described.0.name, &*described.0.version), ("nothing", "blue"));
    }
}
