//! One connection that speaks the protocol and nothing more: requests out, replies in, pipelined as the caller likes.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use bytes::BytesMut;
use gantry_protocol::{CommandHeader, FrameDecoder, RemotingCommand, RequestCode, ResponseCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What one read asks the system for, in bytes.
const READ: usize = 1 << 20;

/// A connection to a broker or name server.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    read: BytesMut,
    unsent: BytesMut,
    decoder: FrameDecoder,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let socket =
            TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        socket.set_nodelay(true)?;
        let (read, unsent) = (BytesMut::with_capacity(READ), BytesMut::new());
        Ok(Self { socket, read, unsent, decoder: FrameDecoder::default() })
    }

    /// Adds a request to what [`Self::flush`] sends. The reply brings `opaque` back.
    pub(crate) fn queue(&mut self, request: &mut RemotingCommand, opaque: i32) -> anyhow::Result<()> {
        request.opaque = opaque;
        Ok(request.encode(&mut self.unsent)?)
    }

    /// The same with a request that is a frame already.
    pub(crate) fn queue_frame(&mut self, frame: &[u8]) {
        self.unsent.extend_from_slice(frame);
    }

    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        self.socket.write_all(&self.unsent).await.context("the broker takes no more")?;
        self.unsent.clear();
        Ok(())
    }

    /// The next reply. Requests of the broker are none of it.
    pub(crate) async fn reply(&mut self) -> anyhow::Result<RemotingCommand> {
        loop {
            while let Some(command) = self.decoder.decode(&mut self.read)? {
                if command.is_response() {
                    return Ok(command);
                }
            }
            self.read.reserve(READ);
            if self.socket.read_buf(&mut self.read).await.context("reading from the broker")? == 0 {
                bail!("the broker closed the connection");
            }
        }
    }

    /// One request and its successful reply.
    pub(crate) async fn ask(
        &mut self,
        code: RequestCode,
        header: &impl CommandHeader,
    ) -> anyhow::Result<RemotingCommand> {
        self.queue(&mut RemotingCommand::request(code, header), 1)?;
        self.flush().await?;
        succeeded(self.reply().await?)
    }
}

/// The reply, unless it is a refusal.
pub(crate) fn succeeded(reply: RemotingCommand) -> anyhow::Result<RemotingCommand> {
    match reply.response_code() {
        ResponseCode::SUCCESS => Ok(reply),
        code => bail!("the broker answers {code}: {}", reply.remark.unwrap_or_default()),
    }
}
