//! A listener whose messages say what it shall answer, so that a test writes its script into what it sends.
//!
//! | body | answer |
//! |---|---|
//! | `ok`, and whatever is not in this table | success |
//! | `later` | reconsume later, by attempts |
//! | `later:N` | reconsume later, delay level N |
//! | `later-ms:N` | reconsume later, in N milliseconds |
//! | `once`, `once:N`, `once-ms:N` | as `later` the first time, success when it comes again |
//! | `dead`, `dead:REASON` | dead letter |
//! | `panic` | a trap |
//! | `spin` | never returns |
//! | `fail` | the listener's own failure, for the whole batch |
//! | `settle`, `settle-later:N`, `settle-panic` | settled at once as a success, or for delay level N, or as a success and then a trap; in the answer a dead letter |
//! | `hold:N` | success, and N MiB of memory that are never given back |
//! | `property:NAME=VALUE` | success if the property has that value, else dead letter with what it has |
//!
//! A script may be followed by a space and anything: `ok 17` is `ok`.

use gantry_guest::{
    ConsumeResult, Context, Description, Failure, Listener, Message, OrDeadLetter as _, RetryDelay,
};

/// The listener.
pub(crate) struct Scripted;

impl Listener for Scripted {
    fn describe() -> Description {
        Description::new("scripted", "scripted-group").subscribe("scripted", "*").batch_max_size(32)
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        let text = message.text().or_dead_letter("not text")?;
        let script = text.split_whitespace().next().unwrap_or_default();
        let (verb, argument) = script.split_once(':').unwrap_or((script, ""));
        match verb {
            "later" | "later-ms" => Err(later(verb, argument)?),
            "once" | "once-ms" if message.reconsume_times() == 0 => Err(later(verb, argument)?),
            "dead" => Err(Failure::dead_letter(if argument.is_empty() { "as asked" } else { argument })),
            "property" => property(message, argument),
            "settle" | "settle-later" | "settle-panic" => settle(message, verb, argument),
            "hold" => hold(argument),
            "panic" => trap(),
            "spin" => spin(),
            _ => Ok(()),
        }
    }

    fn consume_batch(context: &Context, batch: &[Message]) -> Result<Vec<ConsumeResult>, String> {
        if batch.iter().any(|message| message.body().starts_with(b"fail")) {
            return Err("as asked".into());
        }
        Ok(batch.iter().map(|message| Self::consume(context, message).into()).collect())
    }
}

/// `later` and `once` with their argument, if any.
fn later(verb: &str, argument: &str) -> Result<Failure, Failure> {
    let delay = match (argument, verb.ends_with("-ms")) {
        ("", _) => RetryDelay::ByAttempts,
        (milliseconds, true) => {
            RetryDelay::Milliseconds(milliseconds.parse().or_dead_letter("not milliseconds")?)
        }
        (level, false) => RetryDelay::Level(level.parse().or_dead_letter("not a delay level")?),
    };
    Ok(Failure::reconsume_later(delay))
}

fn property(message: &Message, argument: &str) -> Result<(), Failure> {
    let (name, wanted) = argument.split_once('=').or_dead_letter("property:NAME=VALUE")?;
    let found = message.property(name);
    if found.as_deref() == Some(wanted) {
        return Ok(());
    }
    Err(Failure::dead_letter(format!("{name} is {found:?}")))
}

/// Settles the message now; what is answered for it later no longer counts.
fn settle(message: &Message, verb: &str, argument: &str) -> Result<(), Failure> {
    let result = match verb {
        "settle-later" => later("later", argument)?.into(),
        _ => ConsumeResult::Success,
    };
    if !message.settle(result) {
        return Err(Failure::dead_letter("not settled"));
    }
    if message.settle(ConsumeResult::dead_letter("a second word")) {
        return Err(Failure::dead_letter("settled twice"));
    }
    if verb == "settle-panic" {
        trap();
    }
    Err(Failure::dead_letter("settled before"))
}

fn hold(argument: &str) -> Result<(), Failure> {
    let mebibytes: usize = argument.parse().or_dead_letter("not a number of MiB")?;
    std::hint::black_box(Box::leak(vec![1_u8; mebibytes << 20].into_boxed_slice()));
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::{MessageBuilder, context};

    fn answer(message: MessageBuilder) -> ConsumeResult {
        let batch = [message.build()];
        Scripted::consume_batch(&context("scripted"), &batch).unwrap().remove(0)
    }

    #[test]
    fn every_answer_can_be_asked_for() {
        let asked = |body: &str| answer(MessageBuilder::new(body));
        assert_eq!(asked("ok"), ConsumeResult::Success);
        assert_eq!(asked("order 17"), ConsumeResult::Success);
        assert_eq!(asked("later 17"), ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts));
        assert_eq!(asked("later:1"), ConsumeResult::ReconsumeLater(RetryDelay::Level(1)));
        assert_eq!(asked("later-ms:2500"), ConsumeResult::ReconsumeLater(RetryDelay::Milliseconds(2500)));
        assert_eq!(asked("dead"), ConsumeResult::DeadLetter("as asked".into()));
        assert_eq!(asked("dead:rotten 17"), ConsumeResult::DeadLetter("rotten".into()));
        assert!(matches!(asked("later:x"), ConsumeResult::DeadLetter(_)));
    }

    #[test]
    fn once_succeeds_when_it_comes_again() {
        assert_eq!(
            answer(MessageBuilder::new("once:2")),
            ConsumeResult::ReconsumeLater(RetryDelay::Level(2))
        );
        assert_eq!(answer(MessageBuilder::new("once:2").reconsume_times(1)), ConsumeResult::Success);
    }

    #[test]
    fn the_first_word_settles() {
        let message = MessageBuilder::new("settle-later:3").build();
        assert!(Scripted::consume(&context("scripted"), &message).is_err());
        let later = ConsumeResult::ReconsumeLater(RetryDelay::Level(3));
        assert_eq!(gantry_guest::testing::settled(&message), Some(&later));
    }

    #[test]
    fn one_failing_message_fails_the_batch() {
        let batch = ["ok", "fail"].map(|body| MessageBuilder::new(body).build());
        assert_eq!(Scripted::consume_batch(&context("scripted"), &batch), Err("as asked".into()));
    }

    #[test]
    fn a_property_is_asked_of_the_host() {
        let message = || MessageBuilder::new("property:UNIQ_KEY=7F");
        assert_eq!(answer(message().property("UNIQ_KEY", "7F")), ConsumeResult::Success);
        assert_eq!(answer(message()), ConsumeResult::DeadLetter("UNIQ_KEY is None".into()));
    }
}
