//! One connection: calls out, answers in, and the other way round.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use gantry_protocol::{NAMESPACE, NAMESPACED, RemotingCommand, RequestCode, ResponseCode};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    calls::{Calls, End, Refusal},
    counters::Counters,
    error::{CloseReason, InvokeError},
    frames::Outgoing,
    processor::RequestProcessor,
    reader,
    settings::RemotingSettings,
    silence::Silence,
    tasks::Tasks,
    transport::Halves,
    writer,
};

/// How often calls are looked for whose deadline is over and who do not watch it themselves (RocketMQ:
/// scanResponseTable).
const LOOK: Duration = Duration::from_secs(1);

/// A bound on one call, from its first step to its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    /// Longer than this makes no difference to anybody, and keeps the sum within the clock's range.
    const LONGEST: Duration = Duration::from_secs(24 * 3_600);

    pub(crate) fn after(after: Duration) -> Self {
        let after = after.min(Self::LONGEST);
        Self { at: Instant::now() + after, after }
    }

    /// Runs `work` until the deadline; `None` when it is over first.
    pub(crate) async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.at, work).await.ok()
    }

    pub(crate) fn error(&self, addr: &Arc<str>, request: RequestCode) -> InvokeError {
        InvokeError::Timeout { addr: Arc::clone(addr), request, after: self.after }
    }
}

/// What all connections of a client have in common.
pub(crate) struct Context {
    pub(crate) settings: RemotingSettings,
    pub(crate) processor: Arc<dyn RequestProcessor>,
    pub(crate) counters: Counters,
    pub(crate) tasks: Tasks,
}

/// A handle on one connection; its reader and its writer run as tasks until it closes.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Shared>);

/// What the handle, the reader, the writer and the requests in progress share.
pub(crate) struct Shared {
    peer: Arc<str>,
    context: Arc<Context>,
    calls: Calls,
    silence: Silence,
    /// Bytes that may still be queued.
    room: Arc<Semaphore>,
    output: mpsc::Sender<Outgoing>,
    /// Requests of the peer that may still be taken on.
    inbound: Arc<Semaphore>,
    proved: AtomicBool,
    /// Whether a task looks for calls whose deadline is over.
    watched: AtomicBool,
    stop: CancellationToken,
}

/// A command that has its number, its bytes and its place in the output queue.
pub(crate) struct Ready<'a> {
    shared: &'a Arc<Shared>,
    opaque: i32,
    request: RequestCode,
    outgoing: Outgoing,
    place: mpsc::Permit<'a, Outgoing>,
}

impl Connection {
    /// Takes over a new connection to `peer`.
    pub(crate) fn start(halves: Halves, peer: Arc<str>, context: Arc<Context>) -> Self {
        let settings = &context.settings;
        let (output, queue) = mpsc::channel(settings.output_frames.max(1));
        let shared = Arc::new(Shared {
            peer,
            calls: Calls::new(settings.max_pending, 0),
            silence: Silence::new(settings.silence_limit, Instant::now()),
            room: Arc::new(Semaphore::new(room(settings) as usize)),
            output,
            inbound: Arc::new(Semaphore::new(settings.max_inbound)),
            proved: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            stop: CancellationToken::new(),
            context,
        });
        let tasks = &shared.context.tasks;
        tasks.spawn("reader", &shared.peer, reader::read_frames(halves.reader, Arc::clone(&shared)));
        tasks.spawn("writer", &shared.peer, writer::write_frames(halves.writer, queue, Arc::clone(&shared)));
        Self(shared)
    }

    /// Asks and waits for the answer, whatever its code is. The command's opaque number is set on the way.
    pub(crate) async fn invoke(
        &self,
        command: &mut RemotingCommand,
        deadline: &Deadline,
    ) -> Result<RemotingCommand, InvokeError> {
        let shared = &self.0;
        let started = Instant::now();
        let mut call = shared.calls.open().map_err(|refusal| shared.refused(refusal))?;
        command.opaque = call.opaque;
        let frame = shared.encode(command)?;
        let exchange = async {
            shared.enqueue(frame).await?;
            call.answer().await
        };
        match deadline.bound(exchange).await {
            Some(answer) => answer.map_err(|reason| shared.closed_error(reason)),
            None => {
                shared.not_answered(started);
                Err(deadline.error(&shared.peer, command.request_code()))
            }
        }
    }

