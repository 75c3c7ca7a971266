//! What consumer groups ask of brokers, pulls apart: members, offsets, sending back, locks.

use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::body::{
    CheckClientRequestBody, ConsumerConnection, ConsumerListBody, ConsumerRunningInfo, LockBatchBody,
    LockBatchResponseBody, SubscriptionData,
};
use gantry_protocol::header::{
    ConsumerSendMsgBackRequestHeader, GetConsumerConnectionListRequestHeader,
    GetConsumerListByGroupRequestHeader, GetConsumerRunningInfoRequestHeader, GetMaxOffsetRequestHeader,
    GetMaxOffsetResponseHeader, GetMinOffsetRequestHeader, GetMinOffsetResponseHeader,
    QueryConsumerOffsetRequestHeader, QueryConsumerOffsetResponseHeader, SearchOffsetRequestHeader,
    SearchOffsetResponseHeader, UpdateConsumerOffsetRequestHeader,
};
use gantry_protocol::{MessageQueue, RemotingCommand, RequestCode, ResponseCode};

use super::ClientInstance;
use super::call::{Answer, with_json};
use super::error::CallError;

/// How long reading and storing an offset, and sending a message back, may take; RocketMQ's fixed 5 s.
const OFFSET_TIMEOUT: Duration = Duration::from_secs(5);

/// How long locking may take; RocketMQ's fixed 1 s.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

