//! A strategy that gives the last queue to nobody.

use gantry_guest::{MessageQueue, Strategy, StrategyDescription, export_strategy};

struct Drops;

impl Strategy for Drops {
    fn describe() -> StrategyDescription {
        StrategyDescription::new("strategy-drops")
    }

    fn allocate(
        _: &str,
        me: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Result<Vec<MessageQueue>, String> {
        let but_last = queues.split_last().map(|(_, rest)| rest).unwrap_or_default();
        round(me, but_last, members)
    }
}

/// Queue by queue, round the members.
fn round(me: &str, queues: &[MessageQueue], members: &[String]) -> Result<Vec<MessageQueue>, String> {
    let place = members.iter().position(|member| member == me).ok_or("not a member")?;
    Ok(queues.iter().skip(place).step_by(members.len()).cloned().collect())
}

export_strategy!(Drops);
