//! The answer for one message.

pub use crate::bindings::listener::gantry::rocketmq::types::{ConsumeResult, RetryDelay};
use std::fmt::Display;
use std::time::Duration;

impl RetryDelay {
    /// At least this long; the host takes the shortest of the broker's delays that is not less.
    pub fn at_least(delay: Duration) -> Self {
        Self::Milliseconds(u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }
}

impl ConsumeResult {
    /// Done: the offset may move past the message (RocketMQ: `CONSUME_SUCCESS`).
    pub fn success() -> Self {
        Self::Success
    }

    /// Not now: the broker delivers the message again after the delay, and files it under the dead-letter topic once it
    /// has come back `max_reconsume_times` times (RocketMQ: `RECONSUME_LATER`).
    pub fn reconsume_later(delay: RetryDelay) -> Self {
        Self::ReconsumeLater(delay)
    }

    /// Never: to the dead-letter topic at once. The reason goes to the host's log and metrics.
    pub fn dead_letter(reason: impl Into<String>) -> Self {
        Self::DeadLetter(reason.into())
    }
}

impl From<Result<(), Failure>> for ConsumeResult {
    fn from(result: Result<(), Failure>) -> Self {
        match result {
            Ok(()) => Self::Success,
            Err(failure) => failure.into(),
        }
    }
}

/// Why a message was not consumed, and what is to become of it.
///
/// Any [`std::error::Error`] becomes one with `?`: reconsume later, by attempts, as an exception thrown by a Java
/// listener does. (For that it is not an error itself.)
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// Deliver it again after the delay.
    ReconsumeLater(RetryDelay),
    /// To the dead-letter topic at once, for this reason.
    DeadLetter(String),
}

impl Failure {
    /// Deliver it again after the delay; see [`ConsumeResult::reconsume_later`].
    pub fn reconsume_later(delay: RetryDelay) -> Self {
        Self::ReconsumeLater(delay)
    }

    /// To the dead-letter topic at once; see [`ConsumeResult::dead_letter`].
    pub fn dead_letter(reason: impl Into<String>) -> Self {
        Self::DeadLetter(reason.into())
    }
}

impl From<Failure> for ConsumeResult {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::ReconsumeLater(delay) => Self::ReconsumeLater(delay),
            Failure::DeadLetter(reason) => Self::DeadLetter(reason),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(_: E) -> Self {
        Self::ReconsumeLater(RetryDelay::ByAttempts)
    }
}

/// For what trying again cannot mend, such as a body that is not what it should be.
pub trait OrDeadLetter<T> {
    /// The value, or the dead-letter topic with `what` and the error as its reason.
    ///
    /// # Errors
    /// [`Failure::DeadLetter`] where there is no value.
    fn or_dead_letter(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: Display> OrDeadLetter<T> for Result<T, E> {
    fn or_dead_letter(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::dead_letter(format!("{what}: {error}")))
    }
}

impl<T> OrDeadLetter<T> for Option<T> {
    fn or_dead_letter(self, what: &str) -> Result<T, Failure> {
        self.ok_or_else(|| Failure::dead_letter(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(), Failure> {
        let _: u32 = text.parse()?;
        Ok(())
    }

    #[test]
    fn an_error_met_on_the_way_is_reconsume_later_by_attempts() {
        assert_eq!(ConsumeResult::from(parse("7")), ConsumeResult::Success);
        assert_eq!(ConsumeResult::from(parse("x")), ConsumeResult::ReconsumeLater(RetryDelay::ByAttempts));
    }

    #[test]
    fn or_dead_letter_says_what_and_why() {
        let failure = "x".parse::<u8>().or_dead_letter("amount").unwrap_err();
        assert_eq!(failure, Failure::DeadLetter("amount: invalid digit found in string".into()));
        assert_eq!(None::<u8>.or_dead_letter("no amount").unwrap_err(), Failure::dead_letter("no amount"));
    }

    #[test]
    fn a_delay_is_rounded_up_to_whole_milliseconds() {
        assert_eq!(RetryDelay::at_least(Duration::from_micros(2500)), RetryDelay::Milliseconds(3));
    }
}
