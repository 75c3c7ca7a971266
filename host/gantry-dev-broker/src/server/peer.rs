use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gantry_protocol::{RemotingCommand, ResponseCode};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::CloseReason;
use super::output::Frame;
use crate::sync::lock;

/// Most questions of the broker that one client has not answered yet.
const PENDING_QUESTIONS: usize = 256;

/// One connection, as handlers see it: where replies and pushes go.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    /// The broker's own address on this connection.
    pub(crate) reached_at: Option<SocketAddr>,
    outgoing: mpsc::Sender<Frame>,
    queued_bytes: AtomicUsize,
    limit_bytes: usize,
    next_opaque: AtomicI32,
    questions: Mutex<HashMap<i32, oneshot::Sender<RemotingCommand>>>,
    closed_for: Mutex<Option<CloseReason>>,
    pub(super) closing: CancellationToken,
}

/// What a handler still needs of a request once it has read it: whom to answer, and how.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) peer: Arc<Peer>,
    opaque: i32,
    oneway: bool,
}

/// Why a client did not answer a question of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    #[error("too many unanswered questions to this client")]
    TooMany,
    #[error("the client did not answer in time")]
    Timeout,
    #[error("the client disconnected")]
    Gone,
}

impl Peer {
    pub(super) fn new(
        id: u64,
        (address, reached_at): (SocketAddr, Option<SocketAddr>),
        outgoing: mpsc::Sender<Frame>,
        limit_bytes: usize,
    ) -> Self {
        Self {
            id,
            address,
            reached_at,
            outgoing,
            queued_bytes: AtomicUsize::new(0),
            limit_bytes,
            next_opaque: AtomicI32::new(1),
            questions: Mutex::default(),
            closed_for: Mutex::default(),
            closing: CancellationToken::new(),
        }
    }

    /// Queues a command. A peer that does not read what is queued is closed when its bound is reached.
    pub(crate) fn send(&self, command: RemotingCommand) {
        self.send_frame(Frame { command, pieces: Vec::new() });
    }

    fn send_frame(&self, frame: Frame) {
        let size = frame.weight();
        let queued = self.queued_bytes.fetch_add(size, Ordering::Relaxed);
        // A single command may be larger than the bound; it is let through when nothing else waits.
        let over = queued > 0 && queued + size > self.limit_bytes;
        if over || self.outgoing.try_send(frame).is_err() {
            self.queued_bytes.fetch_sub(size, Ordering::Relaxed);
            self.close(CloseReason::SlowReader);
        }
    }

    /// Sends a request of the broker that the client does not answer.
    pub(crate) fn push(&self, request: RemotingCommand) {
        let opaque = self.next_opaque.fetch_add(1, Ordering::Relaxed);
        self.send(RemotingCommand { opaque, ..request }.into_oneway());
    }

    /// Asks the client and waits for its answer.
    pub(crate) async fn ask(
        &self,
        request: RemotingCommand,
        wait: Duration,
    ) -> Result<RemotingCommand, AskError> {
        let opaque = self.next_opaque.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        {
            let mut questions = lock(&self.questions);
            if questions.len() >= PENDING_QUESTIONS {
                return Err(AskError::TooMany);
            }
            questions.insert(opaque, sender);
        }
        self.send(RemotingCommand { opaque, ..request });
        let answer = tokio::select! {
            answer = tokio::time::timeout(wait, receiver) => answer,
            () = self.closing.cancelled() => return Err(AskError::Gone),
        };
        lock(&self.questions).remove(&opaque);
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(AskError::Gone),
            Err(_) => Err(AskError::Timeout),
        }
    }

    /// Hands a response of the client to whoever asked; an unknown one is ignored.
    pub(super) fn answered(&self, response: RemotingCommand) {
        let asker = lock(&self.questions).remove(&response.opaque);
        match asker {
            // The asker may have given up at this very moment.
            Some(asker) => drop(asker.send(response)),
            None => {
                tracing::debug!(peer = %self.address, opaque = response.opaque, "an answer nobody waits for")
            }
        }
    }

    /// Closes the connection; the first reason counts.
    pub(crate) fn close(&self, reason: CloseReason) {
        lock(&self.closed_for).get_or_insert(reason);
        self.closing.cancel();
    }

    /// Whether the connection ends, or has ended.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Returns when the connection ends.
    pub(crate) async fn closed(&self) {
        self.closing.cancelled().await;
    }

    pub(super) fn closed_for(&self) -> Option<CloseReason> {
        lock(&self.closed_for).take()
    }

    pub(super) fn written(&self, size: usize) {
        self.queued_bytes.fetch_sub(size, Ordering::Relaxed);
    }
}

impl Call {
    pub(super) fn new(peer: Arc<Peer>, request: &RemotingCommand) -> Self {
        Self { peer, opaque: request.opaque, oneway: request.is_oneway() }
    }

    /// Sends the response, unless the client wants none.
    pub(crate) fn answer(self, response: RemotingCommand) {
        if !self.oneway {
            self.peer.send(RemotingCommand { opaque: self.opaque, ..response });
        }
    }

    /// Sends the response with a body of pieces, whose memory it shares while it waits.
    pub(crate) fn answer_with(self, response: RemotingCommand, pieces: Vec<Bytes>) {
        if !self.oneway {
            let command = RemotingCommand { opaque: self.opaque, ..response };
            self.peer.send_frame(Frame { command, pieces });
        }
    }

    /// Answers with a code and a remark.
    pub(crate) fn refuse(self, code: ResponseCode, remark: impl Into<String>) {
        self.answer(RemotingCommand::response(code).with_remark(remark));
    }
}
