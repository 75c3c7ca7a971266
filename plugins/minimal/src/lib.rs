//! The smallest plugin: takes every message of the topic `greetings`, and dead-letters the empty ones.

use gantry_guest::{Context, Description, Failure, Listener, Message, export_listener};

struct Greetings;

impl Listener for Greetings {
    fn describe() -> Description {
        Description::new("minimal", "greetings-group").subscribe("greetings", "*")
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        if message.body().is_empty() {
            return Err(Failure::dead_letter("a greeting without words"));
        }
        Ok(())
    }
}

export_listener!(Greetings);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::{MessageBuilder, context};

    #[test]
    fn only_an_empty_greeting_is_dead_lettered() {
        let consume = |body| Greetings::consume(&context("greetings"), &MessageBuilder::new(body).build());
        assert_eq!(consume("hello"), Ok(()));
        assert_eq!(consume(""), Err(Failure::dead_letter("a greeting without words")));
    }
}
