//! Consumer groups: one driver task each, which owns the group's machine and does what it asks.

mod answers;
mod batch;
mod breaker;
mod chooser;
mod clash;
mod consume;
mod counters;
mod direct;
mod dividing;
mod driver;
mod expressions;
mod hand_over;
mod handed_over;
mod input;
mod keeping;
mod listener;
mod machine;
mod native;
mod notice;
mod outcomes;
mod pausing;
mod rates;
mod requests;
mod running_info;
mod settings;
mod shadow;
mod tally;
mod threads;
mod traces;
mod trial;
mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gantry_core::{ConsumerGroup, HaltDecision, ListenerId, PopConsumerGroup, TerminationReport};
use gantry_protocol::MessageQueue;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use batch::stored_batch;
pub(crate) use chooser::Chooser;
pub(crate) use keeping::Keeping;
pub(crate) use listener::Listener;
pub(crate) use native::Native;
pub use native::NativeListener;
pub(crate) use shadow::Shadow;
pub(crate) use threads::ListenerThreads;
pub(crate) use trial::Trial;

use crate::clusters::{Cluster, Clusters};
use crate::config::{GantryConfig, RequestMode};
use crate::filter::FilterHooks;
use crate::observer::SharedObserver;
use crate::plugins::{ListenerPlan, Strategies};
use crate::status::GroupStatus;
use crate::tasks::Tasks;
use driver::{Command, Driver};
use keeping::Kept;
use machine::Machine;

/// Commands waiting for a group's driver.
const COMMANDS: usize = 64;
/// What is added to the grace of a group's stop for its last requests.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// A group that runs: a cheap handle to its driver.
#[derive(Debug, Clone)]
pub(crate) struct GroupHandle {
    name: Arc<str>,
    /// The plugin that founded it, and how its listeners get their messages.
    founder: Arc<(String, &'static str)>,
    commands: mpsc::Sender<Command>,
    status: Arc<ArcSwap<GroupStatus>>,
}

impl GroupHandle {
    /// Adds a listener.
    ///
    /// # Errors
    /// Why the group cannot have it: its subscriptions clash with another's.
    pub(crate) async fn add(&self, listener: Arc<Listener>) -> Result<(), String> {
        self.ask(|done| Command::Add(listener, done)).await
    }

    /// Removes a listener; the queues only it wanted are drained and let go.
    ///
    /// # Errors
    /// Why it could not be.
    pub(crate) async fn remove(&self, id: ListenerId) -> Result<(), String> {
        self.ask(|done| Command::Remove(id, done)).await
    }

    /// Tells the group that a listener's plan has changed.
    ///
    /// # Errors
    /// Why the new plan cannot be.
    pub(crate) async fn refresh(&self) -> Result<(), String> {
        self.ask(Command::Refresh).await
    }

    /// Takes an operator's decision about a queue that was stopped for its backward jump. False when it is not stopped.
    pub(crate) async fn decide(&self, mq: MessageQueue, decision: HaltDecision) -> bool {
        let (done, answer) = oneshot::channel();
        let asked = self.commands.send(Command::Decide(mq, decision, done)).await.is_ok();
        asked && answer.await.unwrap_or(false)
    }

    /// The group as it last was.
    pub(crate) fn status(&self) -> Arc<GroupStatus> {
        self.status.load_full()
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Command,
    ) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        let ended = || format!("group {} has ended", self.name);
        self.commands.send(command(done)).await.map_err(|_closed| ended())?;
        answer.await.map_err(|_closed| ended())?
    }

    async fn stop(&self, grace: Duration) -> Option<TerminationReport> {
        let (done, answer) = oneshot::channel();
        self.commands.send(Command::Stop { grace, done }).await.ok()?;
        tokio::time::timeout(grace + LAST_REQUESTS, answer).await.ok()?.ok()
    }
}

/// The groups of a host by name, shared with its status.
pub(crate) type GroupMap = Arc<ArcSwap<BTreeMap<String, GroupHandle>>>;

/// Starts and stops groups.
pub(crate) struct Groups {
    pub(crate) clusters: Clusters,
    pub(crate) config: Arc<GantryConfig>,
    pub(crate) threads: Arc<ListenerThreads>,
    pub(crate) observer: SharedObserver,
    pub(crate) keeping: Keeping,
    pub(crate) hooks: FilterHooks,
    pub(crate) tasks: Tasks,
    pub(crate) running: GroupMap,
    /// The allocation strategies of plugins.
    pub(crate) strategies: Strategies,
    /// Cancelled once every plugin that was there at the start has been taken or rejected: groups begin then.
    pub(crate) begin: CancellationToken,
}

impl Groups {
    /// The running group of this name.
    pub(crate) fn get(&self, name: &str) -> Option<GroupHandle> {
        self.running.load().get(name).cloned()
    }

