//! The calls of one connection that await their answer.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use gantry_protocol::RemotingCommand;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::error::CloseReason;

type Answer = Result<RemotingCommand, CloseReason>;

/// What came of a call that nobody waits for.
#[derive(Debug)]
pub(crate) enum End {
    Answered(RemotingCommand),
    Refused(Refusal),
    TimedOut,
}

/// Called with the end of a call.
pub(crate) type Done = Box<dyn FnOnce(End) + Send>;

/// Who is told of an answer.
enum Asker {
    /// It waits, and watches its deadline itself.
    Waits(oneshot::Sender<Answer>),
    /// It is told, of its deadline by who [looks](Calls::late) for it.
    Told { asked: Instant, deadline: Instant, done: Done },
}

impl Asker {
    /// False where it has gone.
    fn answered(self, answer: RemotingCommand) -> bool {
        match self {
            Self::Waits(sender) => return sender.send(Ok(answer)).is_ok(),
            Self::Told { done, .. } => done(End::Answered(answer)),
        }
        true
    }

    fn closed(self, reason: CloseReason) {
        match self {
            // A caller that gave up meanwhile is no loss.
            Self::Waits(sender) => drop(sender.send(Err(reason))),
            Self::Told { done, .. } => done(End::Refused(Refusal::Closed(reason))),
        }
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waits(_) => "Waits",
            Self::Told { .. } => "Told",
        })
    }
}

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
    pending: BTreeMap<i32, Asker>,
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
        let table = Table { next_opaque: first, pending: BTreeMap::new(), closed: None, retired: false };
        Self { limit, table: Mutex::new(table), drained: Notify::new() }
    }

    /// Registers a call under a number no other pending call has.
    pub(crate) fn open(&self) -> Result<Call<'_>, Refusal> {
        let mut table = self.lock();
        table.admits(self.limit)?;
        let opaque = table.unused_opaque();
        let (sender, answer) = oneshot::channel();
        table.pending.insert(opaque, Asker::Waits(sender));
        Ok(Call { calls: self, opaque, answer })
    }

    /// A number for a command that nobody answers, or for a call that is about to be [told](Self::tell).
    pub(crate) fn unused_opaque(&self) -> i32 {
        self.lock().unused_opaque()
    }

    /// Registers a call of a number that was given out just before: `done` is told how it ends, at once where it is
    /// refused. Whether it was registered.
    pub(crate) fn tell(&self, opaque: i32, asked: Instant, deadline: Instant, done: Done) -> bool {
        let mut table = self.lock();
        let refused = table.admits(self.limit);
        if let Err(refusal) = refused {
            drop(table);
            done(End::Refused(refusal));
            return false;
        }
        table.pending.insert(opaque, Asker::Told { asked, deadline, done });
        true
    }

    /// Whether a call would be refused now.
    pub(crate) fn refuses(&self) -> bool {
        self.lock().admits(self.limit).is_err()
    }

    /// Takes the calls that are to be told that their deadline is over, with when they were made.
    pub(crate) fn late(&self, now: Instant) -> Vec<(Instant, Done)> {
        let late: Vec<_> = {
            let table = self.lock();
            let over = |asker: &Asker| matches!(asker, Asker::Told { deadline, .. } if *deadline <= now);
            table.pending.iter().filter(|(_, asker)| over(asker)).map(|(opaque, _)| *opaque).collect()
        };
        let taken = late.into_iter().filter_map(|opaque| match self.take(opaque)? {
            Asker::Told { asked, done, .. } => Some((asked, done)),
            Asker::Waits(_) => None,
        });
        taken.collect()
    }

    /// Hands an answer to its call; false when nobody awaits it.
    pub(crate) fn complete(&self, answer: RemotingCommand) -> bool {
        let asker = self.take(answer.opaque);
        asker.is_some_and(|asker| asker.answered(answer))
    }

    /// Fails every pending call and refuses further ones. The first reason stays.
    pub(crate) fn close(&self, reason: &CloseReason) {
        let pending = {
            let mut table = self.lock();
            table.closed.get_or_insert_with(|| reason.clone());
            std::mem::take(&mut table.pending)
        };
        for asker in pending.into_values() {
            asker.closed(reason.clone());
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

    fn take(&self, opaque: i32) -> Option<Asker> {
        let mut table = self.lock();
        let asker = table.pending.remove(&opaque);
        if table.retired && table.pending.is_empty() {
            self.drained.notify_one();
        }
        asker
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn admits(&self, limit: usize) -> Result<(), Refusal> {
        match &self.closed {
            Some(reason) => Err(Refusal::Closed(reason.clone())),
            None if self.pending.len() >= limit => Err(Refusal::Full),
            None => Ok(()),
        }
    }

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
        assert_eq!(calls.unused_opaque(), i32::MIN);
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

    fn told(calls: &Calls, asked: Instant, deadline: Instant) -> (i32, oneshot::Receiver<End>) {
        let (sender, end) = oneshot::channel();
        let opaque = calls.unused_opaque();
        calls.tell(opaque, asked, deadline, Box::new(move |end| sender.send(end).unwrap()));
        (opaque, end)
    }

    #[test]
    fn who_does_not_wait_is_told_of_the_answer_or_the_end_and_found_when_late() {
        let (calls, now) = (Calls::new(8, 0), Instant::now());
        let later = now + std::time::Duration::from_secs(1);
        let (first, mut answered) = told(&calls, now, now);
        let (_, mut late) = told(&calls, now, now);
        let (_, mut closed) = told(&calls, now, later);
        assert!(calls.complete(answer(first)));
        assert!(matches!(answered.try_recv(), Ok(End::Answered(command)) if command.opaque == first));
        for (asked, done) in calls.late(now) {
            assert_eq!(asked, now);
            done(End::TimedOut);
        }
        assert!(matches!(late.try_recv(), Ok(End::TimedOut)));
        assert_eq!(calls.pending(), 1);
        calls.close(&CloseReason::PeerClosed);
        let peer_closed = |end| matches!(end, Ok(End::Refused(Refusal::Closed(CloseReason::PeerClosed))));
        assert!(peer_closed(closed.try_recv()));
        assert!(calls.refuses());
        assert!(peer_closed(told(&calls, now, later).1.try_recv()));
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
