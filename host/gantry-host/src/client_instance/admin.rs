//! Topics: making and listing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_protocol::header::CreateTopicRequestHeader;
use gantry_protocol::names::{AUTO_CREATE_TOPIC, MASTER_ID};
use gantry_protocol::{RemotingCommand, RequestCode, perm};

use super::ClientInstance;
use super::error::{CallError, RouteError};

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

    /// Every master of the cluster by broker name, as the name server says; where it does not say, the masters that
    /// have the template topic.
    async fn masters(&self) -> Result<BTreeMap<Arc<str>, Arc<str>>, CallError> {
        let masters: BTreeMap<Arc<str>, Arc<str>> = match self.0.names.cluster().await {
            Ok(cluster) => {
                let brokers = cluster.broker_addr_table.into_iter();
                let masters = brokers.filter_map(|(name, broker)| {
                    let addr = broker.broker_addrs.get(&MASTER_ID)?.as_str().into();
                    Some((name.into(), addr))
                });
                masters.collect()
            }
            Err(RouteError::Refused { .. }) => {
                let route = self.route(AUTO_CREATE_TOPIC).await?;
                route.masters().map(|(name, addr)| (Arc::clone(name), Arc::clone(addr))).collect()
            }
            Err(error) => return Err(error.into()),
        };
        if masters.is_empty() {
            return Err(CallError::NoMaster);
        }
        Ok(masters)
    }
}
