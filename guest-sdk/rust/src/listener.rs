//! What a plugin implements.

use crate::{ConsumeResult, Context, Description, Failure, Message};

/// A message listener (RocketMQ: `MessageListener`).
///
/// The host makes several instances of a plugin and calls them in parallel; one instance never runs two calls at
/// once, and serves many calls, so a `static` or thread-local lasts from one to the next, in that instance alone.
pub trait Listener {
    /// What the listener is called and which messages it wants.
    ///
    /// Called once per version, before it serves, and possibly again in any new instance: it must always answer the
    /// same and have no effects. A panic rejects the file; the version that serves stays.
    fn describe() -> Description;

    /// Consumes one message.
    ///
    /// # Errors
    /// The message is reconsumed later or dead-lettered, as the [`Failure`] says. A panic (a trap) or taking longer than
    /// the deadline costs the instance; the messages of the batch are then tried once more, one by one in fresh
    /// instances, so that only the ones at fault are reconsumed later.
    fn consume(context: &Context, message: &Message) -> Result<(), Failure>;

    /// Consumes a batch: every message of it on its own, by [`consume`](Self::consume), unless overridden for work that is
    /// cheaper done together.
    ///
    /// An answer has as many results as there are messages, in their order; with any other count the host reconsumes the
    /// whole batch later.
    ///
    /// # Errors
    /// The listener's own failure, in words for the log: the whole batch is reconsumed later, by attempts.
    fn consume_batch(context: &Context, batch: &[Message]) -> Result<Vec<ConsumeResult>, String> {
        Ok(batch.iter().map(|message| Self::consume(context, message).into()).collect())
    }
}
