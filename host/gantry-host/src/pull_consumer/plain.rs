//! The client as a pull consumer's program names things: topics and groups without their namespace.

use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::body::SubscriptionData;
use gantry_protocol::header::{ConsumerSendMsgBackRequestHeader, PullMessageRequestHeader};
use gantry_protocol::{MessageQueue, Namespace};

use crate::client_instance::{CallError, ClientInstance, PullAnswer, RouteError};

/// A client for one group, which wraps what goes to brokers and unwraps what comes.
#[derive(Debug, Clone)]
pub(super) struct PlainClient {
    instance: ClientInstance,
    /// The group as brokers know it.
    group: Arc<str>,
}

impl PlainClient {
    /// The client for the group of this plain name.
    pub(super) fn new(instance: ClientInstance, group: &str) -> Self {
        let group = (*instance.namespace().wrap(group)).into();
        Self { instance, group }
    }

    /// The client beneath, to which names are as brokers have them.
    pub(super) fn instance(&self) -> &ClientInstance {
        &self.instance
    }

    /// The group as brokers know it.
    pub(super) fn wire_group(&self) -> &str {
        &self.group
    }

    pub(super) fn namespace(&self) -> &Namespace {
        self.instance.namespace()
    }

    /// A subscription as brokers know it.
    pub(super) fn wrap_subscription(&self, mut subscription: SubscriptionData) -> SubscriptionData {
        subscription.topic = self.namespace().wrap(&subscription.topic).into_owned();
        subscription
    }

    /// A topic's queues that may be read, sorted, as its route is known or else as a name server says.
    pub(super) async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, RouteError> {
        let route = self.instance.route(&self.namespace().wrap(topic)).await;
        self.plain(topic, route.map(|route| route.subscribe_queues.clone()))
    }

    /// The same as a name server says now.
    pub(super) async fn refreshed_queues(&self, topic: &str) -> Result<Vec<MessageQueue>, RouteError> {
        let route = self.instance.refresh_route(&self.namespace().wrap(topic)).await;
        self.plain(topic, route.map(|route| route.subscribe_queues.clone()))
    }

    fn plain(
        &self,
        topic: &str,
        queues: Result<Vec<MessageQueue>, RouteError>,
    ) -> Result<Vec<MessageQueue>, RouteError> {
        match queues {
            Ok(queues) => Ok(queues.iter().map(|queue| self.namespace().unwrap_queue(queue)).collect()),
            Err(RouteError::Missing { .. }) => Err(RouteError::Missing { topic: topic.into() }),
            Err(error) => Err(error),
        }
    }

    /// The client ids of the group's members, sorted.
    pub(super) async fn members(&self, topic: &str) -> Result<Vec<String>, CallError> {
        let topic = self.namespace().wrap(topic);
        let mut members = self.instance.get_consumer_list(&self.group, &topic).await?;
        members.sort();
        Ok(members)
    }

    /// One pull from `mq`; group and topic of the header are filled in.
    pub(super) async fn pull(
        &self,
        mq: &MessageQueue,
        broker_id: i64,
        header: PullMessageRequestHeader,
        timeout: Duration,
    ) -> Result<PullAnswer, CallError> {
        let topic = self.namespace().wrap(&mq.topic).into_owned();
        let header = PullMessageRequestHeader { consumer_group: self.group.to_string(), topic, ..header };
        self.instance.pull(&mq.broker_name, broker_id, header, timeout).await
    }

    pub(super) async fn query_offset(&self, mq: &MessageQueue) -> Result<Option<i64>, CallError> {
        self.instance.query_offset(&self.group, &self.namespace().wrap_queue(mq)).await
    }

    pub(super) async fn update_offset(&self, mq: &MessageQueue, offset: i64) -> Result<(), CallError> {
        self.instance.update_offset(&self.group, &self.namespace().wrap_queue(mq), offset).await
    }

    pub(super) async fn min_offset(&self, mq: &MessageQueue) -> Result<i64, CallError> {
        self.instance.min_offset(&self.namespace().wrap_queue(mq)).await
    }

    pub(super) async fn max_offset(&self, mq: &MessageQueue) -> Result<i64, CallError> {
        self.instance.max_offset(&self.namespace().wrap_queue(mq)).await
    }

    pub(super) async fn search_offset(&self, mq: &MessageQueue, timestamp: i64) -> Result<i64, CallError> {
        self.instance.search_offset(&self.namespace().wrap_queue(mq), timestamp).await
    }

    /// Gives a message of `mq` back; the group of the header is filled in.
    pub(super) async fn send_message_back(
        &self,
        mq: &MessageQueue,
        header: ConsumerSendMsgBackRequestHeader,
    ) -> Result<(), CallError> {
        let topic = self.namespace().wrap(&mq.topic);
        let unit_mode = Some(self.instance.unit_mode());
        let header = ConsumerSendMsgBackRequestHeader { group: self.group.to_string(), unit_mode, ..header };
        self.instance.send_message_back(&topic, &mq.broker_name, header).await
    }
}
