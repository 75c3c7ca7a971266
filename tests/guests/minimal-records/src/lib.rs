//! The sample plugin `minimal` as a listener of records: what the benchmark holds against the form that takes bytes.

use gantry_guest::{Context, Description, Failure, Listener, Message, export_listener};

struct Greetings;

impl Listener for Greetings {
    fn describe() -> Description {
        Description::new("minimal-records", "greetings-group").subscribe("greetings", "*")
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        if message.body().is_empty() {
            return Err(Failure::dead_letter("a greeting without words"));
        }
        Ok(())
    }
}

export_listener!(Greetings, records);
