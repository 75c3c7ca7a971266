//! A listener whose `describe` traps: the file is to be rejected.

use gantry_guest::{Context, Description, Failure, Listener, Message, export_listener};

struct DescribeTraps;

impl Listener for DescribeTraps {
    #[expect(clippy::panic, reason = "what this fixture is for")]
    fn describe() -> Description {
        panic!("always")
    }

    fn consume(_: &Context, _: &Message) -> Result<(), Failure> {
        Ok(())
    }
}

export_listener!(DescribeTraps);