    /// Readies a command, if that is possible at once.
    pub(crate) fn ready(&self, command: &mut RemotingCommand) -> Option<Ready<'_>> {
        let shared = &self.0;
        if shared.calls.refuses() {
            return None;
        }
        let place = shared.output.try_reserve().ok()?;
        let opaque = shared.calls.unused_opaque();
        command.opaque = opaque;
        let frame = shared.encode(command).ok()?;
        let room = Arc::clone(&shared.room).try_acquire_many_owned(shared.weight(&frame)).ok()?;
        let outgoing = Outgoing { frame, _room: room };
        Some(Ready { shared, opaque, request: command.request_code(), outgoing, place })
    }

    /// Queues a command that nobody answers; done when it has its place in the output queue.
    pub(crate) async fn oneway(
        &self,
        command: &mut RemotingCommand,
        deadline: &Deadline,
    ) -> Result<(), InvokeError> {
        let shared = &self.0;
        command.opaque = shared.calls.unused_opaque();
        let frame = shared.encode(command)?;
        let queued = deadline.bound(shared.enqueue(frame)).await;
        let queued = queued.ok_or_else(|| deadline.error(&shared.peer, command.request_code()))?;
        queued.map_err(|reason| shared.closed_error(reason))
    }

    /// Ends the connection: pending calls fail at once, what is queued still leaves.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.0.close(reason);
    }

    /// Waits for the end and says why it came.
    pub(crate) async fn closed(&self) -> CloseReason {
        self.0.stopped().await;
        self.0.calls.closed().unwrap_or(CloseReason::Requested)
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.0.stop.is_cancelled()
    }

    /// Waits until no call is pending.
    pub(crate) async fn drained(&self) {
        self.0.calls.drain().await;
    }

    /// Whether the peer ever sent a frame.
    pub(crate) fn is_proved(&self) -> bool {
        self.0.proved.load(Relaxed)
    }

    pub(crate) fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Ready<'_> {
    /// Asks, and has `done` called once with what comes of it.
    pub(crate) fn ask(
        self,
        deadline: Deadline,
        done: impl FnOnce(Result<RemotingCommand, InvokeError>) + Send + 'static,
    ) {
        let Self { shared, opaque, request, outgoing, place } = self;
        let asking = Arc::clone(shared);
        let ended = Box::new(move |end| {
            done(match end {
                End::Answered(answer) => Ok(answer),
                End::Refused(refusal) => Err(asking.refused(refusal)),
                End::TimedOut => Err(deadline.error(&asking.peer, request)),
            });
        });
        if shared.calls.tell(opaque, Instant::now(), deadline.at, ended) {
            place.send(outgoing);
            shared.watch();
        }
    }
}

impl Shared {
    pub(crate) fn settings(&self) -> &RemotingSettings {
        &self.context.settings
    }

    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    pub(crate) fn close(&self, reason: CloseReason) {
        self.calls.close(&reason);
        self.room.close();
        self.stop.cancel();
    }

    pub(crate) fn closed_by_this_side(&self) -> bool {
        matches!(self.calls.closed(), Some(CloseReason::Requested | CloseReason::GoAway))
    }

    /// Bytes came in.
    pub(crate) fn heard(&self, count: usize, now: Instant) {
        self.silence.heard(now);
        self.context.counters.bytes_in.add(count);
    }

    /// Frames are about to leave.
    pub(crate) fn sent(&self, lengths: impl Iterator<Item = usize>) {
        for length in lengths {
            self.context.counters.frames_out.add(1);
            self.context.counters.bytes_out.add(length);
        }
    }

    /// Takes one command from the reader, which it never keeps waiting.
    pub(crate) fn receive(self: &Arc<Self>, command: RemotingCommand) {
        self.proved.store(true, Relaxed);
        self.context.counters.frames_in.add(1);
        if !command.is_response() {
            return self.take_request(command);
        }
        let opaque = command.opaque;
        if !self.calls.complete(command) {
            self.context.counters.late_answers.add(1);
            tracing::debug!(peer = %self.peer, opaque, "an answer came that nobody awaits");
        }
    }

    fn take_request(self: &Arc<Self>, request: RemotingCommand) {
        let Ok(permit) = Arc::clone(&self.inbound).try_acquire_owned() else {
            return self.refuse_request(&request);
        };
        let work = Arc::clone(self).process(request, permit);
        self.context.tasks.spawn("request", &self.peer, work);
    }

    async fn process(self: Arc<Self>, request: RemotingCommand, _permit: OwnedSemaphorePermit) {
        let (opaque, code, oneway) = (request.opaque, request.request_code(), request.is_oneway());
        let answering = async {
            let reply = self.context.processor.process(Arc::clone(&self.peer), request).await;
            if let Some(reply) = reply.filter(|_| !oneway) {
                self.answer(reply, opaque, code).await;
            }
        };
        tokio::select! {
            () = self.stopped() => {}
            () = answering => {}
        }
    }

