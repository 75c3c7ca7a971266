//! A strategy that gives the first queue to every member.

use gantry_guest::{MessageQueue, Strategy, StrategyDescription, export_strategy};

struct Doubles;

impl Strategy for Doubles {
    fn describe() -> StrategyDescription {
        StrategyDescription::new("strategy-doubles")
    }

    fn allocate(
        _: &str,
        me: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Result<Vec<MessageQueue>, String> {
        let mut mine = round(me, queues, members)?;
        if let Some(first) = queues.first().filter(|first| !mine.contains(first)) {
            mine.push(first.clone());
        }
        Ok(mine)
    }
}

/// Queue by queue, round the members.
fn round(me: &str, queues: &[MessageQueue], members: &[String]) -> Result<Vec<MessageQueue>, String> {
    let place = members.iter().position(|member| member == me).ok_or("not a member")?;
    Ok(queues.iter().skip(place).step_by(members.len()).cloned().collect())
}

export_strategy!(Doubles);
