//! A listener whose instances cannot begin.

use gantry_guest::{
    Context, Description, Failure, Lifecycle, Listener, Message, export_lifecycle, export_listener,
};

struct InitFails;

impl Lifecycle for InitFails {
    fn init() -> Result<(), String> {
        Err("no limit is set".to_owned())
    }
}

impl Listener for InitFails {
    fn describe() -> Description {
        Description::new("init-fails", "init-fails-group").subscribe("init-fails", "*")
    }

    fn consume(_: &Context, _: &Message) -> Result<(), Failure> {
        Ok(())
    }
}

export_lifecycle!(InitFails);
export_listener!(InitFails);
