//! What can go wrong with a call, one variant per fact.

use std::{io, sync::Arc, time::Duration};

use gantry_protocol::{EncodeError, FrameError, RequestCode};

/// Why a call has no answer. Each variant names the address it was made to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvokeError {
    /// There is no connection, and the last attempt to make one failed. Nothing was sent.
    #[error("cannot connect to {addr}: {source} (next attempt in {retry_in:?})")]
    Connect {
        /// Where to.
        addr: Arc<str>,
        /// What the last attempt ended with.
        source: ConnectFailure,
        /// Calls made before this time is over fail at once with the same error.
        retry_in: Duration,
    },
    /// No answer came in time. The peer may or may not have acted on the request.
    #[error("{addr} did not answer {request} within {after:?}")]
    Timeout {
        /// Who was asked.
        addr: Arc<str>,
        /// What was asked.
        request: RequestCode,
        /// The time the caller allowed, connecting included.
        after: Duration,
    },
    /// The connection ended while the call was on its way. The peer may or may not have acted on the request.
    #[error("the connection to {addr} closed: {reason}")]
    Closed {
        /// Who was asked.
        addr: Arc<str>,
        /// Why it ended.
        reason: CloseReason,
    },
    /// As many calls as `max_pending` allows are already awaiting their answer on this connection.
    #[error("{limit} calls to {addr} already await their answer; raise max_pending or make fewer at a time")]
    TooManyPending {
        /// Who was to be asked.
        addr: Arc<str>,
        /// `max_pending`.
        limit: usize,
    },
    /// The client already keeps as many addresses as `max_peers` allows.
    #[error("cannot connect to {addr}: {limit} addresses are already in use; raise max_peers or forget some")]
    TooManyPeers {
        /// Where to.
        addr: Arc<str>,
        /// `max_peers`.
        limit: usize,
    },
    /// The request cannot be put into a frame.
    #[error("cannot encode {request} for {addr}: {source}")]
    Encode {
        /// Who was to be asked.
        addr: Arc<str>,
        /// What was to be asked.
        request: RequestCode,
        /// The rule it breaks.
        source: Arc<EncodeError>,
    },
}

impl InvokeError {
    /// The address the call was made to.
    pub fn addr(&self) -> &Arc<str> {
        match self {
            Self::Connect { addr, .. }
            | Self::Timeout { addr, .. }
            | Self::Closed { addr, .. }
            | Self::TooManyPending { addr, .. }
            | Self::TooManyPeers { addr, .. }
            | Self::Encode { addr, .. } => addr,
        }
    }

    /// Whether the peer may have seen the request, so that repeating it may do its work twice.
    pub fn may_have_been_sent(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Closed { .. })
    }
}

/// Why an attempt to connect failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectFailure {
    /// The address did not resolve, was refused, or was not reachable.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// The peer did not accept within `connect_timeout`.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
    /// The peer accepted the connection and ended it before it had answered anything.
    #[error("the peer accepted and then closed: {0}")]
    ClosedUnused(CloseReason),
}

/// Why a connection ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CloseReason {
    /// The peer closed it between two frames.
    #[error("the peer closed it")]
    PeerClosed,
    /// The peer closed it in the middle of a frame.
    #[error("the peer closed it {missing} bytes or more before the end of a frame")]
    HalfFrame {
        /// Bytes that are known to be missing, at least 1.
        missing: usize,
    },
    /// Reading or writing failed.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// The peer sent bytes that are no frame: garbage, an oversize frame, an unknown serialize type, a bad header.
    #[error("the peer sent a bad frame: {0}")]
    BadFrame(Arc<FrameError>),
    /// The peer answered nothing for this long while calls timed out, or took no bytes.
    #[error("the peer was silent for {0:?}")]
    Silent(Duration),
    /// The peer answered GO_AWAY (1500): it wants its clients to connect again.
    #[error("the peer asked to reconnect (GO_AWAY)")]
    GoAway,
    /// This side closed it.
    #[error("closed by this side")]
    Requested,
}

/// Why a list of name servers is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameServerListError {
    /// The list has no address.
    #[error("the name-server list is empty; give host:port, several separated by ';'")]
    Empty,
    /// One entry is not `host:port`.
    #[error(
        "'{entry}' in the name-server list is not host:port with a port from 1 to 65535, such as 127.0.0.1:9876"
    )]
    BadAddress {
        /// The entry as it was written.
        entry: String,
    },
}

/// No name server of the list gave an answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no name server answered: {}", said(attempts))]
pub struct NameServersError {
    /// What each of them ended with, in the order they were asked; empty when none is known yet.
    pub attempts: Vec<InvokeError>,
}

fn said(attempts: &[InvokeError]) -> String {
    if attempts.is_empty() {
        return "none is known yet".to_owned();
    }
    attempts.iter().map(InvokeError::to_string).collect::<Vec<_>>().join("; ")
}
