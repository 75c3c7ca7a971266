//! What comes back to a group's driver from requests and listeners.

use std::sync::Arc;

use gantry_core::{
    AckId, AllocateId, Assignment, BatchId, ChangeId, HeartbeatOutcome, LockFailure, LockId, OffsetAnswer,
    OffsetQueryId, PersistId, PopId, PopOutcome, PullId, PullOutcome, Route, SendBackId, Settlement,
    UnlockId,
};
use gantry_protocol::MessageQueue;
use gantry_protocol::pop::PopReceipt;

use super::answers::Question;

/// One answer for the machine.
#[derive(Debug)]
pub(super) enum Input {
    /// A topic's route.
    Route(Arc<str>, Route),
    /// How a heartbeat went.
    Heartbeat(HeartbeatOutcome),
    /// The group's members, if they could be learnt.
    Members(Arc<str>, Option<Vec<String>>),
    /// An offset.
    Offset(OffsetQueryId, OffsetAnswer),
    /// A pull's end.
    Pulled(PullId, PullOutcome),
    /// A batch whose messages were all consumed.
    Succeeded(BatchId),
    /// A batch's results.
    Consumed(BatchId, Vec<Settlement>),
    /// What some calls of a batch came to, messages by their places; others go on.
    ConsumedPart(BatchId, Vec<(usize, Settlement)>),
    /// Whether a message was given back.
    SentBack(SendBackId, Result<(), String>),
    /// Whether an offset was stored.
    Persisted(PersistId, Result<(), String>),
    /// Which queues are locked.
    Locked(LockId, Result<Vec<MessageQueue>, LockFailure>),
    /// Whether a lock was given back.
    Unlocked(UnlockId, Result<(), String>),
    /// What a strategy plugin answered to each member.
    Allocated(AllocateId, Result<Vec<(String, Vec<MessageQueue>)>, String>),
    /// What a broker says this member is to pop.
    Assigned(Arc<str>, Assignment),
    /// A pop's end.
    Popped(PopId, PopOutcome),
    /// Whether popped messages are settled.
    Acked(AckId, Result<(), String>),
    /// What settles a popped message after its invisible time was changed.
    Changed(ChangeId, Result<PopReceipt, String>),
    /// What an operator asks through a broker.
    Asked(Question),
}
