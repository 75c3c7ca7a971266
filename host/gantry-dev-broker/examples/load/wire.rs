//! One connection that speaks the protocol and nothing more.

use std::net::SocketAddr;

use bytes::BytesMut;
use gantry_protocol::{CommandHeader, FrameDecoder, RemotingCommand, RequestCode, ResponseCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Failure;

/// What one read asks the system for, in bytes.
const READ: usize = 1 << 20;

pub(crate) struct Connection {
    socket: TcpStream,
    read: BytesMut,
    unsent: BytesMut,
    decoder: FrameDecoder,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (read, unsent) = (BytesMut::with_capacity(READ), BytesMut::new());
        Ok(Self { socket, read, unsent, decoder: FrameDecoder::default() })
    }

    /// Adds a request to what [`Self::flush`] sends. The reply brings `opaque` back.
    pub(crate) fn queue(&mut self, request: &mut RemotingCommand, opaque: i32) -> Result<(), Failure> {
        request.opaque = opaque;
        Ok(request.encode(&mut self.unsent)?)
    }

    /// Adds a request that is a frame already.
    pub(crate) fn queue_frame(&mut self, frame: &[u8]) {
        self.unsent.extend_from_slice(frame);
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        self.socket.write_all(&self.unsent).await?;
        self.unsent.clear();
        Ok(())
    }

    /// The next reply; requests of the broker are passed over.
    pub(crate) async fn reply(&mut self) -> Result<RemotingCommand, Failure> {
        loop {
            if let Some(reply) = self.ready()? {
                return Ok(reply);
            }
            if self.read.capacity() - self.read.len() < READ / 4 {
                self.read.reserve(READ);
            }
            if self.socket.read_buf(&mut self.read).await? == 0 {
                return Err("the broker closed the connection".into());
            }
        }
    }

    /// A reply that came already.
    pub(crate) fn ready(&mut self) -> Result<Option<RemotingCommand>, Failure> {
        while let Some(command) = self.decoder.decode(&mut self.read)? {
            if command.is_response() {
                return Ok(Some(command));
            }
        }
        Ok(None)
    }

    /// One request and its successful reply.
    pub(crate) async fn ask(
        &mut self,
        code: RequestCode,
        header: &impl CommandHeader,
    ) -> Result<RemotingCommand, Failure> {
        self.queue(&mut RemotingCommand::request(code, header), 1)?;
        self.flush().await?;
        succeeded(self.reply().await?)
    }
}

/// The reply, unless it is a refusal.
pub(crate) fn succeeded(reply: RemotingCommand) -> Result<RemotingCommand, Failure> {
    match reply.response_code() {
        ResponseCode::SUCCESS => Ok(reply),
        code => Err(format!("the broker answers {code}: {:?}", reply.remark).into()),
    }
}
