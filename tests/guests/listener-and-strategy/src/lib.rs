//! A listener and a strategy in one component: success for every message, and every queue to the first member.

use gantry_guest::{Failure, Message, MessageQueue};

#[gantry_guest::listener(name = "both", group = "both-group", topic = "both")]
fn consume(_: &Message) -> Result<(), Failure> {
    Ok(())
}

#[gantry_guest::strategy(name = "all-to-first")]
fn allocate(
    group: &str,
    me: &str,
    queues: &[MessageQueue],
    members: &[String],
) -> Result<Vec<MessageQueue>, String> {
    let first = members.first().ok_or_else(|| format!("{group} has no members"))?;
    Ok(if first == me { queues.to_vec() } else { Vec::new() })
}