    async fn answer(&self, reply: RemotingCommand, opaque: i32, code: RequestCode) {
        match self.encode(&mut as_reply(reply, opaque)) {
            // The connection ended meanwhile: so did the peer's interest.
            Ok(frame) => drop(self.enqueue(frame).await),
            Err(error) => {
                tracing::warn!(peer = %self.peer, %code, %error, "the answer to a request was not sent")
            }
        }
    }

    /// The peer asks more at a time than is processed at a time. It is told so if the output queue has room.
    fn refuse_request(&self, request: &RemotingCommand) {
        self.context.counters.requests_refused.add(1);
        let limit = self.settings().max_inbound;
        tracing::warn!(peer = %self.peer, code = %request.request_code(), limit, "a request of the peer was refused: too many at a time");
        if request.is_oneway() {
            return;
        }
        let remark = format!("the client already processes {limit} requests");
        let busy = RemotingCommand::response(ResponseCode::SYSTEM_BUSY).with_remark(remark);
        let Ok(frame) = self.encode(&mut as_reply(busy, request.opaque)) else { return };
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(self.weight(&frame)) {
            // A full queue drops the answer, and the peer's call ends at its own deadline.
            let _ = self.output.try_send(Outgoing { frame, _room: room });
        }
    }

    fn encode(&self, command: &mut RemotingCommand) -> Result<Bytes, InvokeError> {
        let settings = self.settings();
        command.serialize_type = settings.serialize_type;
        if !command.is_response() {
            // Before the signature, which covers every field.
            if let Some(namespace) = &settings.namespace_v2 {
                command.ext_fields.insert(NAMESPACED, true);
                command.ext_fields.insert(NAMESPACE, namespace);
            }
            if let Some(credentials) = &settings.credentials {
                credentials.sign(command);
            }
        }
        let mut frame = BytesMut::new();
        command.encode(&mut frame).map_err(|source| InvokeError::Encode {
            addr: Arc::clone(&self.peer),
            request: command.request_code(),
            source: Arc::new(source),
        })?;
        Ok(frame.freeze())
    }

    /// Waits for room, then for a place in the queue: a slow peer slows its callers down.
    async fn enqueue(&self, frame: Bytes) -> Result<(), CloseReason> {
        let weight = self.weight(&frame);
        let queued = async {
            let room = Arc::clone(&self.room).acquire_many_owned(weight).await.ok()?;
            self.output.send(Outgoing { frame, _room: room }).await.ok()
        };
        queued.await.ok_or_else(|| self.calls.closed().unwrap_or(CloseReason::Requested))
    }

    /// A frame larger than the whole queue takes all of it.
    fn weight(&self, frame: &Bytes) -> u32 {
        u32::try_from(frame.len()).unwrap_or(u32::MAX).min(room(self.settings()))
    }

    /// Has a task look for calls whose deadline is over, from the first call on that leaves that to others.
    fn watch(self: &Arc<Self>) {
        if self.watched.load(Relaxed) || self.watched.swap(true, Relaxed) {
            return;
        }
        let shared = Arc::clone(self);
        self.context.tasks.spawn("deadlines", &self.peer, async move {
            let looking = async {
                loop {
                    sleep(LOOK).await;
                    shared.look();
                }
            };
            tokio::select! {
                () = shared.stopped() => {}
                () = looking => {}
            }
        });
    }

    fn look(&self) {
        for (asked, done) in self.calls.late(Instant::now()) {
            done(End::TimedOut);
            self.not_answered(asked);
        }
    }

    fn not_answered(&self, started: Instant) {
        self.context.counters.timeouts.add(1);
        if let Some(silent) = self.silence.timed_out(started, Instant::now()) {
            self.close(CloseReason::Silent(silent));
        }
    }

    fn refused(&self, refusal: Refusal) -> InvokeError {
        match refusal {
            Refusal::Full => InvokeError::TooManyPending {
                addr: Arc::clone(&self.peer),
                limit: self.settings().max_pending,
            },
            Refusal::Closed(reason) => self.closed_error(reason),
        }
    }

    fn closed_error(&self, reason: CloseReason) -> InvokeError {
        InvokeError::Closed { addr: Arc::clone(&self.peer), reason }
    }
}

fn as_reply(mut reply: RemotingCommand, opaque: i32) -> RemotingCommand {
    reply.opaque = opaque;
    reply.flag |= gantry_protocol::RESPONSE_FLAG;
    reply
}

/// The output queue's size in permits of one byte.
fn room(settings: &RemotingSettings) -> u32 {
    let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
    u32::try_from(settings.output_bytes).unwrap_or(u32::MAX).clamp(1, most)
}
