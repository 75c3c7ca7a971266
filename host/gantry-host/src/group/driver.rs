//! The task that owns one group's machine: takes its actions, brings it answers, keeps its clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use gantry_core::{
    Action, Batch, Event, HaltDecision, HeartbeatOutcome, ListenerId, QueuePhase, QueueStatus, Route,
    Severity, TerminationReport,
};
use gantry_protocol::{MessageQueue, Namespace, names};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Groups;
use super::answers::{Answers, Group};
use super::consume::{Consumption, NotTaken};
use super::dividing::Divider;
use super::handed_over::HandedOver;
use super::input::Input;
use super::keeping::Kept;
use super::listener::Listener;
use super::machine::Machine;
use super::pausing::Pausing;
use super::requests::{Local, Requests};
use super::tally::Tallies;
use crate::clusters::Cluster;
use crate::plugins::Strategies;
use crate::status::{GroupStatus, QueueLine};

/// Answers on their way to the machine. Each belongs to something the machine asked for, so their number is bounded by
/// the machine's own bounds; when the driver is behind, those that answer wait.
const INPUTS: usize = 4096;
/// Answers taken in a row before the machine's actions are looked at.
const INPUTS_AT_ONCE: usize = 256;
/// How often the status is renewed.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);
/// How long a batch that no guest thread could take waits before it is offered again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// How long a group waits at most for the plugins that were there when the host started.
const GATHERING: Duration = Duration::from_secs(30);

/// What the host asks of a group.
#[derive(Debug)]
pub(super) enum Command {
    /// Take a listener.
    Add(Arc<Listener>, Reply),
    /// Let a listener go.
    Remove(ListenerId, Reply),
    /// A listener's plan has changed.
    Refresh(Reply),
    /// An operator's decision about a queue that was stopped; whether it was.
    Decide(MessageQueue, HaltDecision, oneshot::Sender<bool>),
    /// Whether there is no listener left.
    IsEmpty(oneshot::Sender<bool>),
    /// End.
    Stop {
        /// How long batches at listeners may take.
        grace: Duration,
        /// How it ended.
        done: oneshot::Sender<TerminationReport>,
    },
}

type Reply = oneshot::Sender<Result<(), String>>;

/// The machine knows topics and the group as brokers do; `namespace` is what their users' names are in there.
pub(super) struct Driver {
    name: Arc<str>,
    namespace: Namespace,
    cluster: Option<String>,
    machine: Machine,
    /// In the order they came, which decides who gets a message that two want.
    listeners: BTreeMap<ListenerId, Arc<Listener>>,
    requests: Requests,
    strategies: Strategies,
    kept: Kept,
    answers: Answers,
    consumption: Arc<Consumption>,
    inputs: mpsc::Receiver<Input>,
    /// Batches at listeners.
    handed_over: HandedOver,
    /// Listeners that are given nothing because they keep failing.
    pausing: Pausing,
    /// Batches to be offered again.
    busy: Vec<NotTaken>,
    /// When.
    busy_until: Instant,
    status: Arc<ArcSwap<GroupStatus>>,
    connected: bool,
    done: Option<oneshot::Sender<TerminationReport>>,
}

