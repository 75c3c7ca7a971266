//! What a group's machine asks of the network, done by tasks that report back.

mod persisting;
mod popping;
mod pulling;

use std::sync::Arc;
use std::time::Duration;

use gantry_core::{
    Action, GroupConfig, Heartbeat, HeartbeatOutcome, LockFailure, LockRequest, MessageModel, OffsetAnswer,
    Route, SendBackRequest, TopicSubscription, UnlockRequest,
};
use gantry_protocol::body::{ConsumeFromWhere, ConsumerData, SubscriptionData};
use gantry_protocol::header::ConsumerSendMsgBackRequestHeader;
use gantry_protocol::{MessageQueue, ResponseCode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::clash::{Clashes, Watch};
use super::dividing::Divider;
use super::expressions::Expressions;
use super::input::Input;
use super::notice::Notice;
use super::tally::Tallies;
use crate::client_instance::{CallError, ClientInstance, GroupListener, RouteError};
use crate::filter::FilterHooks;
use crate::state::offsets_file::OffsetsFile;
use crate::tasks::Tasks;
use persisting::Persist;
use pulling::AnswerSize;

/// How long leaving the group at the brokers may take; they forget a silent client by themselves.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(3);

/// Offsets on their way to brokers, at most; more are reported as failed and asked for again by the machine.
const PERSISTS: usize = 4096;

/// The network side of one group. Cheap to clone.
#[derive(Clone)]
pub(super) struct Requests(Arc<Inner>);

struct Inner {
    /// The group's name as users have it, for logs and hooks.
    name: Arc<str>,
    /// The same as brokers have it.
    group: Arc<str>,
    client: ClientInstance,
    tasks: Tasks,
    inputs: mpsc::Sender<Input>,
    notice: Arc<Notice>,
    clashes: Arc<Clashes>,
    expressions: Arc<Expressions>,
    local: Local,
    /// The group's settings that brokers are told in heartbeats.
    consume_from_where: ConsumeFromWhere,
    message_model: MessageModel,
    /// The group has ended: nobody waits for answers any more, such as those of held pulls.
    ended: CancellationToken,
    persists: mpsc::Sender<Persist>,
    answer_size: AnswerSize,
}

/// What requests meet on this side of the network.
#[derive(Debug, Clone)]
pub(super) struct Local {
    /// Where the offsets are, unless at the brokers.
    pub(super) offsets: Option<Arc<OffsetsFile>>,
    /// What divides queues by the strategies that plugins bring.
    pub(super) divider: Divider,
    /// What filters pulled messages.
    pub(super) hooks: FilterHooks,
    /// What counts them.
    pub(super) tallies: Arc<Tallies>,
}

impl Requests {
    /// How often a strategy's fallback divided a topic's queues.
    pub(super) fn strategy_fallbacks(&self) -> u64 {
        self.0.local.divider.fallbacks()
    }

    pub(super) fn new(
        name: &Arc<str>,
        config: &GroupConfig,
        client: &ClientInstance,
        tasks: Tasks,
        inputs: mpsc::Sender<Input>,
        local: Local,
    ) -> Self {
        let clashes = Arc::<Clashes>::default();
        let (persists, receiver) = mpsc::channel(PERSISTS);
        let this = Self(Arc::new(Inner {
            name: Arc::clone(name),
            group: config.consumer_group.as_str().into(),
            client: client.clone(),
            tasks,
            notice: Arc::new(Notice::new(inputs.clone(), Arc::clone(&clashes))),
            inputs,
            clashes,
            expressions: Arc::default(),
            local,
            consume_from_where: consume_from_where(config),
            message_model: config.message_model,
            ended: CancellationToken::new(),
            persists,
            answer_size: AnswerSize::new(config),
        }));
        let (lane, ended) = (this.clone(), this.0.ended.clone());
        this.0.tasks.spawn("persist-offsets", async move {
            let persisting = async {
                match lane.0.local.offsets.clone() {
                    Some(file) => lane.run_local_persists(&file, receiver).await,
                    None => lane.run_persists(receiver).await,
                }
            };
            ended.run_until_cancelled(persisting).await;
        });
        let watch = Watch::new(&this.0.name, &this.0.group, client, &this.0.clashes);
        let ended = this.0.ended.clone();
        this.0.tasks.spawn("clashes", async move {
            ended.run_until_cancelled(watch.run()).await;
        });
        this
    }

    /// Ends every request still on its way.
    pub(super) fn end(&self) {
        self.0.ended.cancel();
    }

    /// Resolves when a broker has said that the group's members changed.
    pub(super) async fn members_changed(&self) {
        self.0.notice.changed().await;
    }

    /// What other members of the group do otherwise, though all must do it alike.
    pub(super) fn clashes(&self) -> Vec<String> {
        self.0.clashes.present()
    }

    /// Why brokers refuse the group's conditions.
    pub(super) fn refused_expressions(&self) -> Vec<String> {
        self.0.expressions.refused()
    }

    /// Starts what the action asks for; the answer arrives as an [`Input`].
    pub(super) fn start(&self, action: Action) {
        match action {
            Action::RefreshRoute { topic } => self.ask("route", async |this: Self| {
                let route = this.route(&topic).await;
                Some(Input::Route(topic, route))
            }),
            Action::Heartbeat(heartbeat) => self.heartbeat(&heartbeat),
            Action::QueryMembers { topic } => self.ask("members", async |this: Self| {
                let members = this.0.client.get_consumer_list(&this.0.group, &topic).await;
                let members = members
                    .inspect_err(|error| tracing::debug!(group = %this.0.name, %error, "no member list"));
                Some(Input::Members(topic, members.ok()))
            }),
            Action::QueryOffset { id, mq } => self.ask("query-offset", async move |this: Self| {
                if let Some(file) = &this.0.local.offsets {
                    let stored = file.get(&mq).map_or(OffsetAnswer::NotFound, OffsetAnswer::Found);
                    return Some(Input::Offset(id, stored));
                }
                let answer = match this.0.client.query_offset(&this.0.group, &mq).await {
                    Ok(Some(offset)) => OffsetAnswer::Found(offset),
                    Ok(None) => OffsetAnswer::NotFound,
                    Err(error) => OffsetAnswer::Failed(error.to_string()),
                };
                Some(Input::Offset(id, answer))
            }),
            Action::QueryMaxOffset { id, mq } => self.ask("max-offset", async move |this: Self| {
                Some(Input::Offset(id, offset(this.0.client.max_offset(&mq).await)))
            }),
            Action::SearchOffset { id, mq, timestamp } => {
                self.ask("search-offset", async move |this: Self| {
                    let timestamp = i64::try_from(timestamp).unwrap_or(i64::MAX);
                    Some(Input::Offset(id, offset(this.0.client.search_offset(&mq, timestamp).await)))
                })
            }
            Action::Pull(pull) => self.pull(pull),
            Action::SendBack(back) => self.ask("send-back", async move |this: Self| {
                let id = back.id;
                Some(Input::SentBack(id, this.send_back(back).await.map_err(|error| error.to_string())))
            }),
            Action::PersistOffset { id, mq, offset, mode } => self.persist(Persist { id, mq, offset, mode }),
            Action::Lock(lock) => self.ask("lock", async move |this: Self| {
                let id = lock.id;
                Some(Input::Locked(id, this.lock(lock).await))
            }),
            Action::Unlock(unlock) => self.ask("unlock", async move |this: Self| {
                let id = unlock.id;
                let result = this.unlock(unlock).await;
                id.map(|id| Input::Unlocked(id, result.map_err(|error| error.to_string())))
            }),
            Action::Allocate(question) => self.ask("allocate", async move |this: Self| {
                let id = question.id;
                Some(Input::Allocated(id, this.0.local.divider.divide(question).await))
            }),
            Action::QueryAssignment { topic } => self.ask("assignment", async |this: Self| {
                let assignment = this.assignment(&topic).await;
                Some(Input::Assigned(topic, assignment))
            }),
            Action::Pop(pop) => self.start_pop(pop),
            Action::Ack(ack) => self.ask("ack", async move |this: Self| {
                let id = ack.id;
                Some(Input::Acked(id, this.ack(ack).await.map_err(|error| error.to_string())))
            }),
            Action::ChangeInvisibleTime(change) => {
                self.ask("change-invisible-time", async move |this: Self| {
                    let id = change.id;
                    Some(Input::Changed(id, this.change(change).await.map_err(|error| error.to_string())))
                })
            }
            // The driver keeps these for itself.
            Action::Consume(_)
            | Action::Journal(_)
            | Action::Event(_)
            | Action::Unregister
            | Action::Terminated(_) => {}
        }
    }

    /// Leaves the group at every broker.
    pub(super) async fn unregister(&self) {
        if !self.0.notice.register(false) {
            return;
        }
        let left =
            tokio::time::timeout(UNREGISTER_TIMEOUT, self.0.client.unregister_group(&self.0.group)).await;
        if !left.is_ok_and(|round| round.is_complete()) {
            tracing::warn!(group = %self.0.name, "not every broker heard of the leaving; they notice within two minutes");
        }
    }

    fn ask<F>(&self, name: &'static str, request: impl FnOnce(Self) -> F + Send + 'static)
    where
        F: Future<Output = Option<Input>> + Send + 'static,
    {
        let (inputs, ended) = (self.0.inputs.clone(), self.0.ended.clone());
        // What a request keeps while it waits is some thousand bytes, which the layers around it would each move.
        let asked = Box::pin(request(self.clone()));
        self.0.tasks.spawn(name, async move {
            let answered = async {
                if let Some(input) = asked.await {
                    let _group_gone = inputs.send(input).await;
                }
            };
            ended.run_until_cancelled(answered).await;
        });
    }

    async fn lock(&self, lock: LockRequest) -> Result<Vec<MessageQueue>, LockFailure> {
        let Some(broker_name) = lock.mqs.first().map(|mq| Arc::clone(&mq.broker_name)) else {
            return Ok(Vec::new());
        };
        let locked =
            self.0.client.lock_batch(&lock.group, &broker_name, lock.mqs, lock.replica_will_do).await;
        locked.map_err(|error| match error {
            CallError::Refused {
                code: ResponseCode::NO_PERMISSION | ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
                ..
            } => LockFailure::Refused(error.to_string()),
            error => LockFailure::Failed(error.to_string()),
        })
    }

    async fn unlock(&self, unlock: UnlockRequest) -> Result<(), CallError> {
        let Some(broker_name) = unlock.mqs.first().map(|mq| Arc::clone(&mq.broker_name)) else {
            return Ok(());
        };
        self.0.client.unlock_batch(&unlock.group, &unlock.client_id, &broker_name, unlock.mqs).await
    }

    async fn route(&self, topic: &str) -> Route {
        match self.0.client.refresh_route(topic).await {
            Ok(route) => Route::Found(route.subscribe_queues.clone()),
            Err(RouteError::Missing { .. }) => Route::Missing,
            Err(error) => Route::Failed(error.to_string()),
        }
    }

    /// Registers, or says anew what the group subscribes to, before the heartbeat leaves: in the order of the actions.
    fn heartbeat(&self, heartbeat: &Heartbeat) {
        let data = self.consumer_data(heartbeat);
        if self.0.notice.register(true) {
            self.0.client.update_group(data);
        } else {
            let listener: Arc<dyn GroupListener> = Arc::clone(&self.0.notice) as _;
            if !self.0.client.register_group(data, listener) {
                tracing::error!(group = %self.0.name, "the group is registered twice in this host");
            }
        }
        let subscriptions = Arc::clone(&heartbeat.subscriptions);
        self.ask("heartbeat", async move |this: Self| {
            this.0.expressions.check(&this.0.client, &this.0.group, &subscriptions).await;
            let round = this.0.client.heartbeat_group(&this.0.group).await;
            let outcome = match (round.accepted, round.failed.len()) {
                (0, _) => HeartbeatOutcome::Failed,
                (_, 0) => HeartbeatOutcome::Accepted,
                _ => HeartbeatOutcome::Partly,
            };
            Some(Input::Heartbeat(outcome))
        });
    }

    fn consumer_data(&self, heartbeat: &Heartbeat) -> ConsumerData {
        let subscriptions =
            heartbeat.subscriptions.iter().map(|subscription| subscription_data(subscription));
        ConsumerData {
            consume_from_where: self.0.consume_from_where,
            group_name: self.0.group.to_string(),
            message_model: self.0.message_model,
            subscription_data_set: subscriptions.collect(),
            unit_mode: self.0.client.unit_mode(),
            ..ConsumerData::default()
        }
    }

    async fn send_back(&self, back: SendBackRequest) -> Result<(), CallError> {
        let header = ConsumerSendMsgBackRequestHeader {
            offset: back.message.physical_offset(),
            group: self.0.group.to_string(),
            delay_level: back.delay_level,
            origin_msg_id: Some(back.message.message_id()),
            origin_topic: Some(back.origin_topic.to_string()),
            unit_mode: Some(self.0.client.unit_mode()),
            max_reconsume_times: Some(back.max_reconsume_times),
            broker_name: None,
        };
        self.0.client.send_message_back(&back.mq.topic, &back.mq.broker_name, header).await
    }
}

fn offset(answer: Result<i64, CallError>) -> OffsetAnswer {
    match answer {
        Ok(offset) => OffsetAnswer::Found(offset),
        Err(error) => OffsetAnswer::Failed(error.to_string()),
    }
}

/// One subscription as heartbeats and tools have it.
pub(super) fn subscription_data(subscription: &TopicSubscription) -> SubscriptionData {
    SubscriptionData {
        code_set: subscription.codes.clone(),
        expression_type: subscription.expression.kind().to_owned(),
        sub_string: subscription.expression.text().to_owned(),
        sub_version: i64::try_from(subscription.sub_version).unwrap_or(i64::MAX),
        tags_set: subscription.tags.clone(),
        topic: subscription.topic.to_string(),
        ..SubscriptionData::default()
    }
}

/// Where the group begins, in RocketMQ's words.
pub(super) fn consume_from_where(config: &GroupConfig) -> ConsumeFromWhere {
    match config.consume_from_where {
        gantry_core::ConsumeFromWhere::LastOffset => ConsumeFromWhere::LastOffset,
        gantry_core::ConsumeFromWhere::FirstOffset => ConsumeFromWhere::FirstOffset,
        gantry_core::ConsumeFromWhere::Timestamp(_) => ConsumeFromWhere::Timestamp,
    }
}
