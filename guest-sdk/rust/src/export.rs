//! From the trait to the component's exports.

use crate::bindings::listener::gantry::rocketmq::{delivery, types};
use crate::packed::Room;
use crate::{ConsumeResult, Context, Listener, Message};

/// Makes a type that implements [`Listener`] the plugin: exports the WIT world `gantry:rocketmq/message-listener-lean`. With
/// `packed` or `records` added, `export_listener!(Mine, records)`, it is the world of that form instead, at several times the
/// cost; a Gantry host runs all of them.
///
/// Once per crate, at module level. Where the target is not `wasm32` it exports nothing, and only makes sure that it
/// could.
#[macro_export]
macro_rules! export_listener {
    ($listener:ty) => {
        const _: fn(Vec<u8>, u32) = $crate::__private::consume_batches::<$listener>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::__private::LeanGuest for Exported {
                fn describe() -> $crate::__private::ListenerDescription {
                    $crate::__private::describe::<$listener>(env!("CARGO_PKG_VERSION"))
                }

                fn consume_batches(batches: Vec<u8>, size: u32) {
                    $crate::__private::consume_batches::<$listener>(batches, size);
                }
            }

    $crate::bindings::lean::export_message_listener_lean!(Exported with_types_in $crate::bindings::lean);
        };
    };
    ($listener:ty, packed) => {
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

/// The WIT's `consume-batches`, with the host's `delivery.next-batch`.
pub fn consume_batches<L: Listener>(batches: Vec<u8>, size: u32) {
    each_batch::<L>(batches, size, delivery::next_batch);
}

/// Consumes one batch after the other, and tells `next` how many messages it answers for, which tells where the next one begins.
fn each_batch<L: Listener>(batches: Vec<u8>, size: u32, mut next: impl FnMut(u32) -> u32) {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let (context, mut start) = (Context::of_call(), 0);
    let consumed = Room::with(batches, size, |messages| {
        loop {
            let batch = messages.get(start..).unwrap_or_default();
            let batch = batch.get(..size).unwrap_or(batch);
            let step = match L::consume_batch(&context, batch) {
                Ok(results) => {
                    // With a wrong number of them, none counts.
                    if results.len() == batch.len() {
                        settle(&results);
                    }
                    next(u32::try_from(results.len()).unwrap_or(u32::MAX))
                }
                Err(reason) => {
                    delivery::fail(&reason);
                    next(0)
                }
            };
            if step == 0 {
                return Ok(());
            }
            start += usize::try_from(step).unwrap_or(usize::MAX);
        }
    });
    if let Err(reason) = consumed {
        delivery::fail(&reason);
        next(0);
    }
}

/// Tells the host of those that are no successes, unless the listener has itself.
fn settle(results: &[ConsumeResult]) {
    for (index, result) in (0..).zip(results) {
        if *result != ConsumeResult::Success {
            delivery::settle(index, result);
        }
    }
}

/// The WIT's `consume-message` of a listener that takes bytes.
///
/// # Errors
/// What the listener's own batch form returns; and bytes that are no messages.
pub fn consume_packed<L: Listener>(
    context: types::ConsumeContext,
    batch: Vec<u8>,
) -> Result<Vec<types::ConsumeResult>, String> {
    Room::with(batch, usize::MAX, |batch| L::consume_batch(&Context::given(context), batch))
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
    L::consume_batch(&Context::given(context), &batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Description, Failure, RetryDelay};

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

    /// Successes, so many, in batches of `size`: what it says of each, where the host goes on by these steps.
    fn said(messages: usize, size: u32, steps: &[u32]) -> Vec<u32> {
        let message = [&[0, 0, 0, 92], [0; 84].as_slice(), &[1, b't', 0, 0]].concat();
        let (mut said, mut steps) = (Vec::new(), steps.iter());
        each_batch::<ByTag>(message.repeat(messages), size, |answered| {
            said.push(answered);
            steps.next().copied().unwrap_or_default()
        });
        said
    }

    #[test]
    fn a_batch_of_successes_says_nothing_but_how_many_and_leaves_room_for_the_next() {
        for count in [1, 3, 2] {
            assert_eq!(said(count as usize, count, &[]), [count]);
        }
    }

    #[test]
    fn batches_are_consumed_one_after_the_other_where_the_host_goes_on() {
        assert_eq!(said(5, 2, &[2, 2]), [2, 2, 1]);
        assert_eq!(said(5, 2, &[4]), [2, 1], "the one between is another's");
        assert_eq!(said(5, 2, &[]), [2], "the others are not begun");
        assert_eq!(said(3, 1, &[1, 1]), [1, 1, 1]);
    }

    #[test]
    fn a_description_without_version_has_the_package_s() {
        assert_eq!(describe::<ByTag>("1.2.3").version, "1.2.3");
    }
}
