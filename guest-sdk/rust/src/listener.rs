//! What a plugin implements.

use crate::{ConsumeResult, Context, Description, Failure, Message, RetryDelay};

/// A message listener (RocketMQ: `MessageListener`).
///
/// The host makes several instances of a plugin and calls them in parallel; one instance never runs two calls at
/// once, and serves many calls, so a `static` or thread-local lasts from one to the next, in that instance alone.
pub trait Listener {
    /// Whether [`consume_batch`](Self::consume_batch) is known not to be overridden, as where `#[gantry_guest::listener]` makes
    /// the listener: then messages need not be there together.
    #[doc(hidden)]
    const ONE_BY_ONE: bool = false;

    /// What the listener is called and which messages it wants.
    ///
    /// Called once per version, before it serves, and possibly again in any instance at any time: it must always answer
    /// the same and have no effects. A panic rejects the file; the version that serves stays.
    fn describe() -> Description;

    /// Consumes one message. Where the description is orderly, the messages of a queue come in their order, and one that is
    /// not consumed comes again, with one more of [`reconsume_times`](Message::reconsume_times), before any behind it.
    ///
    /// # Errors
    /// The message is reconsumed later or dead-lettered, as the [`Failure`] says. A panic (a trap) or taking longer than
    /// the deadline costs the instance; the messages of the batch are then tried once more, one by one in fresh
    /// instances, so that only the ones at fault are reconsumed later.
    fn consume(context: &Context, message: &Message) -> Result<(), Failure>;

    /// Consumes a batch: every message of it on its own, by [`consume`](Self::consume), unless overridden for work that is
    /// cheaper done together. Where the description is orderly, no message behind one that is not consumed is touched: they
    /// come again with that one, and whatever an overriding listener answers for them is ignored.
    ///
    /// An answer has as many results as there are messages, in their order; with any other count the host reconsumes the
    /// whole batch later.
    ///
    /// # Errors
    /// The listener's own failure, in words for the log: the whole batch is reconsumed later, by attempts.
    fn consume_batch(context: &Context, batch: &[Message]) -> Result<Vec<ConsumeResult>, String> {
        let mut results = Vec::with_capacity(batch.len());
        let mut orderly = None;
        for message in batch {
            let result = ConsumeResult::from(Self::consume(context, message));
            let consumed = result == ConsumeResult::Success;
            results.push(result);
            // Asked only once something is not consumed: `describe` always answers the same.
            if !consumed && *orderly.get_or_insert_with(|| Self::describe().is_orderly()) {
                results.resize(batch.len(), ConsumeResult::reconsume_later(RetryDelay::ByAttempts));
                break;
            }
        }
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MessageBuilder, context};

    const LATER: ConsumeResult = ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts);

    /// Consumes what says `ok`, dead-letters the rest, and panics where it is given a message behind such a one.
    struct InOrder;

    impl Listener for InOrder {
        fn describe() -> Description {
            Description::new("in-order", "in-order-group").subscribe("steps", "*").orderly()
        }

        fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
            match message.body() {
                b"ok" => Ok(()),
                b"bad" => Err(Failure::dead_letter("as asked")),
                other => panic!("{other:?} is behind a message that was not consumed"),
            }
        }
    }

    /// The same, concurrently.
    struct InAnyOrder;

    impl Listener for InAnyOrder {
        fn describe() -> Description {
            Description::new("in-any-order", "in-any-order-group").subscribe("steps", "*")
        }

        fn consume(context: &Context, message: &Message) -> Result<(), Failure> {
            InOrder::consume(context, message)
        }
    }

    fn answers<L: Listener>(bodies: &[&str]) -> Vec<ConsumeResult> {
        let batch: Vec<Message> = bodies.iter().map(|body| MessageBuilder::new(*body).build()).collect();
        L::consume_batch(&context("steps"), &batch).unwrap()
    }

    #[test]
    fn an_orderly_listener_is_given_nothing_behind_a_message_it_did_not_consume() {
        let dead = ConsumeResult::dead_letter("as asked");
        assert_eq!(answers::<InOrder>(&["ok", "ok"]), [ConsumeResult::Success, ConsumeResult::Success]);
        assert_eq!(
            answers::<InOrder>(&["ok", "bad", "never", "ok"]),
            [ConsumeResult::Success, dead.clone(), LATER, LATER]
        );
        assert_eq!(answers::<InOrder>(&["ok", "bad"]), [ConsumeResult::Success, dead]);
    }

    #[test]
    fn a_concurrent_listener_is_given_every_message() {
        let dead = ConsumeResult::dead_letter("as asked");
        assert_eq!(
            answers::<InAnyOrder>(&["bad", "ok", "bad"]),
            [dead.clone(), ConsumeResult::Success, dead]
        );
    }
}
