//! A listener that traps on every batch.

use gantry_guest::{ConsumeResult, Context, Description, Failure, Listener, Message, export_listener};

struct Traps;

impl Listener for Traps {
    fn describe() -> Description {
        Description::new("traps", "traps-group").subscribe("traps", "*").batch_max_size(32)
    }

    #[expect(clippy::panic, reason = "what this fixture is for")]
    fn consume(_: &Context, _: &Message) -> Result<(), Failure> {
        panic!("always")
    }

    #[expect(clippy::panic, reason = "what this fixture is for")]
    fn consume_batch(_: &Context, _: &[Message]) -> Result<Vec<ConsumeResult>, String> {
        panic!("always")
    }
}

export_listener!(Traps);
