//! A listener, a strategy and a selector that do their work only in an instance whose `init` was called once.

use std::cell::Cell;

use gantry_guest::{
    Context, Description, Failure, Lifecycle, Listener, Message, MessageQueue, OutgoingMessage, Selector,
    SelectorDescription, Strategy, StrategyDescription, export_lifecycle, export_listener, export_selector,
    export_strategy,
};

thread_local!(static BEGUN: Cell<u32> = const { Cell::new(0) });

struct Lived;

impl Lifecycle for Lived {
    fn init() -> Result<(), String> {
        BEGUN.set(BEGUN.get() + 1);
        Ok(())
    }

    fn drop() {
        if BEGUN.replace(0) != 1 {
            std::process::abort();
        }
    }
}

fn begun() -> Result<(), String> {
    match BEGUN.get() {
        1 => Ok(()),
        times => Err(format!("init was called {times} times")),
    }
}

impl Listener for Lived {
    fn describe() -> Description {
        Description::new("lived", "lived-group").subscribe("lived", "*")
    }

    fn consume(_: &Context, _: &Message) -> Result<(), Failure> {
        begun().map_err(Failure::dead_letter)
    }
}

impl Strategy for Lived {
    fn describe() -> StrategyDescription {
        StrategyDescription::new("lived")
    }

    fn allocate(
        _: &str,
        _: &str,
        queues: &[MessageQueue],
        _: &[String],
    ) -> Result<Vec<MessageQueue>, String> {
        begun().map(|()| queues.to_vec())
    }
}

impl Selector for Lived {
    fn describe() -> SelectorDescription {
        SelectorDescription::new("lived")
    }

    fn select(_: &[MessageQueue], _: &OutgoingMessage, _: &str) -> Result<usize, String> {
        begun().map(|()| 0)
    }
}

export_lifecycle!(Lived);
export_listener!(Lived);
export_strategy!(Lived);
export_selector!(Lived);
