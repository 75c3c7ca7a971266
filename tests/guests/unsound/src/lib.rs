//! A listener whose description breaks the rules, in its consumer group: the file is to be rejected.

use gantry_guest::{Context, Description, Failure, Listener, Message, export_listener};

struct Unsound;

impl Listener for Unsound {
    fn describe() -> Description {
        Description::new("unsound", "not a group!").subscribe("unsound", "*")
    }

    fn consume(_: &Context, _: &Message) -> Result<(), Failure> {
        Ok(())
    }
}

export_listener!(Unsound);