impl ClientInstance {
    /// The client ids of the group's members, as one broker of the topic, picked at random, knows them
    /// (GET_CONSUMER_LIST_BY_GROUP). In no order.
    ///
    /// # Errors
    /// See [`CallError`]. A broker that knows no member answers SYSTEM_ERROR.
    pub async fn get_consumer_list(&self, group: &str, topic: &str) -> Result<Vec<String>, CallError> {
        let addr = self.any_broker(topic).await?;
        let header =
            GetConsumerListByGroupRequestHeader { consumer_group: group.to_owned(), broker_name: None };
        let request = RemotingCommand::request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &header);
        let answer = self.ask(&addr, request, self.api_timeout()).await?.success()?;
        Ok(answer.body::<ConsumerListBody>()?.consumer_id_list)
    }

    /// The members of a group this client is registered in, and what is subscribed on behalf of all, as one broker of
    /// its topics knows them (GET_CONSUMER_CONNECTION_LIST). Always the same broker, while it answers.
    ///
    /// # Errors
    /// See [`CallError`]; of several brokers that do not answer, the last one's.
    pub async fn consumer_connection(&self, group: &str) -> Result<ConsumerConnection, CallError> {
        let header =
            GetConsumerConnectionListRequestHeader { consumer_group: group.to_owned(), broker_name: None };
        let request = RemotingCommand::request(RequestCode::GET_CONSUMER_CONNECTION_LIST, &header);
        self.ask_groups_broker(group, request).await?.body()
    }

    /// What another member of a group this client is registered in does at the moment, asked through a broker
    /// (GET_CONSUMER_RUNNING_INFO).
    ///
    /// # Errors
    /// See [`CallError`]; SYSTEM_ERROR when the broker does not know the member.
    pub async fn consumer_running_info(
        &self,
        group: &str,
        client_id: &str,
    ) -> Result<ConsumerRunningInfo, CallError> {
        let header = GetConsumerRunningInfoRequestHeader {
            consumer_group: group.to_owned(),
            client_id: client_id.to_owned(),
            jstack_enable: Some(false),
        };
        let request = RemotingCommand::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &header);
        self.ask_groups_broker(group, request).await?.body()
    }

    async fn ask_groups_broker(&self, group: &str, request: RemotingCommand) -> Result<Answer, CallError> {
        let mut result = Err(CallError::NoBroker { group: group.into() });
        let Some(consumer) = self.registered_group(group) else { return result };
        for addr in self.brokers_of(&consumer) {
            result = match self.ask(&addr, request.clone(), self.api_timeout()).await {
                Ok(answer) => return answer.success(),
                Err(error) => Err(error),
            };
        }
        result
    }

    /// Has a broker of the topic check a subscription expression (CHECK_CLIENT_CONFIG). Only worth asking for other
    /// expressions than tags.
    ///
    /// # Errors
    /// See [`CallError`]; SUBSCRIPTION_PARSE_FAILED with the parser's words for a bad expression.
    pub async fn check_client_config(
        &self,
        group: &str,
        subscription: SubscriptionData,
    ) -> Result<(), CallError> {
        let addr = self.any_broker(&subscription.topic).await?;
        let body = CheckClientRequestBody {
            client_id: self.client_id().to_owned(),
            group: group.to_owned(),
            namespace: None,
            subscription_data: subscription,
        };
        let request = with_json(&addr, RequestCode::CHECK_CLIENT_CONFIG, &body)?;
        self.ask(&addr, request, self.api_timeout()).await?.success().map(drop)
    }

    /// The group's stored offset of a queue, `None` when the broker has none (QUERY_CONSUMER_OFFSET).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn query_offset(&self, group: &str, mq: &MessageQueue) -> Result<Option<i64>, CallError> {
        let header = QueryConsumerOffsetRequestHeader {
            consumer_group: group.to_owned(),
            topic: mq.topic.to_string(),
            queue_id: mq.queue_id,
            set_zero_if_not_found: None,
            broker_name: Some(mq.broker_name.to_string()),
        };
        let request = RemotingCommand::request(RequestCode::QUERY_CONSUMER_OFFSET, &header);
        let answer = self.ask_queue(mq, request, OFFSET_TIMEOUT).await?;
        if answer.code() == ResponseCode::QUERY_NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(answer.success()?.header::<QueryConsumerOffsetResponseHeader>()?.offset))
    }

    /// Stores the group's offset of a queue at the master and waits for its word (UPDATE_CONSUMER_OFFSET). A slave takes
    /// its offsets from the master, over what it has been told itself.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn update_offset(&self, group: &str, mq: &MessageQueue, offset: i64) -> Result<(), CallError> {
        let addr = self.master(&mq.topic, &mq.broker_name).await?;
        self.ask(&addr, update(group, mq, offset), OFFSET_TIMEOUT).await?.success().map(drop)
    }

    /// Stores the group's offset of a queue at the master without waiting: a failure may stay unknown.
    ///
    /// # Errors
    /// See [`CallError`]: there is no connection.
    pub async fn update_offset_oneway(
        &self,
        group: &str,
        mq: &MessageQueue,
        offset: i64,
    ) -> Result<(), CallError> {
        let addr = self.master(&mq.topic, &mq.broker_name).await?;
        self.tell(&addr, update(group, mq, offset)).await
    }

    /// The offset after the last message of a queue (GET_MAX_OFFSET).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn max_offset(&self, mq: &MessageQueue) -> Result<i64, CallError> {
        let header = GetMaxOffsetRequestHeader {
            topic: mq.topic.to_string(),
            queue_id: mq.queue_id,
            committed: Some(true),
            broker_name: Some(mq.broker_name.to_string()),
        };
        let request = RemotingCommand::request(RequestCode::GET_MAX_OFFSET, &header);
        let answer = self.ask_queue(mq, request, self.api_timeout()).await?.success()?;
        Ok(answer.header::<GetMaxOffsetResponseHeader>()?.offset)
    }

    /// The offset of the oldest message of a queue (GET_MIN_OFFSET).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn min_offset(&self, mq: &MessageQueue) -> Result<i64, CallError> {
        let header = GetMinOffsetRequestHeader {
            topic: mq.topic.to_string(),
            queue_id: mq.queue_id,
            broker_name: Some(mq.broker_name.to_string()),
        };
        let request = RemotingCommand::request(RequestCode::GET_MIN_OFFSET, &header);
        let answer = self.ask_queue(mq, request, self.api_timeout()).await?.success()?;
        Ok(answer.header::<GetMinOffsetResponseHeader>()?.offset)
    }

    /// The first offset stored at or after `timestamp`, in milliseconds since the epoch (SEARCH_OFFSET_BY_TIMESTAMP,
    /// boundary LOWER).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn search_offset(&self, mq: &MessageQueue, timestamp: i64) -> Result<i64, CallError> {
        let header = SearchOffsetRequestHeader {
            topic: mq.topic.to_string(),
            queue_id: mq.queue_id,
            timestamp,
            boundary_type: None,
            broker_name: Some(mq.broker_name.to_string()),
        };
        let request = RemotingCommand::request(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, &header);
        let answer = self.ask_queue(mq, request, self.api_timeout()).await?.success()?;
        Ok(answer.header::<SearchOffsetResponseHeader>()?.offset)
    }

    /// Hands a message back to the broker it came from, to come again or to be filed as a dead letter
    /// (CONSUMER_SEND_MSG_BACK). `topic` is the one it was pulled from.
    ///
    /// # Errors
    /// See [`CallError`]. After a time-out the broker may have filed it all the same.
    pub async fn send_message_back(
        &self,
        topic: &str,
        broker_name: &Arc<str>,
        mut header: ConsumerSendMsgBackRequestHeader,
    ) -> Result<(), CallError> {
        let addr = self.master(topic, broker_name).await?;
        header.broker_name.get_or_insert_with(|| broker_name.to_string());
        let request = RemotingCommand::request(RequestCode::CONSUMER_SEND_MSG_BACK, &header);
        self.ask(&addr, request, OFFSET_TIMEOUT).await?.success().map(drop)
    }

    /// Locks queues of one broker for the group, or renews their locks, and returns those this client holds now
    /// (LOCK_BATCH_MQ). A lock lasts 60 s. `replica_will_do` has the broker's first replica asked while the route names
    /// no master.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn lock_batch(
        &self,
        group: &str,
        broker_name: &Arc<str>,
        queues: Vec<MessageQueue>,
        replica_will_do: bool,
    ) -> Result<Vec<MessageQueue>, CallError> {
        let topic = queues.first().map(|queue| Arc::clone(&queue.topic)).unwrap_or_default();
        let addr = match replica_will_do {
            true => self.acting_master(&topic, broker_name).await?,
            false => self.master(&topic, broker_name).await?,
        };
        let code = RequestCode::LOCK_BATCH_MQ;
        let answer = self.lock_call(&addr, code, group, self.client_id(), queues).await?;
        Ok(answer.body::<LockBatchResponseBody>()?.lock_ok_mq_set)
    }

    /// Gives queues of one broker up (UNLOCK_BATCH_MQ), where [`ClientInstance::lock_batch`] would lock them. `client_id` is
    /// whose locks end: this client's, or that of a member that is gone.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn unlock_batch(
        &self,
        group: &str,
        client_id: &str,
        broker_name: &Arc<str>,
        queues: Vec<MessageQueue>,
    ) -> Result<(), CallError> {
        let topic = queues.first().map(|queue| Arc::clone(&queue.topic)).unwrap_or_default();
        let addr = self.acting_master(&topic, broker_name).await?;
        self.lock_call(&addr, RequestCode::UNLOCK_BATCH_MQ, group, client_id, queues).await.map(drop)
    }

    async fn lock_call(
        &self,
        addr: &Arc<str>,
        code: RequestCode,
        group: &str,
        client_id: &str,
        queues: Vec<MessageQueue>,
    ) -> Result<Answer, CallError> {
        let body = LockBatchBody {
            client_id: client_id.to_owned(),
            consumer_group: group.to_owned(),
            mq_set: queues,
            only_this_broker: false,
        };
        self.ask(addr, with_json(addr, code, &body)?, LOCK_TIMEOUT).await?.success()
    }

    pub(super) async fn any_broker(&self, topic: &str) -> Result<Arc<str>, CallError> {
        let route = self.route(topic).await?;
        let broker_name = || route.brokers.keys().next().cloned().unwrap_or_default();
        route.random_address().cloned().ok_or_else(|| CallError::UnknownBroker { broker_name: broker_name() })
    }

    async fn ask_queue(
        &self,
        mq: &MessageQueue,
        request: RemotingCommand,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let broker = self.broker(&mq.topic, &mq.broker_name, gantry_protocol::names::MASTER_ID).await?;
        self.ask(&broker.addr, request, timeout).await
    }
}

fn update(group: &str, mq: &MessageQueue, commit_offset: i64) -> RemotingCommand {
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: group.to_owned(),
        topic: mq.topic.to_string(),
        queue_id: mq.queue_id,
        commit_offset,
        broker_name: Some(mq.broker_name.to_string()),
    };
    RemotingCommand::request(RequestCode::UPDATE_CONSUMER_OFFSET, &header)
}
