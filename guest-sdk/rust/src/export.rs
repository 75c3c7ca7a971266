//! From the trait to the component's exports.

use crate::bindings::listener::gantry::rocketmq::{delivery, types};
use crate::packed::{Each, Room};
use crate::{ConsumeResult, Context, Listener, Message, RetryDelay};

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
    let context = Context::of_call();
    let consumed = match L::ONE_BY_ONE {
        true => Room::with_each(batches, |messages| {
            one_by_one::<L>(&context, messages, size, &mut next, |index, result| {
                delivery::settle(index, result);
            })
        }),
        false => {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            Room::with(batches, size, |messages| {
                together::<L>(&context, messages, size, &mut next);
                Ok(())
            })
        }
    };
    if let Err(reason) = consumed {
        delivery::fail(&reason);
        next(0);
    }
}

fn together<L: Listener>(
    context: &Context,
    messages: &[Message],
    size: usize,
    next: &mut impl FnMut(u32) -> u32,
) {
    let mut start = 0;
    loop {
        let batch = messages.get(start..).unwrap_or_default();
        let batch = batch.get(..size).unwrap_or(batch);
        let step = match L::consume_batch(context, batch) {
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
            return;
        }
        start += usize::try_from(step).unwrap_or(usize::MAX);
    }
}

