//! A listener that imports `wasi:clocks/monotonic-clock`: rejected where clocks are not granted.

#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, dead_code, clippy::all, clippy::allow_attributes_without_reason,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
mod bindings;

use bindings::wasi::clocks::monotonic_clock;
use gantry_guest::{Context, Description, Failure, Listener, Message, RetryDelay, export_listener};

struct ImportsClock;

impl Listener for ImportsClock {
    fn describe() -> Description {
        Description::new("imports-clock", "imports-clock-group")
            .subscribe("imports-clock", "*")
            .batch_max_size(32)
    }

    fn consume(_: &Context, _: &Message) -> Result<(), Failure> {
        if monotonic_clock::now() == 0 {
            return Err(Failure::reconsume_later(RetryDelay::ByAttempts));
        }
        Ok(())
    }
}

export_listener!(ImportsClock);
