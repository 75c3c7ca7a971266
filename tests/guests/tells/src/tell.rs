//! A listener that answers each message with a dead letter whose reason is all it can find out of the message, so that a
//! test can hold two ways of being told against each other.

use gantry_guest::{Context, Description, Failure, Listener, Message};

/// The listener.
pub(crate) struct Tells;

impl Listener for Tells {
    fn describe() -> Description {
        Description::new("tells", "tells-group").subscribe("tells", "*").batch_max_size(1024)
    }

    fn consume(context: &Context, message: &Message) -> Result<(), Failure> {
        let all = everything(context, message);
        // A reason is cut where it is long: what comes first stands for the rest.
        Err(Failure::dead_letter(format!("{:016x} {all}", number(all.as_bytes()))))
    }
}

fn everything(context: &Context, message: &Message) -> String {
    let user: Vec<_> = message.user_properties().collect();
    let asked: Vec<_> = ["TAGS", "UNIQ_KEY", "RETRY_TOPIC", "a", "Stra\u{df}e", ""]
        .iter()
        .map(|name| message.property(name))
        .collect();
    format!(
        "{context:?} {} {:?} {:?} {} {} {} {} {:?} {:?} {:?} {:?} {:?} {user:?} {asked:?} {:?} {:016x}",
        message.message_id(),
        message.tags(),
        message.keys().collect::<Vec<_>>(),
        message.reconsume_times(),
        message.queue_offset(),
        message.born_timestamp(),
        message.store_timestamp(),
        message.key(),
        message.born_host(),
        message.store_host(),
        message.offset_message_id(),
        message.body().len(),
        message.properties(),
        number(message.body()),
    )
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
