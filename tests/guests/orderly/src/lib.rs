//! An orderly listener whose messages say what it shall do, so that a test writes its script into what it sends.
//!
//! | body | what it does |
//! |---|---|
//! | `ok`, and whatever is not in this table | success |
//! | `later-once`, `later-once:MS` | reconsume later, by attempts or in MS milliseconds, the first time; then success |
//! | `later-twice`, `later-twice:MS` | the same, the first two times |
//! | `later-always`, `later-always:MS` | the same, every time |
//! | `dead`, `dead:REASON` | dead letter |
//! | `trap-once`, `trap-always` | a trap, the first time or every time |
//! | `spin-once` | never returns, the first time; then success |
//!
//! A script may be followed by a space and anything: `ok 17` is `ok`. What happened before is told by the message's
//! `reconsume-times` alone, so it holds over traps, swaps and other hosts.

use gantry_guest::{
    Context, Description, Failure, Listener, Message, OrDeadLetter as _, RetryDelay, export_listener,
};

struct Orderly;

impl Listener for Orderly {
    fn describe() -> Description {
        Description::new("orderly", "orderly-group").subscribe("orderly", "*").orderly().batch_max_size(8)
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        let text = message.text().or_dead_letter("not text")?;
        let script = text.split_whitespace().next().unwrap_or_default();
        let (verb, argument) = script.split_once(':').unwrap_or((script, ""));
        let times = message.reconsume_times();
        match verb {
            "later-once" if times < 1 => Err(later(argument)?),
            "later-twice" if times < 2 => Err(later(argument)?),
            "later-always" => Err(later(argument)?),
            "dead" => Err(Failure::dead_letter(if argument.is_empty() { "as asked" } else { argument })),
            "trap-once" if times < 1 => trap(),
            "trap-always" => trap(),
            "spin-once" if times < 1 => spin(),
            _ => Ok(()),
        }
    }
}

fn later(milliseconds: &str) -> Result<Failure, Failure> {
    if milliseconds.is_empty() {
        return Ok(Failure::reconsume_later(RetryDelay::ByAttempts));
    }
    let milliseconds = milliseconds.parse().or_dead_letter("not milliseconds")?;
    Ok(Failure::reconsume_later(RetryDelay::Milliseconds(milliseconds)))
}

#[expect(clippy::panic, reason = "what the script asks for")]
fn trap() -> ! {
    panic!("as asked")
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

export_listener!(Orderly);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::{MessageBuilder, context};

    #[test]
    fn what_comes_again_goes_by_how_often_it_came_back() {
        let consume = |body: &str, times| {
            Orderly::consume(&context("orderly"), &MessageBuilder::new(body).reconsume_times(times).build())
        };
        let later = |delay| Err(Failure::reconsume_later(delay));
        assert_eq!(consume("ok 17", 0), Ok(()));
        assert_eq!(consume("later-once 17", 0), later(RetryDelay::ByAttempts));
        assert_eq!(consume("later-once 17", 1), Ok(()));
        assert_eq!(consume("later-twice:50 17", 1), later(RetryDelay::Milliseconds(50)));
        assert_eq!(consume("later-twice:50 17", 2), Ok(()));
        assert_eq!(consume("later-always", 40), later(RetryDelay::ByAttempts));
        assert_eq!(consume("dead:rotten", 0), Err(Failure::dead_letter("rotten")));
        assert_eq!(consume("trap-once", 1), Ok(()));
    }
}
