//! What every question to a broker has in common: an address, a deadline, and an answer whose code is looked at.

use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::{CommandHeader, RemotingCommand, RequestCode, ResponseCode, fastjson};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::ClientInstance;
use super::error::CallError;
use super::route_table::BrokerAddress;

/// A route that names no master of a broker is asked for again when the master is wanted, but not within this time.
const MASTERLESS: Duration = Duration::from_secs(1);

/// A broker's answer, with what is needed to complain about it.
#[derive(Debug)]
pub(super) struct Answer {
    addr: Arc<str>,
    request: RequestCode,
    pub(super) command: RemotingCommand,
}

impl ClientInstance {
    /// Asks the broker at `addr` and waits for the answer, whatever its code says.
    pub(super) async fn ask(
        &self,
        addr: &Arc<str>,
        command: RemotingCommand,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let request = command.request_code();
        let command = self.0.client.invoke(&self.channel(addr, request), command, timeout).await?;
        Ok(Answer { addr: Arc::clone(addr), request, command })
    }

    /// [`Self::ask`] for a caller that does not wait: `done` is called once, mostly by the connection, which is that of a lane.
    pub(super) fn ask_then(
        &self,
        addr: &Arc<str>,
        lane: usize,
        command: RemotingCommand,
        timeout: Duration,
        done: impl FnOnce(Result<Answer, CallError>) + Send + 'static,
    ) {
        let (request, addr) = (command.request_code(), Arc::clone(addr));
        let channel = self.channel(&addr, request);
        self.0.client.ask(&channel, lane, command, timeout, move |ended| {
            let answered = |command| Answer { addr, request, command };
            done(ended.map(answered).map_err(CallError::from));
        });
    }

    /// Hands a command to the connection with the broker at `addr` and waits for no answer.
    pub(super) async fn tell(&self, addr: &Arc<str>, command: RemotingCommand) -> Result<(), CallError> {
        Ok(self.0.client.oneway(&self.channel(addr, command.request_code()), command).await?)
    }

    /// Where a request for the broker at `addr` goes: there, or to its VIP channel.
    fn channel(&self, addr: &Arc<str>, request: RequestCode) -> Arc<str> {
        let vip = self.0.config.vip_channel_enabled && goes_by_vip_channel(request);
        vip.then(|| vip_channel(addr)).flatten().unwrap_or_else(|| Arc::clone(addr))
    }

    /// The time for ordinary questions.
    pub(super) fn api_timeout(&self) -> Duration {
        self.0.config.mq_client_api_timeout
    }

    /// A broker's address: that of this id, else its master's, else any. Routes are asked for again when the broker
    /// is not known, for it may be new.
    pub(super) async fn broker(
        &self,
        topic: &str,
        broker_name: &Arc<str>,
        id: i64,
    ) -> Result<BrokerAddress, CallError> {
        if let Some(found) = self.0.routes.broker(broker_name, id) {
            return Ok(found);
        }
        self.refresh_route(topic).await?;
        self.0.routes.broker(broker_name, id).ok_or_else(|| unknown(broker_name))
    }

    /// The address of a broker's master, asking for the route again when it is not known.
    pub(super) async fn master(&self, topic: &str, broker_name: &Arc<str>) -> Result<Arc<str>, CallError> {
        let routes = &self.0.routes;
        if let Some(found) = routes.master(broker_name) {
            return Ok(found);
        }
        if routes.replica(broker_name).is_none() || !routes.is_fresh(topic, MASTERLESS, Instant::now()) {
            self.refresh_route(topic).await?;
        }
        match (routes.master(broker_name), routes.replica(broker_name)) {
            (Some(found), _) => Ok(found),
            (None, Some(_)) => Err(CallError::MasterAway { broker_name: Arc::clone(broker_name) }),
            (None, None) => Err(unknown(broker_name)),
        }
    }

