//! A listener that panics on a message whose body is `poison`; success for its neighbours.

use gantry_guest::{Context, Description, Failure, Listener, Message, export_listener};

struct Poison;

impl Listener for Poison {
    fn describe() -> Description {
        Description::new("poison", "poison-group").subscribe("poison", "*").batch_max_size(32)
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        assert_ne!(message.body(), b"poison");
        Ok(())
    }
}

export_listener!(Poison);
