//! Filters of the embedding program, before the window (RocketMQ: FilterMessageHook).

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use gantry_protocol::{MessageExt, MessageQueue};

/// Decides which pulled messages a group consumes at all (RocketMQ: FilterMessageHook). What it takes away is passed over
/// as if the broker had filtered it: no listener sees it, and the offset may pass it.
///
/// Called on the host's network tasks for each pull that brought messages, of the retry topic too, before tags are
/// compared exactly: it must return soon. A panic is logged and the messages are kept as they were.
pub trait FilterMessageHook: Send + Sync + 'static {
    /// Its name, for logs (hookName).
    fn name(&self) -> &str;

    /// Whether `group` is to consume a message that was pulled from `mq`. In a namespace, both have their plain names;
    /// the message is as it is stored.
    fn wants(&self, group: &str, mq: &MessageQueue, message: &MessageExt) -> bool;
}

/// The hooks of a host, in the order they were added.
#[derive(Clone, Default)]
pub(crate) struct FilterHooks(Arc<ArcSwap<Vec<Arc<dyn FilterMessageHook>>>>);

impl FilterHooks {
    pub(crate) fn add(&self, hook: Arc<dyn FilterMessageHook>) {
        self.0.rcu(|hooks| {
            let mut hooks = Vec::clone(hooks);
            hooks.push(Arc::clone(&hook));
            hooks
        });
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// The messages every hook wants. `mq` is where they were pulled from, as users name it.
    pub(crate) fn keep(
        &self,
        group: &str,
        mq: impl FnOnce() -> MessageQueue,
        mut messages: Vec<MessageExt>,
    ) -> Vec<MessageExt> {
        if !self.is_empty() {
            let mq = mq();
            messages.retain(|message| self.wants(group, || mq.clone(), message));
        }
        messages
    }

    /// Whether every hook wants the message. `mq` is where it came from, as users name it.
    pub(crate) fn wants(&self, group: &str, mq: impl FnOnce() -> MessageQueue, message: &MessageExt) -> bool {
        let hooks = self.0.load();
        if hooks.is_empty() {
            return true;
        }
        let mq = &mq();
        hooks.iter().all(|hook| {
            let asked = std::panic::AssertUnwindSafe(|| hook.wants(group, mq, message));
            std::panic::catch_unwind(asked).unwrap_or_else(|_panic| {
                let id = message.message_id();
                tracing::error!(
                    group,
                    hook = hook.name(),
                    message = id,
                    "a filter hook panicked; the message is kept"
                );
                true
            })
        })
    }
}

impl fmt::Debug for FilterHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.load().iter().map(|hook| hook.name().to_owned())).finish()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use gantry_protocol::MessageRecord;

    use super::*;

    struct Even;

    impl FilterMessageHook for Even {
        fn name(&self) -> &str {
            "even"
        }

        fn wants(&self, group: &str, _: &MessageQueue, message: &MessageExt) -> bool {
            assert!(message.queue_offset() != 5, "the poison");
            group != "g" || message.queue_offset() % 2 == 0
        }
    }

    fn messages() -> Vec<MessageExt> {
        let record =
            |queue_offset| MessageRecord { queue_offset, topic: "t".to_owned(), ..MessageRecord::default() };
        (0..7)
            .map(|offset| {
                let mut bytes = BytesMut::new();
                record(offset).encode(&mut bytes).unwrap();
                MessageExt::decode(bytes.freeze()).unwrap()
            })
            .collect()
    }

    #[test]
    fn what_a_hook_does_not_want_is_taken_away_and_what_it_panics_at_is_kept() {
        let (hooks, mq) = (FilterHooks::default(), MessageQueue::new("t", "b", 0));
        let kept = |group| {
            let kept = hooks.keep(group, || mq.clone(), messages());
            kept.iter().map(MessageExt::queue_offset).collect::<Vec<_>>()
        };
        assert_eq!(kept("g"), [0, 1, 2, 3, 4, 5, 6]);
        hooks.add(Arc::new(Even));
        assert_eq!(kept("g"), [0, 2, 4, 5, 6]);
        assert_eq!(kept("other").len(), 7);
    }
}
