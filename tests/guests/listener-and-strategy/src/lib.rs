//! A listener and a strategy in one component: success for every message, and every queue to the first member.

use gantry_guest::{
    Context, Description, Failure, Listener, Message, MessageQueue, Strategy, StrategyDescription,
    export_listener, export_strategy,
};

struct Both;

impl Listener for Both {
    fn describe() -> Description {
        Description::new("both", "both-group").subscribe("both", "*")
    }

    fn consume(_: &Context, _: &Message) -> Result<(), Failure> {
        Ok(())
    }
}

impl Strategy for Both {
    fn describe() -> StrategyDescription {
        StrategyDescription::new("all-to-first")
    }

    fn allocate(
        group: &str,
        me: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Result<Vec<MessageQueue>, String> {
        let first = members.first().ok_or_else(|| format!("{group} has no members"))?;
        Ok(if first == me { queues.to_vec() } else { Vec::new() })
    }
}

export_listener!(Both);
export_strategy!(Both);
