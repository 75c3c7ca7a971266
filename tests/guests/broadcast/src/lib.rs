//! A broadcasting listener, from the first offset on, whose messages say what it shall answer.
//!
//! | body | answer |
//! |---|---|
//! | `ok`, and whatever is not in this table | success |
//! | `later` | reconsume later, by attempts |
//! | `dead` | dead letter |
//! | `trap` | a trap |
//!
//! A script may be followed by a space and anything: `ok 17` is `ok`.

use gantry_guest::{
    Context, Description, Failure, Listener, Message, OrDeadLetter as _, RetryDelay, export_listener,
};

struct Broadcast;

impl Listener for Broadcast {
    fn describe() -> Description {
        Description::new("broadcast", "broadcast-group")
            .subscribe("broadcast", "*")
            .broadcasting()
            .consume_from_first_offset()
            .batch_max_size(8)
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        let text = message.text().or_dead_letter("not text")?;
        match text.split_whitespace().next().unwrap_or_default() {
            "later" => Err(Failure::reconsume_later(RetryDelay::ByAttempts)),
            "dead" => Err(Failure::dead_letter("as asked")),
            "trap" => trap(),
            _ => Ok(()),
        }
    }
}

#[expect(clippy::panic, reason = "what the script asks for")]
fn trap() -> ! {
    panic!("as asked")
}

export_listener!(Broadcast);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::{MessageBuilder, context};

    #[test]
    fn every_answer_can_be_asked_for() {
        let consume =
            |body: &str| Broadcast::consume(&context("broadcast"), &MessageBuilder::new(body).build());
        assert_eq!(consume("ok 17"), Ok(()));
        assert_eq!(consume("later 17"), Err(Failure::reconsume_later(RetryDelay::ByAttempts)));
        assert_eq!(consume("dead"), Err(Failure::dead_letter("as asked")));
    }
}
