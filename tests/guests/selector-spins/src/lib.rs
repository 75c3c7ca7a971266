//! A selector in an endless loop.

use gantry_guest::{MessageQueue, OutgoingMessage, Selector, SelectorDescription, export_selector};

struct Spins;

impl Selector for Spins {
    fn describe() -> SelectorDescription {
        SelectorDescription::new("selector-spins")
    }

    fn select(_: &[MessageQueue], _: &OutgoingMessage, _: &str) -> Result<usize, String> {
        loop {
            std::hint::spin_loop();
        }
    }
}

export_selector!(Spins);
