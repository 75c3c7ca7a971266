//! What a peer asks on its own account.

use std::{future::Future, pin::Pin, sync::Arc};

use gantry_protocol::{RemotingCommand, ResponseCode};

/// The answer in the making. `None` answers nothing, which is right for oneway requests only.
pub type Reply<'a> = Pin<Box<dyn Future<Output = Option<RemotingCommand>> + Send + 'a>>;

/// Handles the requests a broker sends (RocketMQ's `NettyRequestProcessor`; on a client the
/// `ClientRemotingProcessor`).
pub trait RequestProcessor: Send + Sync + 'static {
    /// Called once per request, on a task of its own, so it may await; several may run at a time, in no given order.
    /// It is dropped half-way when the connection ends. The opaque number and the response bit of the answer are
    /// set by the connection, and the answer to a oneway request is dropped.
    fn process(&self, peer: Arc<str>, request: RemotingCommand) -> Reply<'_>;
}

/// Answers every request with REQUEST_CODE_NOT_SUPPORTED: for clients that only ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefuseRequests;

impl RequestProcessor for RefuseRequests {
    fn process(&self, _peer: Arc<str>, request: RemotingCommand) -> Reply<'_> {
        let remark = format!("{} is not supported by this client", request.request_code());
        let reply = RemotingCommand::response(ResponseCode::REQUEST_CODE_NOT_SUPPORTED).with_remark(remark);
        Box::pin(std::future::ready(Some(reply)))
    }
}
