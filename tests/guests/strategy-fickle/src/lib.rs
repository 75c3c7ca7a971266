//! A strategy that counts its calls and answers by the count: differently when asked again by the same instance.

use std::sync::atomic::{AtomicUsize, Ordering};

use gantry_guest::{MessageQueue, Strategy, StrategyDescription, export_strategy};

struct Fickle;

impl Strategy for Fickle {
    fn describe() -> StrategyDescription {
        StrategyDescription::new("strategy-fickle")
    }

    fn allocate(
        _: &str,
        me: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Result<Vec<MessageQueue>, String> {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let turned = CALLS.fetch_add(1, Ordering::Relaxed) % members.len().max(1);
        let turned = [members.get(turned..), members.get(..turned)].into_iter().flatten().flatten();
        round(me, queues, &turned.cloned().collect::<Vec<_>>())
    }
}

/// Queue by queue, round the members.
fn round(me: &str, queues: &[MessageQueue], members: &[String]) -> Result<Vec<MessageQueue>, String> {
    let place = members.iter().position(|member| member == me).ok_or("not a member")?;
    Ok(queues.iter().skip(place).step_by(members.len()).cloned().collect())
}

export_strategy!(Fickle);
