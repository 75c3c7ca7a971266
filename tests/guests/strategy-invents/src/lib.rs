//! A strategy that gives the first member a queue that there is not, instead of its last one.

use gantry_guest::{MessageQueue, Strategy, StrategyDescription, export_strategy};

struct Invents;

impl Strategy for Invents {
    fn describe() -> StrategyDescription {
        StrategyDescription::new("strategy-invents")
    }

    fn allocate(
        _: &str,
        me: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Result<Vec<MessageQueue>, String> {
        let mut mine = round(me, queues, members)?;
        if let Some(last) = mine.last_mut().filter(|_| members.first().is_some_and(|first| first == me)) {
            last.queue_id = 9_999;
        }
        Ok(mine)
    }
}

/// Queue by queue, round the members.
fn round(me: &str, queues: &[MessageQueue], members: &[String]) -> Result<Vec<MessageQueue>, String> {
    let place = members.iter().position(|member| member == me).ok_or("not a member")?;
    Ok(queues.iter().skip(place).step_by(members.len()).cloned().collect())
}

export_strategy!(Invents);
