//! A strategy in an endless loop.

use gantry_guest::{MessageQueue, Strategy, StrategyDescription, export_strategy};

struct Spins;

impl Strategy for Spins {
    fn describe() -> StrategyDescription {
        StrategyDescription::new("strategy-spins")
    }

    fn allocate(_: &str, _: &str, _: &[MessageQueue], _: &[String]) -> Result<Vec<MessageQueue>, String> {
        loop {
            std::hint::spin_loop();
        }
    }
}

export_strategy!(Spins);
