//! What an operator asks of a cluster: topics, groups, offsets, single messages, dead letters (RocketMQ:
//! DefaultMQAdminExt).

mod groups;
mod messages;
mod offsets;
mod republish;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_protocol::names::{AUTO_CREATE_TOPIC, MASTER_ID};

pub use messages::MessageQuery;
pub use republish::dead_letter_origin;
pub use topics::TopicSettings;

use super::ClientInstance;
use super::error::{CallError, RouteError};

impl ClientInstance {
    /// Every master of the cluster by broker name, as the name server says; where it does not say, the masters that
    /// have the template topic.
    pub(super) async fn masters(&self) -> Result<BTreeMap<Arc<str>, Arc<str>>, CallError> {
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
