//! Names for what the core asks of its driver, so that an answer finds what asked for it and a late answer finds nothing.

use std::fmt;

/// What a host calls one of its listeners; the host chooses the number and must not reuse it within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u64);

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listener {}", self.0)
    }
}

/// One ownership of one queue. A queue that is released and taken again gets a new key, so that nothing of the
/// former ownership can reach the new one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QueueKey(pub(crate) u64);

macro_rules! queue_request_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        /// The default is nobody's.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            pub(crate) queue: QueueKey,
            pub(crate) serial: u64,
        }
    };
}

queue_request_id! {
    /// One pull, from [`Action::Pull`](crate::Action::Pull) to [`handle_pulled`](crate::ConsumerGroup::handle_pulled).
    PullId
}
queue_request_id! {
    /// One question about an offset, answered by [`handle_offset`](crate::ConsumerGroup::handle_offset).
    OffsetQueryId
}
queue_request_id! {
    /// One offset on its way to the broker, answered by [`handle_persisted`](crate::ConsumerGroup::handle_persisted).
    PersistId
}
queue_request_id! {
    /// One batch at a listener, answered by [`handle_consumed`](crate::ConsumerGroup::handle_consumed).
    BatchId
}
queue_request_id! {
    /// One message on its way back to the broker, answered by
    /// [`handle_sent_back`](crate::ConsumerGroup::handle_sent_back).
    SendBackId
}
queue_request_id! {
    /// One lock being given up, answered by [`handle_unlocked`](crate::ConsumerGroup::handle_unlocked).
    UnlockId
}

queue_request_id! {
    /// One pop, from [`Action::Pop`](crate::Action::Pop) to
    /// [`handle_popped`](crate::PopConsumerGroup::handle_popped).
    PopId
}
queue_request_id! {
    /// One change of a message's invisible time, answered by
    /// [`handle_changed`](crate::PopConsumerGroup::handle_changed).
    ChangeId
}

macro_rules! group_request_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) u64);
    };
}

group_request_id! {
    /// One request for locks, answered by [`handle_locked`](crate::ConsumerGroup::handle_locked).
    LockId
}
group_request_id! {
    /// One question to a strategy, answered by [`handle_allocated`](crate::ConsumerGroup::handle_allocated).
    AllocateId
}
group_request_id! {
    /// One request that settles messages, answered by [`handle_acked`](crate::PopConsumerGroup::handle_acked).
    AckId
}
