//! A listener that grows its memory without end for a message whose body is `grow`; success for any other.

use gantry_guest::{Context, Description, Failure, Listener, Message, export_listener};

struct Grows;

impl Listener for Grows {
    fn describe() -> Description {
        Description::new("grows", "grows-group").subscribe("grows", "*").batch_max_size(32)
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        let mut hoard = Vec::new();
        while message.body() == b"grow" {
            hoard.push(std::hint::black_box(vec![1_u8; 1024 * 1024]));
        }
        Ok(())
    }
}

export_listener!(Grows);
