//! The calls of one connection that await their answer.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use gantry_protocol::RemotingCommand;
use tokio::sync::{Notify, oneshot};

use crate::error::CloseReason;

type Answer = Result<RemotingCommand, CloseReason>;

/// The pending table, with the opaque numbers of what this side asks.
#[derive(Debug)]
pub(crate) struct Calls {
    limit: usize,
    table: Mutex<Table>,
    /// Signalled when the last call of a retired connection has ended.
    drained: Notify,
}

#[derive(Debug)]
struct Table {
    next_opaque: i32,
    pending: HashMap<i32, oneshot::Sender<Answer>>,
    closed: Option<CloseReason>,
    retired: bool,
}

/// Why no call can be made.
#[derive(Debug)]
pub(crate) enum Refusal {
    Full,
    Closed(CloseReason),
}

/// One call on its way; leaving the scope ends it, answered or not.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    calls: &'a Calls,
    pub(crate) opaque: i32,
    answer: oneshot::Receiver<Answer>,
}

impl Calls {
    /// A table for `limit` calls; the first one has the number `first`.
    pub(crate) fn new(limit: usize, first: i32) -> Self {
        let table = Table { next_opaque: first, pending: HashMap::new(), closed: None, retired: false };
        Self { limit, table: Mutex::new(table), drained: Notify::new() }
    }

    /// Registers a call under a number no other pending call has.
    pub(crate) fn open(&self) -> Result<Call<'_>, Refusal> {
        let mut table = self.lock();
        if let Some(reason) = &table.closed {
            return Err(Refusal::Closed(reason.clone()));
        }
        if table.pending.len() >= self.limit {
            return Err(Refusal::Full);
        }
        let opaque = table.unused_opaque();
        let (sender, answer) = oneshot::channel();
        table.pending.insert(opaque, sender);
        Ok(Call { calls: self, opaque, answer })
    }

    /// A number for a command that nobody answers.
    pub(crate) fn oneway_opaque(&self) -> i32 {
        self.lock().unused_opaque()
    }

    /// Hands an answer to its call; false when nobody awaits it.
    pub(crate) fn complete(&self, answer: RemotingCommand) -> bool {
        let waiting = self.take(answer.opaque);
        waiting.is_some_and(|sender| sender.send(Ok(answer)).is_ok())
    }

    /// Fails every pending call and refuses further ones. The first reason stays.
    pub(crate) fn close(&self, reason: &CloseReason) {
        let pending = {
            let mut table = self.lock();
            table.closed.get_or_insert_with(|| reason.clone());
            std::mem::take(&mut table.pending)
        };
        for sender in pending.into_values() {
            // A caller that gave up meanwhile is no loss.
            let _ = sender.send(Err(reason.clone()));
        }
    }

    /// Why the connection ended, `None` while it has not.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.lock().closed.clone()
    }

    /// Waits until no call is pending. Call it when no new ones come any more.
    pub(crate) async fn drain(&self) {
        let empty = {
            let mut table = self.lock();
            table.retired = true;
            table.pending.is_empty()
        };
        if !empty {
            self.drained.notified().await;
        }
    }

    /// Calls that await their answer.
    #[cfg(test)]
    pub(crate) fn pending(&self) -> usize {
        self.lock().pending.len()
    }

    fn take(&self, opaque: i32) -> Option<oneshot::Sender<Answer>> {
        let mut table = self.lock();
        let sender = table.pending.remove(&opaque);
        if table.retired && table.pending.is_empty() {
            self.drained.notify_one();
        }
        sender
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends because the table holds far fewer calls than there are numbers.
    fn unused_opaque(&mut self) -> i32 {
        loop {
            let opaque = self.next_opaque;
            self.next_opaque = opaque.wrapping_add(1);
            if !self.pending.contains_key(&opaque) {
                return opaque;
            }
        }
    }
}

impl Call<'_> {
    /// The answer, or why there will be none.
    pub(crate) async fn answer(&mut self) -> Answer {
        match (&mut self.answer).await {
            Ok(answer) => answer,
            Err(_) => Err(self.calls.closed().unwrap_or(CloseReason::Requested)),
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.calls.take(self.opaque);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_protocol::ResponseCode;

    fn answer(opaque: i32) -> RemotingCommand {
        let mut command = RemotingCommand::response(ResponseCode::SUCCESS);
        command.opaque = opaque;
        command
    }

    #[tokio::test]
    async fn answers_find_their_calls_in_any_order() {
        let calls = Calls::new(8, 0);
        let mut first = calls.open().unwrap();
        let mut second = calls.open().unwrap();
        assert!(calls.complete(answer(second.opaque)));
        assert!(calls.complete(answer(first.opaque)));
        assert_eq!(second.answer().await.unwrap().opaque, second.opaque);
        assert_eq!(first.answer().await.unwrap().opaque, first.opaque);
    }

    #[test]
    fn opaque_numbers_wrap_and_skip_those_in_use() {
        let calls = Calls::new(8, i32::MAX);
        let held = calls.open().unwrap();
        assert_eq!(held.opaque, i32::MAX);
        assert_eq!(calls.open().unwrap().opaque, i32::MIN);
        calls.lock().next_opaque = i32::MAX;
        assert_eq!(calls.oneway_opaque(), i32::MIN);
    }

    #[test]
    fn the_table_is_bounded_and_a_dropped_call_makes_room() {
        let calls = Calls::new(1, 0);
        let held = calls.open().unwrap();
        assert!(matches!(calls.open(), Err(Refusal::Full)));
        drop(held);
        assert_eq!(calls.pending(), 0);
        assert!(calls.open().is_ok());
    }

    #[tokio::test]
    async fn closing_fails_what_is_pending_and_what_comes_later_with_the_first_reason() {
        let calls = Calls::new(8, 0);
        let mut call = calls.open().unwrap();
        calls.close(&CloseReason::PeerClosed);
        calls.close(&CloseReason::Requested);
        assert!(matches!(call.answer().await, Err(CloseReason::PeerClosed)));
        assert!(matches!(calls.open(), Err(Refusal::Closed(CloseReason::PeerClosed))));
    }

    #[test]
    fn an_answer_nobody_awaits_is_told_apart() {
        let calls = Calls::new(8, 0);
        assert!(!calls.complete(answer(7)));
    }

    #[tokio::test]
    async fn draining_ends_with_the_last_call() {
        let calls = Calls::new(8, 0);
        calls.drain().await;
        let call = calls.open().unwrap();
        let (drained, ()) =
            tokio::join!(tokio::time::timeout(std::time::Duration::from_secs(30), calls.drain()), async {
                drop(call)
            });
        drained.unwrap();
    }
}
