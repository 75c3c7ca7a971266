//! A strategy that gives each member a run of neighbouring queues, as RocketMQ's `AVG` does: a sound one, with another
//! division than the sample's.

use gantry_guest::MessageQueue;

#[gantry_guest::strategy(name = "blocks")]
fn allocate(
    _group: &str,
    me: &str,
    queues: &[MessageQueue],
    members: &[String],
) -> Result<Vec<MessageQueue>, String> {
    let place = members.iter().position(|member| member == me).ok_or("not a member")?;
    let start = |place: usize| place * queues.len() / members.len();
    Ok(queues.get(start(place)..start(place + 1)).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::queues;

    #[test]
    fn shares_are_runs_of_all_queues() {
        let members = ["a", "b", "c"].map(str::to_owned);
        let shares: Vec<_> =
            members.iter().map(|member| allocate("g", member, &queues("t", 8), &members).unwrap()).collect();
        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3, 3]);
        assert_eq!(shares.concat(), queues("t", 8));
    }
}
