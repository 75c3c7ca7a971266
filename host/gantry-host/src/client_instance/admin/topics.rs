//! Topics: making, listing, describing and deleting them.

use std::sync::Arc;

use gantry_protocol::body::{GroupList, TopicRouteData, TopicStatsTable};
use gantry_protocol::header::{
    CreateTopicRequestHeader, DeleteTopicRequestHeader, GetTopicStatsInfoRequestHeader,
    QueryTopicConsumeByWhoRequestHeader,
};
use gantry_protocol::names::{self, AUTO_CREATE_TOPIC};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode, perm};

use crate::client_instance::{CallError, ClientInstance, RouteError};

/// What a topic is to be like at each broker (RocketMQ: TopicConfig).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// Queues to read. Default 8, as `mqadmin updateTopic` has it.
    pub read_queue_nums: i32,
    /// Queues to write. Default 8.
    pub write_queue_nums: i32,
    /// Bits of [`gantry_protocol::perm`]. Default read and write.
    pub perm: i32,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { read_queue_nums: 8, write_queue_nums: 8, perm: perm::READ | perm::WRITE }
    }
}

impl ClientInstance {
    /// Creates a topic, or changes it where it exists, at every master of the cluster
    /// (UPDATE_AND_CREATE_TOPIC). Returns the names of the brokers that have it now. Name servers learn of it from
    /// the brokers, a moment later.
    ///
    /// # Errors
    /// The first broker that refuses, or cannot be asked, ends it; the brokers before it have the topic. Or no
    /// master is known at all.
    pub async fn create_topic(
        &self,
        topic: &str,
        settings: &TopicSettings,
    ) -> Result<Vec<Arc<str>>, CallError> {
        let header = CreateTopicRequestHeader {
            topic: topic.to_owned(),
            default_topic: Some(AUTO_CREATE_TOPIC.to_owned()),
            read_queue_nums: settings.read_queue_nums,
            write_queue_nums: settings.write_queue_nums,
            perm: settings.perm,
            topic_filter_type: Some("SINGLE_TAG".to_owned()),
            topic_sys_flag: Some(0),
            order: Some(false),
            ..CreateTopicRequestHeader::default()
        };
        let masters = self.masters().await?;
        for addr in masters.values() {
            let request = RemotingCommand::request(RequestCode::UPDATE_AND_CREATE_TOPIC, &header);
            self.ask(addr, request, self.api_timeout()).await?.success()?;
        }
        Ok(masters.into_keys().collect())
    }

    /// The names of all topics the name server knows (GET_ALL_TOPIC_LIST_FROM_NAMESERVER), sorted.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub async fn topic_list(&self) -> Result<Vec<String>, RouteError> {
        let mut topics = self.0.names.topics().await?.topic_list;
        topics.sort();
        topics.dedup();
        Ok(topics)
    }

    /// As [`Self::topic_list`], without what brokers keep for themselves and for groups: system, reply, retry and
    /// dead-letter topics, and those that have the name of a broker or cluster (RocketMQ: brokerTopicEnable,
    /// clusterTopicEnable).
    ///
    /// # Errors
    /// See [`RouteError`].
    pub async fn user_topics(&self) -> Result<Vec<String>, RouteError> {
        let cluster = self.0.names.cluster().await?;
        let of_rocketmq: [fn(&str) -> bool; 4] =
            [names::is_retry, names::is_dlq, names::is_system_topic, names::is_reply_topic];
        let mut topics = self.topic_list().await?;
        topics.retain(|topic| {
            !of_rocketmq.into_iter().any(|is| is(topic))
                && !cluster.cluster_addr_table.contains_key(topic)
                && !cluster.broker_addr_table.contains_key(topic)
        });
        Ok(topics)
    }

    /// The topic's route as the name server has it: brokers, their addresses, queues and permissions
    /// (GET_ROUTEINFO_BY_TOPIC).
    ///
    /// # Errors
    /// See [`RouteError`].
    pub async fn topic_route(&self, topic: &str) -> Result<TopicRouteData, RouteError> {
        self.0.names.route_data(&topic.into()).await
    }

    /// Where each queue of the topic begins and ends, at all masters that have it (GET_TOPIC_STATS_INFO). The rate is
    /// that of all together.
    ///
    /// # Errors
    /// See [`CallError`]; the first broker that cannot be asked ends it.
    pub async fn topic_stats(&self, topic: &str) -> Result<TopicStatsTable, CallError> {
        let header = GetTopicStatsInfoRequestHeader { topic: topic.to_owned(), broker_name: None };
        let request = RemotingCommand::request(RequestCode::GET_TOPIC_STATS_INFO, &header);
        let mut whole = TopicStatsTable::default();
        for (_, addr) in self.refresh_route(topic).await?.masters() {
            let answer = self.ask(addr, request.clone(), self.api_timeout()).await?.success()?;
            let part: TopicStatsTable = answer.body()?;
            whole.offset_table.0.extend(part.offset_table.0);
            whole.topic_put_tps += part.topic_put_tps;
        }
        Ok(whole)
    }

    /// The groups that subscribe to the topic or have offsets of it, sorted (QUERY_TOPIC_CONSUME_BY_WHO).
    ///
    /// # Errors
    /// See [`CallError`]; the first broker that cannot be asked ends it.
    pub async fn groups_of_topic(&self, topic: &str) -> Result<Vec<String>, CallError> {
        let header = QueryTopicConsumeByWhoRequestHeader { topic: topic.to_owned() };
        let request = RemotingCommand::request(RequestCode::QUERY_TOPIC_CONSUME_BY_WHO, &header);
        let mut groups = Vec::new();
        for (_, addr) in self.refresh_route(topic).await?.masters() {
            let answer = self.ask(addr, request.clone(), self.api_timeout()).await?.success()?;
            groups.extend(answer.body::<GroupList>()?.group_list);
        }
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    /// Deletes a topic with its messages at every master of the cluster, then at every name server
    /// (DELETE_TOPIC_IN_BROKER, DELETE_TOPIC_IN_NAMESRV). Returns the names of the brokers that had been asked. A
    /// master that does not have it is content.
    ///
    /// # Errors
    /// See [`CallError`]; the first that refuses or cannot be asked ends it, and doing it again goes on.
    pub async fn delete_topic(&self, topic: &str) -> Result<Vec<Arc<str>>, CallError> {
        let header = DeleteTopicRequestHeader { topic: topic.to_owned(), cluster_name: None };
        let request = RemotingCommand::request(RequestCode::DELETE_TOPIC_IN_BROKER, &header);
        let masters = self.masters().await?;
        for addr in masters.values() {
            let answer = self.ask(addr, request.clone(), self.api_timeout()).await?;
            if answer.code() != ResponseCode::TOPIC_NOT_EXIST {
                answer.success()?;
            }
        }
        let request = RemotingCommand::request(RequestCode::DELETE_TOPIC_IN_NAMESRV, &header);
        for addr in self.name_servers().iter() {
            self.ask(addr, request.clone(), self.api_timeout()).await?.success()?;
        }
        Ok(masters.into_keys().collect())
    }
}
