//! A queue selector: equal arguments, such as one order's id, go to one queue, and when queues are added few of them move.
//!
//! RocketMQ's `SelectMessageQueueByHash` divides by the number of queues: with one more, nearly every argument goes to
//! another. Here (jump consistent hash, Lamping and Veach) one in as many as there are queues does, each to the new one.

use gantry_guest::{MessageQueue, OutgoingMessage, Selector, SelectorDescription, export_selector};

struct JumpHash;

impl Selector for JumpHash {
    fn describe() -> SelectorDescription {
        SelectorDescription::new("jump-hash")
    }

    fn select(queues: &[MessageQueue], _: &OutgoingMessage, arg: &str) -> Result<usize, String> {
        if arg.is_empty() {
            return Err("an empty argument says nothing of where the message belongs".to_owned());
        }
        Ok(bucket(number(arg), queues.len()))
    }
}

/// Which of `buckets` the number falls into: it goes from jump to jump, each to a bucket that was added later, as long as
/// there are that many.
fn bucket(mut number: u64, buckets: usize) -> usize {
    let (mut at, mut next) = (0_u64, 0_u64);
    let buckets = u64::try_from(buckets).unwrap_or(u64::MAX);
    while next < buckets {
        at = next;
        number = number.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // (at + 1) * 2^31 / (the number's high 31 bits + 1), in whole numbers: the same on every machine.
        next = u64::try_from((u128::from(at + 1) << 31) / u128::from((number >> 33) + 1)).unwrap_or(u64::MAX);
    }
    usize::try_from(at).unwrap_or(0)
}

/// FNV-1a, 64 bits.
fn number(text: &str) -> u64 {
    text.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

export_selector!(JumpHash);

#[cfg(test)]
mod tests {
    use super::*;

    fn places(queues: usize) -> Vec<usize> {
        (0..4_000).map(|order| bucket(number(&format!("order-{order}")), queues)).collect()
    }

    #[test]
    fn every_queue_has_its_part() {
        let places = places(8);
        for queue in 0..8 {
            let part = places.iter().filter(|place| **place == queue).count();
            assert!((350..650).contains(&part), "queue {queue} has {part} of 4000");
        }
    }

    #[test]
    fn a_queue_that_is_added_takes_its_part_and_nothing_else_moves() {
        let (before, after) = (places(8), places(9));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        assert!(moved.iter().all(|(_, after)| **after == 8));
        assert!((300..600).contains(&moved.len()), "{} of 4000 moved", moved.len());
    }
}
