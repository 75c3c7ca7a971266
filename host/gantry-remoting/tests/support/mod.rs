//! A peer whose every frame the test writes itself, over memory (for paused time) or TCP.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test uses some of it; a test fails by panicking"
)]

use std::{
    collections::HashMap,
    future::Future,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::BytesMut;
use gantry_protocol::{FrameDecoder, RemotingCommand, RequestCode, ResponseCode};
use gantry_remoting::{
    Client, ConnectionEvent, Dial, Dialer, Halves, RefuseRequests, RemotingSettings, RequestProcessor,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::{broadcast, mpsc},
    time::timeout,
};

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const SECOND: Duration = Duration::from_secs(1);

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The other end of one connection.
pub struct Peer {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

impl Peer {
    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: BytesMut::new() }
    }

    /// The next command, `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<RemotingCommand> {
        loop {
            if let Some(command) = FrameDecoder::default().decode(&mut self.buffer).unwrap() {
                return Some(command);
            }
            if within(self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub async fn send(&mut self, command: &RemotingCommand) {
        let mut frame = BytesMut::new();
        command.encode(&mut frame).unwrap();
        self.send_raw(&frame).await;
    }

    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Answers SUCCESS with the request's body.
    pub async fn echo(&mut self, request: &RemotingCommand) {
        let reply = RemotingCommand::response(ResponseCode::SUCCESS).with_body(request.body.clone());
        self.send(&reply.reply_to(request)).await;
    }

    /// Echoes every request until the connection ends.
    pub async fn echo_all(mut self) {
        while let Some(request) = self.next().await {
            self.echo(&request).await;
        }
    }
}

/// Addresses that can be connected to, in memory.
#[derive(Default)]
pub struct Network {
    hosts: Mutex<HashMap<String, mpsc::UnboundedSender<Peer>>>,
    dials: AtomicUsize,
}

impl Network {
    /// Opens `addr`; connections to it arrive at the returned end.
    pub fn listen(&self, addr: &str) -> Connections {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.hosts.lock().unwrap().insert(addr.to_owned(), sender);
        Connections(receiver)
    }

    /// `addr` refuses connections from now on.
    pub fn unplug(&self, addr: &str) {
        self.hosts.lock().unwrap().remove(addr);
    }

    pub fn dials(&self) -> usize {
        self.dials.load(Relaxed)
    }
}

impl Dialer for Network {
    fn dial<'a>(&'a self, addr: &'a str) -> Dial<'a> {
        self.dials.fetch_add(1, Relaxed);
        let host = self.hosts.lock().unwrap().get(addr).cloned();
        Box::pin(async move {
            let host = host.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            host.send(Peer::over(theirs)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            let (reader, writer) = tokio::io::split(ours);
            Ok(Halves { reader: Box::new(reader), writer: Box::new(writer) })
        })
    }
}

/// Connections that arrive at one address.
pub struct Connections(mpsc::UnboundedReceiver<Peer>);

impl Connections {
    pub async fn accept(&mut self) -> Peer {
        within(self.0.recv()).await.expect("the network is there")
    }
}

/// A client in memory, and the network it connects through.
pub fn client(settings: RemotingSettings) -> (Client, Arc<Network>) {
    client_with(settings, Arc::new(RefuseRequests))
}

pub fn client_with(
    settings: RemotingSettings,
    processor: Arc<dyn RequestProcessor>,
) -> (Client, Arc<Network>) {
    let network = Arc::new(Network::default());
    let dialer: Arc<Network> = Arc::clone(&network);
    (Client::with_dialer(settings, processor, dialer), network)
}

/// A TCP address that can be connected to.
pub async fn tcp_listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

pub async fn tcp_accept(listener: &TcpListener) -> Peer {
    Peer::over(within(listener.accept()).await.unwrap().0)
}

pub fn request(body: &str) -> RemotingCommand {
    RemotingCommand::bare_request(RequestCode::GET_MAX_OFFSET).with_body(body.to_owned())
}

pub fn text(command: &RemotingCommand) -> &str {
    std::str::from_utf8(&command.body).unwrap()
}

/// A bound that only a hanging test meets.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(60 * PATIENCE, work).await.expect("it happens in time")
}

pub async fn next_event(events: &mut broadcast::Receiver<ConnectionEvent>) -> ConnectionEvent {
    within(events.recv()).await.unwrap()
}

/// Ends with the test's runtime.
#[expect(clippy::disallowed_methods, reason = "a test's peer needs no name")]
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
