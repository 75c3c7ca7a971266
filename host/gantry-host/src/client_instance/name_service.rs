//! Questions to the name servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use gantry_protocol::body::{ClusterInfo, TopicList, TopicRouteData};
use gantry_protocol::header::GetRouteInfoRequestHeader;
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode, fastjson};
use gantry_remoting::{NameServers, NameServersError};
use serde::de::DeserializeOwned;

use super::error::RouteError;
use super::route::TopicRoute;

/// The name servers, and whether they answered the last time.
#[derive(Debug)]
pub(super) struct NameService {
    servers: NameServers,
    timeout: Duration,
    reachable: AtomicBool,
}

impl NameService {
    pub(super) fn new(servers: NameServers, timeout: Duration) -> Self {
        Self { servers, timeout, reachable: AtomicBool::new(true) }
    }

    pub(super) fn addresses(&self) -> Arc<[Arc<str>]> {
        self.servers.addresses()
    }

    /// Takes another list, and returns those that are gone from it.
    pub(super) fn replace(&self, addresses: Vec<Arc<str>>) -> Vec<Arc<str>> {
        self.servers.replace(addresses)
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.reachable.load(Relaxed)
    }

    /// GET_ROUTEINFO_BY_TOPIC.
    pub(super) async fn route(&self, topic: &Arc<str>) -> Result<TopicRoute, RouteError> {
        Ok(TopicRoute::new(Arc::clone(topic), &self.route_data(topic).await?))
    }

    /// GET_ROUTEINFO_BY_TOPIC, all that the name server says.
    pub(super) async fn route_data(&self, topic: &Arc<str>) -> Result<TopicRouteData, RouteError> {
        let header =
            GetRouteInfoRequestHeader { topic: topic.to_string(), accept_standard_json_only: Some(true) };
        let request = RemotingCommand::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
        match self.ask::<TopicRouteData>(request).await {
            Err(RouteError::Refused { code: ResponseCode::TOPIC_NOT_EXIST, .. }) => {
                Err(RouteError::Missing { topic: Arc::clone(topic) })
            }
            answer => answer,
        }
    }

    /// GET_ALL_TOPIC_LIST_FROM_NAMESERVER.
    pub(super) async fn topics(&self) -> Result<TopicList, RouteError> {
        self.ask(RemotingCommand::bare_request(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER)).await
    }

    /// GET_BROKER_CLUSTER_INFO.
    pub(super) async fn cluster(&self) -> Result<ClusterInfo, RouteError> {
        self.ask(RemotingCommand::bare_request(RequestCode::GET_BROKER_CLUSTER_INFO)).await
    }

    async fn ask<T: DeserializeOwned>(&self, command: RemotingCommand) -> Result<T, RouteError> {
        let request = command.request_code();
        let answer = self.servers.invoke(command, self.timeout).await;
        self.note(answer.as_ref().err());
        let answer = answer?;
        if answer.response_code() != ResponseCode::SUCCESS {
            let (code, remark) = (answer.response_code(), answer.remark.unwrap_or_default());
            return Err(RouteError::Refused { request, code, remark });
        }
        fastjson::from_slice(&answer.body)
            .map_err(|source| RouteError::Malformed { request, source: Arc::new(source) })
    }

    /// Says once that they are gone, and once that they are back.
    fn note(&self, failure: Option<&NameServersError>) {
        let reachable = failure.is_none();
        if self.reachable.swap(reachable, Relaxed) == reachable {
            return;
        }
        match failure {
            Some(error) => {
                tracing::warn!(%error, "name servers do not answer; known routes stay, and asking goes on")
            }
            None => tracing::info!("a name server answers again"),
        }
    }
}
