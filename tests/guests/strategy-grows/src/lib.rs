//! A strategy that takes memory until there is no more.

use gantry_guest::{MessageQueue, Strategy, StrategyDescription, export_strategy};

struct Grows;

impl Strategy for Grows {
    fn describe() -> StrategyDescription {
        StrategyDescription::new("strategy-grows")
    }

    fn allocate(_: &str, _: &str, _: &[MessageQueue], _: &[String]) -> Result<Vec<MessageQueue>, String> {
        let mut hoard = Vec::new();
        loop {
            hoard.push(vec![1_u8; 1 << 20]);
            std::hint::black_box(&hoard);
        }
    }
}

export_strategy!(Grows);
