//! Finding single messages.

use std::net::SocketAddr;
use std::sync::Arc;

use gantry_protocol::header::{QueryMessageRequestHeader, ViewMessageRequestHeader};
use gantry_protocol::{MessageExt, RemotingCommand, RequestCode, ResponseCode, decode_all};

use crate::client_instance::{CallError, ClientInstance};

/// What to look for in the brokers' index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageQuery {
    /// The topic.
    pub topic: String,
    /// One of the message's keys, or its unique key.
    pub key: String,
    /// Whether `key` is a unique key (`UNIQ_KEY`, the message id that producers and consumers see).
    pub is_unique_key: bool,
    /// Most messages wanted of each broker; brokers give 64 at most by default.
    pub max: i32,
    /// Oldest store time, in milliseconds since the epoch.
    pub begin: i64,
    /// Newest store time, in milliseconds since the epoch.
    pub end: i64,
}

impl ClientInstance {
    /// The message at a place of a broker's commit log (VIEW_MESSAGE_BY_ID), both as
    /// [`gantry_protocol::message_id::parse_offset_msg_id`] reads them from an id.
    ///
    /// # Errors
    /// See [`CallError`]; SYSTEM_ERROR when there is no message at that place.
    pub async fn view_message(
        &self,
        broker: SocketAddr,
        physical_offset: i64,
        topic: Option<&str>,
    ) -> Result<MessageExt, CallError> {
        let addr: Arc<str> = broker.to_string().into();
        let header = ViewMessageRequestHeader { topic: topic.map(str::to_owned), offset: physical_offset };
        let request = RemotingCommand::request(RequestCode::VIEW_MESSAGE_BY_ID, &header);
        let answer = self.ask(&addr, request, self.api_timeout()).await?.success()?;
        MessageExt::decode(answer.command.body.clone()).map_err(|error| answer.unreadable(&error))
    }

    /// The messages of a topic that have a key, of all masters that have it, oldest first (QUERY_MESSAGE). Messages
    /// whose key only has the same hash are left out.
    ///
    /// # Errors
    /// See [`CallError`]; the first broker that cannot be asked ends it.
    pub async fn query_message(&self, query: &MessageQuery) -> Result<Vec<MessageExt>, CallError> {
        let header = QueryMessageRequestHeader {
            topic: query.topic.clone(),
            key: query.key.clone(),
            max_num: query.max,
            begin_timestamp: query.begin,
            end_timestamp: query.end,
            unique_key_query: Some(query.is_unique_key),
            index_type: Some(if query.is_unique_key { "U" } else { "K" }.to_owned()),
        };
        let request = RemotingCommand::request(RequestCode::QUERY_MESSAGE, &header);
        let mut found = Vec::new();
        for (_, addr) in self.refresh_route(&query.topic).await?.masters() {
            let answer = self.ask(addr, request.clone(), self.api_timeout()).await?;
            if answer.code() == ResponseCode::QUERY_NOT_FOUND {
                continue;
            }
            let answer = answer.success()?;
            for message in decode_all(answer.command.body.clone()) {
                found.push(message.map_err(|error| answer.unreadable(&error))?);
            }
        }
        found.retain(|message| has_key(message, query));
        found.sort_by_key(|message| (message.store_timestamp(), message.physical_offset()));
        Ok(found)
    }
}

fn has_key(message: &MessageExt, query: &MessageQuery) -> bool {
    if query.is_unique_key {
        return message.unique_key() == Some(query.key.as_str());
    }
    message.keys().is_some_and(|keys| keys.split(' ').any(|key| key == query.key))
}