/// The same by [`Listener::consume`], as [`Listener::consume_batch`] does it, with no list of messages and none of results.
///
/// # Errors
/// The bytes are no messages.
fn one_by_one<L: Listener>(
    context: &Context,
    messages: &mut Each,
    size: u32,
    next: &mut impl FnMut(u32) -> u32,
    mut settle: impl FnMut(u32, &ConsumeResult),
) -> Result<(), String> {
    let mut orderly = None;
    loop {
        let (mut count, mut stopped) = (0, false);
        // Said at the end, like every answer: a panic before it undoes them all.
        let mut failures: Vec<(u32, ConsumeResult)> = Vec::new();
        while count < size
            && let Some(message) = messages.next(count)?
        {
            if stopped {
                failures.push((count, ConsumeResult::reconsume_later(RetryDelay::ByAttempts)));
            } else if let Err(failure) = L::consume(context, message) {
                failures.push((count, failure.into()));
                stopped = *orderly.get_or_insert_with(|| L::describe().is_orderly());
            }
            count += 1;
        }
        failures.iter().for_each(|(index, result)| settle(*index, result));
        let step = next(count);
        if step == 0 {
            return Ok(());
        }
        // What is between is another's.
        for _ in count..step {
            messages.next(0)?;
        }
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
    use crate::{Description, Failure};

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

    /// Fails on what its body says, and is made by `#[gantry_guest::listener]`.
    struct ByBody<const ORDERLY: bool>;

    impl<const ORDERLY: bool> Listener for ByBody<ORDERLY> {
        const ONE_BY_ONE: bool = true;

        fn describe() -> Description {
            let description = Description::new("by-body", "by-body-group").subscribe("bodies", "*");
            if ORDERLY { description.orderly() } else { description }
        }

        fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
            match message.body() {
                b"L" => Err(Failure::reconsume_later(RetryDelay::Level(2))),
                b"D" => Err(Failure::dead_letter(message.queue_offset().to_string())),
                _ => Ok(()),
            }
        }
    }

    /// A message in RocketMQ's own layout.
    fn packed(body: u8, queue_offset: u8) -> Vec<u8> {
        let until_offset = [&[0, 0, 0, 93], [0; 23].as_slice()].concat();
        [until_offset.as_slice(), &[queue_offset], &[0; 56], &[0, 0, 0, 1, body], &[1, b't', 0, 0]].concat()
    }

    /// Batches of `size`: how many it answers for each time, where the host goes on by these steps.
    fn said_by<L: Listener>(messages: usize, size: u32, steps: &[u32]) -> Vec<u32> {
        let (mut said, mut steps) = (Vec::new(), steps.iter());
        each_batch::<L>(packed(b'S', 0).repeat(messages), size, |answered| {
            said.push(answered);
            steps.next().copied().unwrap_or_default()
        });
        said
    }

    fn said(messages: usize, size: u32, steps: &[u32]) -> Vec<u32> {
        let together = said_by::<ByTag>(messages, size, steps);
        assert_eq!(together, said_by::<ByBody<false>>(messages, size, steps), "one by one");
        together
    }

    /// What is said of each message of these bodies, in batches of two, where the host takes every batch but the second.
    fn told<const ORDERLY: bool>(bodies: &[u8]) -> Vec<Vec<(u32, ConsumeResult)>> {
        let bytes: Vec<u8> =
            bodies.iter().zip(0..).flat_map(|(body, offset)| packed(*body, offset)).collect();
        let (mut told, mut steps) = (vec![Vec::new()], [4, 2, 2].into_iter());
        let said = std::cell::RefCell::new(&mut told);
        Room::with_each(bytes, |messages| {
            let mut next = |_| {
                said.borrow_mut().push(Vec::new());
                steps.next().unwrap_or_default()
            };
            one_by_one::<ByBody<ORDERLY>>(&Context::of_call(), messages, 2, &mut next, |index, result| {
                if let Some(batch) = said.borrow_mut().last_mut() {
                    batch.push((index, result.clone()));
                }
            })
        })
        .unwrap();
        told.retain(|batch| !batch.is_empty());
        told
    }

    /// The same by the batch form.
    fn told_together<const ORDERLY: bool>(bodies: &[u8]) -> Vec<Vec<(u32, ConsumeResult)>> {
        let batches = bodies.chunks(2).zip(0..).filter(|(_, number)| *number != 1);
        let told = batches.map(|(batch, number)| {
            let bytes = batch.iter().zip(2 * number..).flat_map(|(body, offset)| packed(*body, offset));
            let consume =
                |messages: &[Message]| ByBody::<ORDERLY>::consume_batch(&Context::of_call(), messages);
            let results = Room::with(bytes.collect(), 2, consume).unwrap();
            (0..).zip(results).filter(|(_, result)| *result != ConsumeResult::Success).collect()
        });
        told.filter(|batch: &Vec<_>| !batch.is_empty()).collect()
    }

    #[test]
    fn one_by_one_the_answers_are_those_of_the_batch_form() {
        let later = |index| (index, ConsumeResult::ReconsumeLater(RetryDelay::Level(2)));
        let dead = |index, reason: &str| (index, ConsumeResult::dead_letter(reason));
        let behind = |index| (index, ConsumeResult::reconsume_later(RetryDelay::ByAttempts));
        assert_eq!(told::<false>(b"LDDDSD"), [vec![later(0), dead(1, "1")], vec![dead(1, "5")]]);
        assert_eq!(told::<true>(b"LD--S"), [vec![later(0), behind(1)]]);
        for bodies in [b"SS--SSSS", b"LDDDSDLL", b"DS--LSSD", b"LL--DDDL", b"SLSSSDSL"] {
            for length in 0..=bodies.len() {
                let bodies = &bodies[..length];
                assert_eq!(told::<false>(bodies), told_together::<false>(bodies), "{bodies:?}");
                assert_eq!(told::<true>(bodies), told_together::<true>(bodies), "{bodies:?}, in order");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error_where_they_lie() {
        let bytes = [packed(b'S', 0), vec![0, 0, 0, 95, 1]].concat();
        let consumed = Room::with_each(bytes, |messages| {
            one_by_one::<ByBody<false>>(&Context::of_call(), messages, 2, &mut |_| 0, |_, _| {})
        });
        let expected = "message 1 of the batch is said to have 95 bytes, where 5 are left";
        assert_eq!(consumed.unwrap_err(), expected);
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
