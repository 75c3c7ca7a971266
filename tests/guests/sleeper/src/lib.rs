//! A listener that sleeps 2 to 4 milliseconds over each message, one message a call, as a listener does that waits for a
//! database. It waits in the host (`wasi:clocks`), so it wants `grants = ["clocks"]`.

#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, dead_code, clippy::all, clippy::allow_attributes_without_reason,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
mod bindings;

use bindings::wasi::clocks::monotonic_clock;
use gantry_guest::{Context, Description, Failure, Listener, Message, export_listener};

/// Shortest sleep, in microseconds.
const SHORTEST: u64 = 2_000;
/// How many microseconds longer than the shortest a sleep may be.
const SPREAD: u64 = 2_000;

struct Sleeper;

impl Listener for Sleeper {
    fn describe() -> Description {
        Description::new("sleeper", "sleeper-group").subscribe("sleeper", "*")
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        monotonic_clock::subscribe_duration(microseconds(message) * 1_000).block();
        Ok(())
    }
}

/// How long to sleep over a message: scattered from one to the next, the same whenever it comes again.
fn microseconds(message: &Message) -> u64 {
    const PRIME: u64 = 7_919;
    SHORTEST + message.queue_offset().wrapping_mul(PRIME) % (SPREAD + 1)
}

export_listener!(Sleeper);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::MessageBuilder;

    #[test]
    fn sleeps_are_scattered_between_two_and_four_milliseconds() {
        let of = |offset| microseconds(&MessageBuilder::new("").queue_offset(offset).build());
        let sleeps: Vec<u64> = (0..1_000).map(of).collect();
        assert!(sleeps.iter().all(|sleep| (2_000..=4_000).contains(sleep)));
        let mean = sleeps.iter().sum::<u64>() / 1_000;
        assert!((2_900..=3_100).contains(&mean), "{mean}");
    }
}
