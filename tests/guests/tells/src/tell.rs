//! A listener that answers each message with a dead letter whose reason is all it can find out of the message, so that a
//! test can hold two ways of being told against each other, and against what another client sees.
//!
//! What may be long is told by its [`number`]. Before ` also ` stands what any client of RocketMQ can tell; behind it the
//! number of what only the SDK has words for, and the names of group and topic.

use gantry_guest::{Context, Description, Failure, Listener, Message};

/// The listener.
pub(crate) struct Tells;

impl Listener for Tells {
    fn describe() -> Description {
        Description::new("tells", "tells-group").subscribe("tells", "*").batch_max_size(1024)
    }

    fn consume(context: &Context, message: &Message) -> Result<(), Failure> {
        let also = number(also(context, message).as_bytes());
        let (group, topic) = (context.consumer_group(), context.topic());
        let seen = seen(context, message);
        Err(Failure::dead_letter(format!("{seen} also {also:016x} {group:?} {topic:?}")))
    }
}

fn seen(context: &Context, message: &Message) -> String {
    let user: Vec<_> = message.user_properties().map(|(name, value)| format!("{name}={value}\n")).collect();
    let all: Vec<_> = message.properties().iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    format!(
        "queue={}/{} offset={} id={} offset-id={} tags={:016x} keys={:016x} times={} born={}@{} stored={}@{} \
         body={}:{:016x} properties={:016x} user={:016x}",
        context.broker_name(),
        context.queue_id(),
        message.queue_offset(),
        message.message_id(),
        message.offset_message_id().unwrap_or_default(),
        number(message.tags().unwrap_or_default().as_bytes()),
        number(message.keys().collect::<Vec<_>>().join(" ").as_bytes()),
        message.reconsume_times(),
        message.born_timestamp(),
        message.born_host().unwrap_or_default(),
        message.store_timestamp(),
        message.store_host().unwrap_or_default(),
        message.body().len(),
        number(message.body()),
        sorted(all),
        sorted(user),
    )
}

fn also(context: &Context, message: &Message) -> String {
    let user: Vec<_> = message.user_properties().collect();
    let asked: Vec<_> = ["TAGS", "UNIQ_KEY", "RETRY_TOPIC", "a", "Stra\u{df}e", ""]
        .iter()
        .map(|name| message.property(name))
        .collect();
    format!(
        "{context:?} {:?} {:?} {:?} {user:?} {asked:?}",
        message.key(),
        message.tags(),
        message.properties()
    )
}

/// The number of these lines, in whatever order they came.
fn sorted(mut lines: Vec<String>) -> u64 {
    lines.sort();
    number(lines.concat().as_bytes())
}

/// FNV-1a.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::{MessageBuilder, context};

    #[test]
    fn what_differs_is_told_apart() {
        let told =
            |body: &str| Tells::consume(&context("tells"), &MessageBuilder::new(body).build()).unwrap_err();
        assert_eq!(told("a"), told("a"));
        assert_ne!(told("a"), told("b"));
    }
}
