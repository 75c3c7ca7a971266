//! A selector that chooses the queue behind the last.

use gantry_guest::{MessageQueue, OutgoingMessage, Selector, SelectorDescription, export_selector};

struct Absurd;

impl Selector for Absurd {
    fn describe() -> SelectorDescription {
        SelectorDescription::new("selector-absurd")
    }

    fn select(queues: &[MessageQueue], _: &OutgoingMessage, _: &str) -> Result<usize, String> {
        Ok(queues.len())
    }
}

export_selector!(Absurd);