    /// The group `listener` belongs to, started if it does not run.
    ///
    /// # Errors
    /// Which of the group's settings breaks its rule, or that the listener wants its messages otherwise than the group's
    /// others.
    pub(crate) async fn of(&self, listener: &Listener) -> Result<GroupHandle, String> {
        let plan = listener.plan();
        if let Some(running) = self.get(&plan.group) {
            let (founder, kind) = &*running.founder;
            if *kind == plan.kind() {
                return Ok(running);
            }
            return Err(format!(
                "plugin {} is {}, but group {} is {kind} because of plugin {founder}; the listeners of a group are of one kind: \
                 set mode, message-model and consume-mode of [group.{}], or another consumer-group of [plugin.{}]",
                listener.plugin,
                plan.kind(),
                plan.group,
                plan.group,
                listener.plugin
            ));
        }
        let cluster = self.clusters.get(plan.cluster.as_deref())?;
        let config = settings::group_config(&plan, &self.config);
        let (client_id, seed) = (cluster.client.client_id(), fastrand::u64(..));
        let refused = |error: gantry_core::ConfigError| format!("group {}: {error}", plan.group);
        let founder = Arc::new((listener.plugin.clone(), plan.kind()));
        let (machine, kept) = match plan.mode {
            RequestMode::Pull => {
                let machine = ConsumerGroup::new(config, client_id, seed).map_err(refused)?;
                let machine = settings::with_strategy(machine, &plan, &self.config);
                let (keeping, config, founding) =
                    (self.keeping.clone(), Arc::clone(&self.config), Arc::clone(&plan));
                let opened = tokio::task::spawn_blocking(move || keeping.open(&founding, &config)).await;
                let mut kept = opened
                    .map_err(|error| format!("opening the group's files failed inside the host: {error}"))?;
                (Machine::Pull(Box::new(self.keeping.remind(machine, &mut kept))), kept)
            }
            RequestMode::Pop => {
                let machine = PopConsumerGroup::new(config, client_id, seed).map_err(refused)?;
                (Machine::Pop(Box::new(machine)), Kept::nothing())
            }
        };
        let handle = self.start(&plan, cluster, founder, machine, kept);
        self.change(|groups| _ = groups.insert(plan.group.clone(), handle.clone()));
        Ok(handle)
    }

    fn start(
        &self,
        plan: &ListenerPlan,
        cluster: &Cluster,
        founder: Arc<(String, &'static str)>,
        machine: Machine,
        kept: Kept,
    ) -> GroupHandle {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let name: Arc<str> = plan.group.as_str().into();
        let status = Arc::new(ArcSwap::from_pointee(GroupStatus::starting(&name, plan.cluster.as_deref())));
        let driver = Driver::new(&name, machine, self, cluster, kept, Arc::clone(&status));
        let tasks = self.tasks.within(cluster.span.clone());
        tasks.spawn("consumer-group", driver.run(receiver, self.begin.clone()));
        GroupHandle { name, founder, commands, status }
    }

    /// Ends the group if it has no listener left.
    pub(crate) async fn stop_if_empty(&self, group: &GroupHandle, grace: Duration) {
        let (done, answer) = oneshot::channel();
        let asked = group.commands.send(Command::IsEmpty(done)).await.is_ok();
        if asked && answer.await.unwrap_or(false) {
            self.change(|groups| _ = groups.remove(&*group.name));
            report(&group.name, group.stop(grace).await);
        }
    }

    /// Ends every group, all at the same time.
    pub(crate) async fn stop_all(&self, grace: Duration) {
        let groups = self.running.swap(Arc::default());
        let (ended, mut reports) = mpsc::channel(groups.len().max(1));
        for (name, group) in groups.iter() {
            let (name, group, ended) = (name.clone(), group.clone(), ended.clone());
            self.tasks.spawn("stop-group", async move {
                report(&name, group.stop(grace).await);
                drop(ended);
            });
        }
        drop(ended);
        let _every_sender_gone: Option<()> = reports.recv().await;
    }

    fn change(&self, edit: impl FnOnce(&mut BTreeMap<String, GroupHandle>)) {
        let mut groups = BTreeMap::clone(&self.running.load());
        edit(&mut groups);
        self.running.store(Arc::new(groups));
    }
}

fn report(group: &str, report: Option<TerminationReport>) {
    match report {
        Some(report) if report.is_graceful() => {
            tracing::info!(
                group,
                redelivered = report.unsettled,
                "ended: every batch finished, every offset stored"
            );
        }
        Some(report) => tracing::warn!(
            group,
            batches_running = report.batches_running,
            offsets_not_stored = report.offsets_not_stored.len(),
            "ended before everything was done; what was left is delivered again"
        ),
        None => tracing::warn!(group, "did not end in time; what was left is delivered again"),
    }
}
