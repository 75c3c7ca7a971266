//! A selector that traps.

use gantry_guest::{MessageQueue, OutgoingMessage, Selector, SelectorDescription, export_selector};

struct Traps;

impl Selector for Traps {
    fn describe() -> SelectorDescription {
        SelectorDescription::new("selector-traps")
    }

    #[expect(clippy::panic, reason = "what this fixture is for")]
    fn select(_: &[MessageQueue], _: &OutgoingMessage, _: &str) -> Result<usize, String> {
        panic!("always")
    }
}

export_selector!(Traps);
