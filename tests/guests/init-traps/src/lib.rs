//! A listener that traps in `init`.

use gantry_guest::{
    Context, Description, Failure, Lifecycle, Listener, Message, export_lifecycle, export_listener,
};

struct InitTraps;

impl Lifecycle for InitTraps {
    #[expect(clippy::panic, reason = "what this fixture is for")]
    fn init() -> Result<(), String> {
        panic!("always")
    }
}

impl Listener for InitTraps {
    fn describe() -> Description {
        Description::new("init-traps", "init-traps-group").subscribe("init-traps", "*")
    }

    fn consume(_: &Context, _: &Message) -> Result<(), Failure> {
        Ok(())
    }
}

export_lifecycle!(InitTraps);
export_listener!(InitTraps);
