//! A listener that fails as a whole on every batch, as one does that met an exception in another language.

use gantry_guest::{ConsumeResult, Context, Description, Failure, Listener, Message, export_listener};

struct ListenerError;

impl Listener for ListenerError {
    fn describe() -> Description {
        Description::new("listener-error", "listener-error-group")
            .subscribe("listener-error", "*")
            .batch_max_size(32)
    }

    fn consume(_: &Context, _: &Message) -> Result<(), Failure> {
        Ok(())
    }

    fn consume_batch(_: &Context, batch: &[Message]) -> Result<Vec<ConsumeResult>, String> {
        Err(format!("no database for {} messages", batch.len()))
    }
}

export_listener!(ListenerError);
