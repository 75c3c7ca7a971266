//! What a call of the client instance can end with.

use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::{HeaderError, RequestCode, ResponseCode};
use gantry_remoting::{InvokeError, NameServerListError, NameServersError, TlsError};

use super::address_server::AddressServerError;

/// Why a client instance did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The list of name servers is not usable.
    #[error(transparent)]
    NameServers(#[from] NameServerListError),
    /// The address server is not one that can be asked.
    #[error(transparent)]
    AddressServer(#[from] AddressServerError),
    /// The client id is empty or has characters brokers do not keep apart.
    #[error("client id {0:?} is empty or contains white space; leave it out to get a unique one")]
    ClientId(String),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
}

/// Why a name server's question has no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RouteError {
    /// No name server knows the topic (TOPIC_NOT_EXIST).
    #[error(
        "topic {topic} does not exist; create it, or send to it where the broker creates topics by itself"
    )]
    Missing {
        /// The topic.
        topic: Arc<str>,
    },
    /// No name server could be asked.
    #[error(transparent)]
    Unreachable(#[from] NameServersError),
    /// The name server answered with an error.
    #[error("the name server refused {request}: {code}: {remark}")]
    Refused {
        /// What was asked.
        request: RequestCode,
        /// Its code.
        code: ResponseCode,
        /// Its words.
        remark: String,
    },
    /// The name server's answer is not what the protocol says.
    #[error("the name server's answer to {request} cannot be read: {source}")]
    Malformed {
        /// What was asked.
        request: RequestCode,
        /// What is wrong with it.
        source: Arc<serde_json::Error>,
    },
}

/// Why a question to a broker has no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The route names replicas of the broker, and no master.
    #[error(
        "broker {broker_name} has no master at present; offsets, locks and messages sent back wait until it is there again"
    )]
    MasterAway {
        /// Its name.
        broker_name: Arc<str>,
    },
    /// No route names the broker, or not with an address that will do.
    #[error("no route names broker {broker_name}; it is gone, or its topics have not been looked up")]
    UnknownBroker {
        /// The broker's name.
        broker_name: Arc<str>,
    },
    /// The name server knows no broker with a master.
    #[error("the name server knows no master; start a broker that registers with it")]
    NoMaster,
    /// The group is not registered, or no route of its topics names a broker.
    #[error("no broker of group {group} is known; the group has not joined, or its topics do not exist")]
    NoBroker {
        /// The group.
        group: Arc<str>,
    },
    /// The topic's route is needed and not there.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// There was no answer.
    #[error(transparent)]
    Invoke(#[from] InvokeError),
    /// The broker answered with an error.
    #[error("{addr} refused {request}: {code}: {remark}")]
    Refused {
        /// Who was asked.
        addr: Arc<str>,
        /// What was asked.
        request: RequestCode,
        /// The broker's code.
        code: ResponseCode,
        /// The broker's words; empty when it had none.
        remark: String,
    },
    /// A field of the answer is not what the protocol says.
    #[error("the answer of {addr} to {request} cannot be read: {source}")]
    BadHeader {
        /// Who was asked.
        addr: Arc<str>,
        /// What was asked.
        request: RequestCode,
        /// What is wrong with it.
        source: HeaderError,
    },
    /// The body of the request or of its answer is not what the protocol says.
    #[error("the body of {request} with {addr} cannot be read or written: {source}")]
    BadBody {
        /// Who was asked.
        addr: Arc<str>,
        /// What was asked.
        request: RequestCode,
        /// What is wrong with it.
        source: Arc<serde_json::Error>,
    },
}

impl CallError {
    /// The broker's code, where the broker refused.
    pub fn code(&self) -> Option<ResponseCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// Why a message was not sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    /// The topic has no route, and brokers create none by themselves.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The topic has no queue that may be written.
    #[error(
        "topic {topic} has no writable queue; every broker that has it forbids writing or is without a master"
    )]
    NoQueue {
        /// The topic.
        topic: Arc<str>,
    },
    /// The message breaks a rule, which is named.
    #[error("the message to {topic} cannot be sent: {rule}")]
    Invalid {
        /// The topic.
        topic: Arc<str>,
        /// The rule and how to keep it.
        rule: String,
    },
    /// The time was over before a broker was asked.
    #[error("not sent to {topic}: the wait for {waiting} took the {timeout:?} there were")]
    NoTime {
        /// The topic.
        topic: Arc<str>,
        /// What was waited for.
        waiting: &'static str,
        /// How long a send may take.
        timeout: Duration,
    },
    /// The selector chose no queue of the topic.
    #[error("the message to {topic} is not sent, for no queue is selected: {reason}")]
    Unselected {
        /// The topic.
        topic: Arc<str>,
        /// Why.
        reason: String,
    },
    /// Every attempt failed; this is how the last one did.
    #[error("not sent after {attempts} attempts: {last}")]
    Failed {
        /// Attempts made.
        attempts: u32,
        /// What the last one ended with.
        last: CallError,
    },
}