    /// The address of a broker's first replica, if its master does not serve now; else the master's.
    pub(super) async fn acting_master(
        &self,
        topic: &str,
        broker_name: &Arc<str>,
    ) -> Result<Arc<str>, CallError> {
        match self.master(topic, broker_name).await {
            Err(CallError::MasterAway { .. }) => {
                let replica = self.0.routes.replica(broker_name);
                replica.map(|replica| replica.addr).ok_or_else(|| unknown(broker_name))
            }
            found => found,
        }
    }
}

impl Answer {
    pub(super) fn code(&self) -> ResponseCode {
        self.command.response_code()
    }

    /// The answer, if its code is SUCCESS.
    pub(super) fn success(self) -> Result<Self, CallError> {
        if self.code() == ResponseCode::SUCCESS { Ok(self) } else { Err(self.refusal()) }
    }

    /// The broker's code and words as an error.
    pub(super) fn refusal(self) -> CallError {
        let code = self.code();
        let remark = self.command.remark.unwrap_or_default();
        CallError::Refused { addr: self.addr, request: self.request, code, remark }
    }

    pub(super) fn header<H: CommandHeader>(&self) -> Result<H, CallError> {
        self.command.header().map_err(|source| CallError::BadHeader {
            addr: Arc::clone(&self.addr),
            request: self.request,
            source,
        })
    }

    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        fastjson::from_slice(&self.command.body).map_err(|source| bad_body(&self.addr, self.request, source))
    }

    /// The error of a body that is not JSON and cannot be read.
    pub(super) fn unreadable(&self, error: &impl std::fmt::Display) -> CallError {
        bad_body(&self.addr, self.request, serde::de::Error::custom(error))
    }
}

/// Whether Java's client has the VIP channel for it too: for what it sends and asks, but not for pulls, what the connection
/// is known by, and name servers.
fn goes_by_vip_channel(request: RequestCode) -> bool {
    !matches!(
        request,
        RequestCode::PULL_MESSAGE
            | RequestCode::LITE_PULL_MESSAGE
            | RequestCode::HEART_BEAT
            | RequestCode::UNREGISTER_CLIENT
            | RequestCode::CHECK_CLIENT_CONFIG
            | RequestCode::DELETE_TOPIC_IN_NAMESRV
    )
}

/// The address two ports below, where brokers listen for it (RocketMQ: MixAll.brokerVIPChannel). None where there is no such
/// port.
pub(super) fn vip_channel(addr: &str) -> Option<Arc<str>> {
    let (host, port) = addr.rsplit_once(':')?;
    let port = port.parse::<u16>().ok()?.checked_sub(2).filter(|port| *port > 0)?;
    Some(format!("{host}:{port}").into())
}

/// A request with a JSON body.
pub(super) fn with_json(
    addr: &Arc<str>,
    request: RequestCode,
    body: &impl Serialize,
) -> Result<RemotingCommand, CallError> {
    let body = fastjson::to_vec(body).map_err(|source| bad_body(addr, request, source))?;
    Ok(RemotingCommand::bare_request(request).with_body(body))
}

fn bad_body(addr: &Arc<str>, request: RequestCode, source: serde_json::Error) -> CallError {
    CallError::BadBody { addr: Arc::clone(addr), request, source: Arc::new(source) }
}

fn unknown(broker_name: &Arc<str>) -> CallError {
    CallError::UnknownBroker { broker_name: Arc::clone(broker_name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vip_channel_is_two_ports_below() {
        assert_eq!(vip_channel("10.0.0.1:10911").as_deref(), Some("10.0.0.1:10909"));
        assert_eq!(vip_channel("[::1]:10911").as_deref(), Some("[::1]:10909"));
        for none in ["broker", "broker:2", "broker:x"] {
            assert_eq!(vip_channel(none), None, "{none}");
        }
    }

    #[test]
    fn what_the_connection_is_known_by_and_pulls_take_the_brokers_own_port() {
        assert!(goes_by_vip_channel(RequestCode::SEND_MESSAGE_V2));
        assert!(goes_by_vip_channel(RequestCode::UPDATE_CONSUMER_OFFSET));
        assert!(!goes_by_vip_channel(RequestCode::HEART_BEAT));
        assert!(!goes_by_vip_channel(RequestCode::PULL_MESSAGE));
    }
}
