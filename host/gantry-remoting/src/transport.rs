//! How an address becomes a pair of byte streams. This is the seam where another transport than plain TCP goes.

use std::{fmt, future::Future, io, pin::Pin};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Both directions of one connection.
pub struct Halves {
    /// What the peer sends.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// What goes to the peer.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
}

impl fmt::Debug for Halves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Halves")
    }
}

/// A connection in the making.
pub type Dial<'a> = Pin<Box<dyn Future<Output = io::Result<Halves>> + Send + 'a>>;

/// Makes connections.
pub trait Dialer: Send + Sync + 'static {
    /// Connects to `addr` (`host:port`). The caller bounds the time and drops the future when it is over.
    fn dial<'a>(&'a self, addr: &'a str) -> Dial<'a>;
}

/// Plain TCP with TCP_NODELAY, as RocketMQ's own clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpDialer;

impl Dialer for TcpDialer {
    fn dial<'a>(&'a self, addr: &'a str) -> Dial<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            let (reader, writer) = stream.into_split();
            Ok(Halves { reader: Box::new(reader), writer: Box::new(writer) })
        })
    }
}
