//! A strategy that traps.

use gantry_guest::{MessageQueue, Strategy, StrategyDescription, export_strategy};

struct Traps;

impl Strategy for Traps {
    fn describe() -> StrategyDescription {
        StrategyDescription::new("strategy-traps")
    }

    #[expect(clippy::panic, reason = "what this fixture is for")]
    fn allocate(_: &str, _: &str, _: &[MessageQueue], _: &[String]) -> Result<Vec<MessageQueue>, String> {
        panic!("always")
    }
}

export_strategy!(Traps);
