//! The smallest plugin: takes every message of the topic `greetings`, and dead-letters the empty ones.

use gantry_guest::{Failure, Message};

#[gantry_guest::listener(name = "minimal", group = "greetings-group", topic = "greetings")]
fn consume(message: &Message) -> Result<(), Failure> {
    if message.body().is_empty() {
        return Err(Failure::dead_letter("a greeting without words"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::MessageBuilder;

    #[test]
    fn only_an_empty_greeting_is_dead_lettered() {
        let consume = |body| consume(&MessageBuilder::new(body).build());
        assert_eq!(consume("hello"), Ok(()));
        assert_eq!(consume(""), Err(Failure::dead_letter("a greeting without words")));
    }
}
