use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// What a group popped last of a queue it pops in order (RocketMQ: ConsumerOrderInfoManager.OrderInfo).
///
/// Nothing more of the queue is popped until all of it is settled, or hidden no longer. It is stored as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    popped_ms: i64,
    attempt: Option<String>,
    messages: Vec<Ordered>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ordered {
    offset: i64,
    /// Offset of the record behind it.
    end: i64,
    hidden_until_ms: i64,
    settled: bool,
    /// How often it was popped before.
    times: i32,
}

impl Order {
    /// When something more may be popped; `None` is now. The same attempt may repeat its pop at any time.
    pub(crate) fn blocked_until(&self, attempt: Option<&str>, now_ms: i64) -> Option<i64> {
        if attempt.is_some_and(|attempt| self.attempt.as_deref() == Some(attempt)) {
            return None;
        }
        let hidden = self.messages.iter().filter(|message| !message.settled);
        hidden.map(|message| message.hidden_until_ms).filter(|until_ms| *until_ms > now_ms).max()
    }

    /// The next pop after this one, of records that begin and end at these offsets.
    pub(crate) fn next(
        &self,
        attempt: Option<String>,
        records: &[(i64, i64)],
        popped_ms: i64,
        hidden_until_ms: i64,
    ) -> Self {
        let again = attempt.is_none() || attempt != self.attempt;
        let before: HashMap<i64, i32> =
            self.messages.iter().map(|message| (message.offset, message.times)).collect();
        let ordered = |&(offset, end): &(i64, i64)| {
            let times = before.get(&offset).map_or(0, |times| times + i32::from(again));
            Ordered { offset, end, hidden_until_ms, settled: false, times }
        };
        Self { popped_ms, attempt, messages: records.iter().map(ordered).collect() }
    }

    /// Whether all of it is settled: then nothing of it need be remembered.
    pub(crate) fn is_over(&self) -> bool {
        self.messages.iter().all(|message| message.settled)
    }

    /// The form it is stored in; `None` when it is over.
    pub(crate) fn stored(&self) -> Option<String> {
        if self.is_over() { None } else { serde_json::to_string(self).ok() }
    }

    /// Settles a message; answers the offset the group has come to by that. `None`: another pop's message.
    pub(crate) fn settle(&mut self, offset: i64, popped_ms: i64) -> Option<i64> {
        self.message(offset, popped_ms)?.settled = true;
        let open = self.messages.iter().find(|message| !message.settled).map(|message| message.offset);
        open.or_else(|| self.messages.last().map(|message| message.end))
    }

    /// Hides a message until then. `None`: another pop's message.
    pub(crate) fn hide(&mut self, offset: i64, popped_ms: i64, until_ms: i64) -> Option<()> {
        self.message(offset, popped_ms)?.hidden_until_ms = until_ms;
        Some(())
    }

    /// orderCountInfo of the pop: `0 qo<queue>%<offset> <times>` for messages popped before, and the least of all.
    pub(crate) fn counts(&self, queue_id: i32) -> String {
        let counted = self.messages.iter().filter(|message| message.times > 0);
        let mut parts: Vec<String> =
            counted.map(|message| format!("0 qo{queue_id}%{} {}", message.offset, message.times)).collect();
        let least = self.messages.iter().map(|message| message.times).min().unwrap_or(0);
        parts.push(format!("0 {queue_id} {least}"));
        parts.join(";")
    }

    fn message(&mut self, offset: i64, popped_ms: i64) -> Option<&mut Ordered> {
        if self.popped_ms != popped_ms {
            return None;
        }
        self.messages.iter_mut().find(|message| message.offset == offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped() -> Order {
        Order::default().next(Some("a1".to_owned()), &single(&[5, 6, 8]), 100, 200)
    }

    fn single(offsets: &[i64]) -> Vec<(i64, i64)> {
        offsets.iter().map(|offset| (*offset, offset + 1)).collect()
    }

    #[test]
    fn an_order_blocks_until_it_is_settled_or_visible_again() {
        let mut order = popped();
        assert_eq!(order.blocked_until(Some("a2"), 150), Some(200));
        assert_eq!(order.blocked_until(None, 150), Some(200));
        assert_eq!(order.blocked_until(Some("a1"), 150), None);
        assert_eq!(order.blocked_until(Some("a2"), 200), None);
        order.hide(6, 100, 300).unwrap();
        assert_eq!(order.blocked_until(Some("a2"), 200), Some(300));
        for offset in [5, 6, 8] {
            order.settle(offset, 100).unwrap();
        }
        assert_eq!(order.blocked_until(Some("a2"), 150), None);
    }

    #[test]
    fn settled_messages_move_the_offset_to_the_first_open_one() {
        let mut order = popped();
        assert_eq!(order.settle(6, 100), Some(5));
        assert_eq!(order.settle(5, 100), Some(8));
        assert_eq!(order.settle(8, 100), Some(9));
        assert_eq!(order.settle(5, 99), None);
        assert_eq!(order.settle(7, 100), None);
    }

    #[test]
    fn a_record_of_several_messages_is_passed_as_a_whole() {
        let mut order = Order::default().next(None, &[(5, 15), (15, 16)], 100, 200);
        assert_eq!(order.settle(5, 100), Some(15));
        assert!(!order.is_over());
        assert_eq!(order.settle(15, 100), Some(16));
        assert!(order.is_over());
    }

    #[test]
    fn an_order_is_read_as_it_was_stored() {
        let mut order = popped();
        order.settle(5, 100).unwrap();
        let text = order.stored().unwrap();
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);
    }

    #[test]
    fn times_are_counted_by_attempt() {
        let first = popped();
        assert_eq!(first.counts(0), "0 0 0");
        let repeated = first.next(Some("a1".to_owned()), &single(&[5, 6, 8]), 110, 210);
        assert_eq!(repeated.counts(0), "0 0 0");
        let second = repeated.next(Some("a2".to_owned()), &single(&[5, 6]), 300, 400);
        assert_eq!(second.counts(0), "0 qo0%5 1;0 qo0%6 1;0 0 1");
        let third = second.next(Some("a3".to_owned()), &single(&[6, 9]), 500, 600);
        assert_eq!(third.counts(2), "0 qo2%6 2;0 2 0");
    }
}
