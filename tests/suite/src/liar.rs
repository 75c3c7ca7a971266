//! A server in front of a cluster that hands everything on as it is, but for the answers it was told to lie about.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use gantry_protocol::{FrameDecoder, RemotingCommand, RequestCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::cluster::TestCluster;

/// What is written in place of an answer: whatever bytes.
pub type Lie = fn(RemotingCommand) -> Bytes;

/// The servers of a cluster, as a client is to see them. They end with this value.
pub struct Liar {
    name_server: SocketAddr,
    shared: Arc<Shared>,
    _servers: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    /// Where it listens in place of whom, as routes have it.
    places: Vec<(String, String)>,
    lies: Mutex<BTreeMap<(i32, String), Lie>>,
    told: Mutex<BTreeMap<String, usize>>,
}

impl Liar {
    /// Stands before the name server and the brokers that have this topic.
    pub async fn start(cluster: &TestCluster, topic: &str) -> Self {
        let route = cluster.client().refresh_route(topic).await.unwrap();
        let brokers = route.brokers.values().flat_map(|addresses| addresses.values());
        let mut behind: Vec<SocketAddr> = brokers.map(|address| address.parse().unwrap()).collect();
        if !behind.contains(&cluster.address()) {
            behind.push(cluster.address());
        }
        let (mut shared, mut listeners) = (Shared::default(), Vec::new());
        for server in behind {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            shared.places.push((server.to_string(), listener.local_addr().unwrap().to_string()));
            listeners.push((server, listener));
        }
        let place = |(server, listener): &(SocketAddr, TcpListener)| {
            (*server == cluster.address()).then(|| listener.local_addr().unwrap())
        };
        let name_server = listeners.iter().find_map(place).unwrap();
        let shared = Arc::new(shared);
        let mut servers = JoinSet::new();
        for (server, listener) in listeners {
            servers.spawn(serve(listener, server, Arc::clone(&shared)));
        }
        Self { name_server, shared, _servers: servers }
    }

    /// Where its name server listens.
    pub fn name_server(&self) -> String {
        self.name_server.to_string()
    }

    /// From now on answers requests of this code with a lie where they name this topic, or if they name none this group.
    pub fn lie(&self, code: RequestCode, about: &str, lie: Lie) {
        self.shared.lies.lock().unwrap().insert((code.0, about.to_owned()), lie);
    }

    /// How many lies it has told about this topic or group.
    pub fn told(&self, about: &str) -> usize {
        self.shared.told.lock().unwrap().get(about).copied().unwrap_or_default()
    }

    /// Hands everything on as it is from now on.
    pub fn is_honest_again(&self) {
        self.shared.lies.lock().unwrap().clear();
    }
}

async fn serve(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else { return };
            let (asked, (from_client, to_client), (from_server, to_server)) =
                (Asked::default(), client.into_split(), server.into_split());
            tokio::select! {
                () = hand_on(from_client, to_server, |request| asked.note(&request)) => {}
                () = hand_on(from_server, to_client, |answer| shared.answer(asked.take(&answer), answer)) => {}
            }
        });
    }
}

/// Requests on their way: their code and what they are about, by their opaque.
#[derive(Default)]
struct Asked(Mutex<BTreeMap<i32, (i32, String)>>);

impl Asked {
    fn note(&self, command: &RemotingCommand) -> Bytes {
        let about = command.ext_fields.get("topic").or_else(|| command.ext_fields.get("consumerGroup"));
        if !command.is_response() {
            let about = about.unwrap_or_default().to_owned();
            self.0.lock().unwrap().insert(command.opaque, (command.code, about));
        }
        frame(command)
    }

    fn take(&self, answer: &RemotingCommand) -> Option<(i32, String)> {
        answer.is_response().then(|| self.0.lock().unwrap().remove(&answer.opaque)).flatten()
    }
}

impl Shared {
    fn answer(&self, asked: Option<(i32, String)>, mut answer: RemotingCommand) -> Bytes {
        let Some(asked) = asked else { return frame(&answer) };
        let lie = self.lies.lock().unwrap().get(&asked).copied();
        if let Some(lie) = lie {
            *self.told.lock().unwrap().entry(asked.1).or_default() += 1;
            return lie(answer);
        }
        if asked.0 == RequestCode::GET_ROUTEINFO_BY_TOPIC.0 {
            let mut route = String::from_utf8(answer.body.to_vec()).unwrap();
            for (server, place) in &self.places {
                route = route.replace(&format!("\"{server}\""), &format!("\"{place}\""));
            }
            answer.body = route.into();
        }
        frame(&answer)
    }
}

async fn hand_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    bytes_of: impl Fn(RemotingCommand) -> Bytes,
) {
    let (decoder, mut buffer) = (FrameDecoder::default(), BytesMut::new());
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        while let Some(command) = decoder.decode(&mut buffer).unwrap() {
            if to.write_all(&bytes_of(command)).await.is_err() {
                return;
            }
        }
    }
}

/// A command's bytes on the wire.
///
/// # Panics
/// When it is longer than a frame.
pub fn frame(command: &RemotingCommand) -> Bytes {
    let mut frame = BytesMut::new();
    command.encode(&mut frame).unwrap();
    frame.freeze()
}
