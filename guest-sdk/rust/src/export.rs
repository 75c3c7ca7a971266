//! From the trait to the component's exports.

use crate::bindings::listener::gantry::rocketmq::types;
use crate::{Context, Listener, Message, packed};

/// Makes a type that implements [`Listener`] the plugin: exports the WIT world `gantry:rocketmq/message-listener-packed`,
/// or `message-listener`, at several times the cost, where `records` is added: `export_listener!(Mine, records)`.
///
/// Once per crate, at module level. Where the target is not `wasm32` it exports nothing, and only makes sure that it
/// could.
#[macro_export]
macro_rules! export_listener {
    ($listener:ty) => {
        const _: fn(
            $crate::__private::ConsumeContext,
            Vec<u8>,
        ) -> Result<Vec<$crate::__private::ConsumeResult>, String> = $crate::__private::consume_packed::<$listener>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::__private::PackedGuest for Exported {
                fn describe() -> $crate::__private::ListenerDescription {
                    $crate::__private::describe::<$listener>(env!("CARGO_PKG_VERSION"))
                }

                fn consume_message(
                    context: $crate::__private::ConsumeContext,
                    batch: Vec<u8>,
                ) -> Result<Vec<$crate::__private::ConsumeResult>, String> {
                    $crate::__private::consume_packed::<$listener>(context, batch)
                }
            }

    $crate::bindings::packed::export_message_listener_packed!(Exported with_types_in $crate::bindings::packed);
        };
    };
    ($listener:ty, records) => {
        const _: fn(
            $crate::__private::ConsumeContext,
            Vec<$crate::__private::Message>,
        ) -> Result<Vec<$crate::__private::ConsumeResult>, String> = $crate::__private::consume::<$listener>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::__private::Guest for Exported {
                fn describe() -> $crate::__private::ListenerDescription {
                    $crate::__private::describe::<$listener>(env!("CARGO_PKG_VERSION"))
                }

                fn consume_message(
                    context: $crate::__private::ConsumeContext,
                    batch: Vec<$crate::__private::Message>,
                ) -> Result<Vec<$crate::__private::ConsumeResult>, String> {
                    $crate::__private::consume::<$listener>(context, batch)
                }
            }

    $crate::bindings::listener::export_message_listener!(Exported with_types_in $crate::bindings::listener);
        };
    };
}

/// The WIT's `describe`.
pub fn describe<L: Listener>(package_version: &str) -> types::ListenerDescription {
    L::describe().into_wit(package_version)
}

/// The WIT's `consume-message` of a listener that takes bytes.
///
/// # Errors
/// What the listener's own batch form returns; and bytes that are no messages.
pub fn consume_packed<L: Listener>(
    context: types::ConsumeContext,
    batch: Vec<u8>,
) -> Result<Vec<types::ConsumeResult>, String> {
    let batch = packed::split(batch, Message::packed)?;
    L::consume_batch(&Context(context), &batch)
}

/// The WIT's `consume-message` of a listener that takes records.
///
/// # Errors
/// What the listener's own batch form returns.
pub fn consume<L: Listener>(
    context: types::ConsumeContext,
    batch: Vec<types::Message>,
) -> Result<Vec<types::ConsumeResult>, String> {
    let batch: Vec<Message> =
        (0..).zip(batch).map(|(index, record)| Message::delivered(record, index)).collect();
    L::consume_batch(&Context(context), &batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConsumeResult, Description, Failure, RetryDelay};

    struct ByTag;

    impl Listener for ByTag {
        fn describe() -> Description {
            Description::new("by-tag", "by-tag-group").subscribe("tags", "*")
        }

        fn consume(context: &Context, message: &Message) -> Result<(), Failure> {
            match message.tags() {
                Some("later") => Err(Failure::reconsume_later(RetryDelay::Level(1))),
                Some("dead") => Err(Failure::dead_letter(context.topic())),
                _ => Ok(()),
            }
        }
    }

    fn record(tags: Option<&str>) -> types::Message {
        types::Message {
            message_id: "7F00".into(),
            tags: tags.map(str::to_owned),
            keys: String::new(),
            reconsume_times: 0,
            queue_offset: 0,
            born_timestamp: 0,
            store_timestamp: 0,
            body: Vec::new(),
            user_properties: Vec::new(),
        }
    }

    #[test]
    fn a_batch_is_answered_message_by_message_in_its_order() {
        let context = types::ConsumeContext {
            consumer_group: "by-tag-group".into(),
            topic: "tags".into(),
            broker_name: "broker-a".into(),
            queue_id: 0,
        };
        let batch = [Some("later"), None, Some("dead")].map(record).into();
        let expected = [
            ConsumeResult::ReconsumeLater(RetryDelay::Level(1)),
            ConsumeResult::Success,
            ConsumeResult::DeadLetter("tags".into()),
        ];
        assert_eq!(consume::<ByTag>(context, batch).unwrap(), expected);
    }

    #[test]
    fn a_description_without_version_has_the_package_s() {
        assert_eq!(describe::<ByTag>("1.2.3").version, "1.2.3");
    }
}
