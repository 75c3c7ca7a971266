//! A listener in an endless loop for a message whose body is `spin`; success for any other.

use gantry_guest::{Context, Description, Failure, Listener, Message, export_listener};

struct Spins;

impl Listener for Spins {
    fn describe() -> Description {
        Description::new("spins", "spins-group").subscribe("spins", "*").batch_max_size(32)
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        while std::hint::black_box(message).body() == b"spin" {}
        Ok(())
    }
}

export_listener!(Spins);
