//! A listener that answers for all messages of a batch but the last: a contract error.

use gantry_guest::{ConsumeResult, Context, Description, Failure, Listener, Message, export_listener};

struct TooFew;

impl Listener for TooFew {
    fn describe() -> Description {
        Description::new("too-few", "too-few-group").subscribe("too-few", "*").batch_max_size(32)
    }

    fn consume(_: &Context, _: &Message) -> Result<(), Failure> {
        Ok(())
    }

    fn consume_batch(_: &Context, batch: &[Message]) -> Result<Vec<ConsumeResult>, String> {
        Ok(batch.iter().skip(1).map(|_| ConsumeResult::success()).collect())
    }
}

export_listener!(TooFew);