impl Driver {
    pub(super) fn new(
        name: &Arc<str>,
        machine: Machine,
        groups: &Groups,
        cluster: &Cluster,
        kept: Kept,
        status: Arc<ArcSwap<GroupStatus>>,
    ) -> Self {
        let (sender, inputs) = mpsc::channel(INPUTS);
        let tallies = Arc::<Tallies>::default();
        let namespace = cluster.client.namespace().clone();
        let consumption = Consumption {
            name: Arc::clone(name),
            group: namespace.unwrap(&machine.config().consumer_group).as_ref().into(),
            namespace: namespace.clone(),
            threads: Arc::clone(&groups.threads),
            observer: Arc::clone(&groups.observer),
            inputs: sender.clone(),
            tallies: Arc::clone(&tallies),
            traces: cluster.traces.clone(),
        };
        let answers = Answers::new(&cluster.client, Arc::clone(&tallies));
        let requests = Requests::new(
            name,
            machine.config(),
            &cluster.client,
            groups.tasks.within(cluster.span.clone()),
            sender,
            Local {
                offsets: kept.offsets.clone(),
                divider: Divider::new(name, &namespace, groups.strategies.clone(), &groups.config),
                hooks: groups.hooks.clone(),
                tallies,
            },
        );
        Self {
            name: Arc::clone(name),
            namespace,
            cluster: status.load().cluster.clone(),
            machine,
            listeners: BTreeMap::new(),
            requests,
            strategies: groups.strategies.clone(),
            kept,
            answers,
            consumption: Arc::new(consumption),
            inputs,
            handed_over: HandedOver::default(),
            pausing: Pausing::default(),
            busy: Vec::new(),
            busy_until: Instant::now(),
            status,
            connected: false,
            done: None,
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>, begin: CancellationToken) {
        self.gather(&mut commands, &begin).await;
        let mut status_due = Instant::now();
        let mut strategies = self.strategies.changes();
        loop {
            let now = Instant::now();
            if let Some(report) = self.act(now).await {
                return self.end(report);
            }
            if now >= status_due {
                self.handed_over.look(now, &mut self.machine);
                self.publish_status(now);
                self.answers.sample(now);
                status_due = now + STATUS_INTERVAL;
            }
            let mut wake = self.machine.poll_timeout().map_or(status_due, |due| due.min(status_due));
            if !self.busy.is_empty() {
                wake = wake.min(self.busy_until);
            }
            wake = self.pausing.due().map_or(wake, |due| wake.min(due));
            tokio::select! {
                Some(input) = self.inputs.recv() => self.take(input),
                Some(command) = commands.recv() => self.command(command),
                Ok(()) = strategies.changed() => self.machine.handle_members_changed(Instant::now()),
                () = self.requests.members_changed() => self.machine.handle_members_changed(Instant::now()),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// Takes listeners, and asks nothing of the network before those that were there at the start are together: a group
    /// that began with some of them would go past the messages that the others want.
    async fn gather(&mut self, commands: &mut mpsc::Receiver<Command>, begin: &CancellationToken) {
        let patience = Instant::now() + GATHERING;
        while self.done.is_none() {
            tokio::select! {
                biased;
                () = begin.cancelled() => return,
                Some(command) = commands.recv() => self.command(command),
                () = tokio::time::sleep_until(patience.into()) => {
                    return tracing::warn!(
                        group = %self.name,
                        "begins, though not every plugin of the directory could be read yet; one that joins this group later may have missed messages"
                    );
                }
            }
        }
    }

    /// Does all the machine asks for now. The report, once it is done.
    async fn act(&mut self, now: Instant) -> Option<TerminationReport> {
        if now >= self.busy_until {
            for NotTaken(id) in std::mem::take(&mut self.busy) {
                self.machine.handle_returned(now, id);
            }
        }
        self.pausing.look(now, &self.listeners, &mut self.machine);
        while let Some(action) = self.machine.poll_action(now) {
            match action {
                Action::Consume(batch) => {
                    if let Err(not_taken) = self.consume(now, batch) {
                        self.put_off(now, not_taken);
                    }
                }
                Action::Event(event) => self.tell(&event),
                Action::Journal(journal) => self.kept.journal(journal),
                Action::Unregister => self.requests.unregister().await,
                Action::Terminated(report) => return Some(report),
                request => self.requests.start(request),
            }
        }
        None
    }

    fn consume(&mut self, now: Instant, batch: Batch) -> Result<(), NotTaken> {
        let listener = self.listeners.get(&batch.listener).ok_or(NotTaken(batch.id))?;
        let Some(probe) = self.pausing.admits(now, listener) else { return Err(NotTaken(batch.id)) };
        let hand_over = self.consumption.submit(listener, batch)?;
        self.handed_over.left(now, &hand_over);
        if probe {
            self.pausing.probe_left(listener, &mut self.machine);
        }
        Ok(())
    }

    fn put_off(&mut self, now: Instant, batch: NotTaken) {
        if self.busy.is_empty() {
            self.busy_until = now + BUSY_PAUSE;
        }
        self.busy.push(batch);
    }

    fn take(&mut self, first: Input) {
        let now = Instant::now();
        let mut next = Some(first);
        for _ in 0..INPUTS_AT_ONCE {
            let Some(input) = next else { return };
            self.feed(now, input);
            next = self.inputs.try_recv().ok();
        }
        if let Some(input) = next {
            self.feed(now, input);
        }
    }

    fn feed(&mut self, now: Instant, input: Input) {
        match &input {
            Input::Route(topic, Route::Missing) => self.connected |= !names::is_retry(topic),
            Input::Heartbeat(outcome) => self.connected |= *outcome != HeartbeatOutcome::Failed,
            Input::Consumed(id, _) | Input::Succeeded(id) => self.handed_over.is_home(*id),
            _ => {}
        }
        let machine = &mut self.machine;
        match input {
            Input::Asked(question) => {
                let group = Group { machine, listeners: &self.listeners, consumption: &self.consumption };
                self.answers.answer(now, question, group);
            }
            input => machine.take(now, input),
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Add(listener, reply) => {
                let id = listener.id;
                self.listeners.insert(id, listener);
                let result = self.set_listeners();
                if result.is_err() {
                    self.listeners.remove(&id);
                }
                let _host_gone = reply.send(result);
            }
            Command::Remove(id, reply) => {
                self.listeners.remove(&id);
                let result = match self.listeners.is_empty() {
                    false => self.set_listeners(),
                    // Leaving no listener ends the group: a stop follows, which drains. Until then nothing is given out.
                    true => {
                        self.machine.pause_listener(id);
                        Ok(())
                    }
                };
                let _host_gone = reply.send(result);
            }
            Command::Refresh(reply) => {
                let result = self.set_listeners();
                let _host_gone = reply.send(result);
            }
            Command::Decide(mq, decision, reply) => {
                let mq = self.namespace.wrap_queue(&mq);
                let _caller_gone = reply.send(self.machine.decide_halt(Instant::now(), &mq, decision));
            }
            Command::IsEmpty(reply) => {
                let _host_gone = reply.send(self.listeners.is_empty());
            }
            Command::Stop { grace, done } => {
                self.machine.shut_down(Instant::now(), grace);
                self.done = Some(done);
            }
        }
    }

    fn set_listeners(&mut self) -> Result<(), String> {
        let specs: Vec<_> = self.listeners.values().map(|listener| listener.spec(&self.namespace)).collect();
        let plain = |error: gantry_core::SubscriptionError| {
            let mut text = self.namespace.unwrap_text(error.to_string());
            for (id, listener) in &self.listeners {
                text = text.replace(&id.to_string(), &format!("plugin {}", listener.plugin));
            }
            text
        };
        let set = self.machine.set_listeners(Instant::now(), unix_millis(), &specs).map_err(plain);
        if set.is_ok() {
            // The machine begins anew with who is paused.
            self.pausing.forget();
        }
        set
    }

    fn tell(&self, event: &Event) {
        let text = self.namespace.unwrap_text(event.to_string());
        match event.severity() {
            Severity::Info => tracing::info!(group = %self.name, "{text}"),
            Severity::Warn => tracing::warn!(group = %self.name, "{text}"),
            Severity::Alarm => tracing::error!(group = %self.name, "{text}"),
        }
    }

    fn publish_status(&self, now: Instant) {
        let queues = self.machine.queues(now);
        let mut queues: Vec<_> = queues.iter().map(|queue| line(&self.namespace, queue, now)).collect();
        queues.sort_by(|a, b| {
            (&a.topic, &a.broker_name, a.queue_id).cmp(&(&b.topic, &b.broker_name, b.queue_id))
        });
        let status = GroupStatus {
            group: self.name.to_string(),
            cluster: self.cluster.clone(),
            ready: self.connected,
            queues,
            counts: self.machine.stats().into(),
            strategy_fallbacks: self.requests.strategy_fallbacks(),
            clashes: self.requests.clashes(),
            refused_subscriptions: self.requests.refused_expressions(),
        };
        self.status.store(Arc::new(status));
    }

    fn end(mut self, report: TerminationReport) {
        self.requests.end();
        if let Some(done) = self.done.take() {
            let _host_gone = done.send(report);
        }
    }
}

fn line(namespace: &Namespace, queue: &QueueStatus, now: Instant) -> QueueLine {
    let known = |offset: i64| (offset >= 0).then_some(offset);
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    QueueLine {
        topic: namespace.unwrap(&queue.mq.topic).into_owned(),
        broker_name: queue.mq.broker_name.to_string(),
        queue_id: queue.mq.queue_id,
        phase: match queue.phase {
            QueuePhase::Locking => "locking",
            QueuePhase::Locating => "locating",
            QueuePhase::Consuming => "consuming",
            QueuePhase::Halted => "halted",
            QueuePhase::Correcting => "correcting",
            QueuePhase::Draining => "draining",
            QueuePhase::Storing => "storing",
            QueuePhase::Unlocking => "unlocking",
        },
        consuming: queue.phase == QueuePhase::Consuming,
        locked: queue.locked,
        commit_offset: known(queue.commit_offset),
        max_offset: known(queue.max_offset),
        cached_messages: queue.cached_count,
        cached_bytes: queue.cached_bytes,
        span: queue.span,
        head_age_ms: queue.head_age.map(millis),
        longest_running_ms: queue.longest_running.map(millis),
        stuck_ms: queue.stuck_since.map(|since| millis(now.saturating_duration_since(since))),
        held_by: queue.gate.map(|gate| gate.to_string()),
    }
}

fn unix_millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
