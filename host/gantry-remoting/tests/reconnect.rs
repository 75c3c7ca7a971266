//! Making connections, losing them, and making them again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{io, sync::Arc, time::Duration};

use gantry_protocol::{RemotingCommand, ResponseCode};
use gantry_remoting::{
    Client, CloseReason, ConnectFailure, ConnectionState, Dial, Dialer, InvokeError, RefuseRequests,
    RemotingSettings,
};
use support::*;
use tokio::time::{Instant, sleep};

fn refused(answer: Result<RemotingCommand, InvokeError>) -> Duration {
    match answer {
        Err(InvokeError::Connect { source: ConnectFailure::Io(error), retry_in, .. }) => {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            retry_in
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn callers_at_the_same_time_share_one_attempt() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    spawn(async move { connections.accept().await.echo_all().await });
    let call = || client.invoke("b:1", request("x"), PATIENCE);
    let (one, two, three) = tokio::join!(call(), call(), call());
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(network.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn during_the_back_off_calls_fail_at_once_with_the_last_reason() {
    let (client, network) = client(RemotingSettings::default());
    let retry_in = refused(client.invoke("b:1", request("x"), PATIENCE).await);
    assert!(retry_in >= Duration::from_millis(50) && retry_in <= Duration::from_millis(100), "{retry_in:?}");
    let started = Instant::now();
    refused(client.invoke("b:1", request("x"), PATIENCE).await);
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(network.dials(), 1);
    sleep(retry_in).await;
    refused(client.invoke("b:1", request("x"), PATIENCE).await);
    assert_eq!(network.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_pauses_grow_to_their_bound_and_a_returning_peer_is_found() {
    let (client, network) = client(RemotingSettings::default());
    let mut last = Duration::ZERO;
    for _ in 0..12 {
        last = refused(client.invoke("b:1", request("x"), PATIENCE).await);
        sleep(last).await;
    }
    assert!(last >= 5 * SECOND && last <= 10 * SECOND, "{last:?}");
    assert_eq!(network.dials(), 12);
    let mut connections = network.listen("b:1");
    spawn(async move { connections.accept().await.echo_all().await });
    assert!(client.invoke("b:1", request("x"), PATIENCE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_that_had_worked_is_made_again_at_once_and_announced() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    let mut events = client.events();
    for again in [false, true] {
        let peer = async {
            let mut peer = connections.accept().await;
            let request = peer.next().await.unwrap();
            peer.echo(&request).await;
        };
        let (answer, ()) = tokio::join!(client.invoke("b:1", request("x"), PATIENCE), peer);
        answer.unwrap();
        let connected = next_event(&mut events).await;
        assert_eq!(&*connected.addr, "b:1");
        assert!(matches!(connected.state, ConnectionState::Connected { again: said } if said == again));
        let closed = next_event(&mut events).await.state;
        assert!(matches!(closed, ConnectionState::Closed { reason: CloseReason::PeerClosed }), "{closed:?}");
    }
    assert_eq!(client.stats().connects, 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_accepts_and_closes_is_not_connected_to_without_a_pause() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    let (first, ()) = tokio::join!(client.invoke("b:1", request("x"), PATIENCE), async {
        drop(connections.accept().await)
    });
    assert!(matches!(first, Err(InvokeError::Closed { .. })), "{first:?}");
    let second = client.invoke("b:1", request("x"), PATIENCE).await;
    assert!(
        matches!(second, Err(InvokeError::Connect { source: ConnectFailure::ClosedUnused(_), .. })),
        "{second:?}"
    );
    assert_eq!(network.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn go_away_leads_to_a_new_connection_while_calls_in_flight_finish_on_the_old_one() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    let peers = async {
        let mut old = connections.accept().await;
        let (one, two) = (old.next().await.unwrap(), old.next().await.unwrap());
        let (held, told) = if text(&one) == "held" { (one, two) } else { (two, one) };
        old.send(&RemotingCommand::response(ResponseCode::GO_AWAY).reply_to(&told)).await;
        let mut new = connections.accept().await;
        let repeated = new.next().await.unwrap();
        assert_eq!(text(&repeated), "told");
        new.echo(&repeated).await;
        old.echo(&held).await;
        assert!(old.next().await.is_none(), "the old connection ends when its last call has ended");
        new
    };
    let calls = async {
        tokio::join!(
            client.invoke("b:1", request("held"), PATIENCE),
            client.invoke("b:1", request("told"), PATIENCE)
        )
    };
    let ((held, told), _new) = tokio::join!(calls, peers);
    assert_eq!(text(&held.unwrap()), "held");
    assert_eq!(text(&told.unwrap()), "told");
    assert_eq!(network.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn go_away_without_end_is_an_error() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    spawn(async move {
        loop {
            let mut peer = connections.accept().await;
            while let Some(request) = peer.next().await {
                peer.send(&RemotingCommand::response(ResponseCode::GO_AWAY).reply_to(&request)).await;
            }
        }
    });
    let answer = client.invoke("b:1", request("x"), PATIENCE).await;
    assert!(matches!(answer, Err(InvokeError::Closed { reason: CloseReason::GoAway, .. })), "{answer:?}");
}

/// Never gets an answer to its attempt to connect.
struct BlackHole;

impl Dialer for BlackHole {
    fn dial<'a>(&'a self, _addr: &'a str) -> Dial<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn connecting_counts_against_the_deadline_of_the_call_and_has_one_of_its_own() {
    let client =
        Client::with_dialer(RemotingSettings::default(), Arc::new(RefuseRequests), Arc::new(BlackHole));
    let hasty = client.invoke("b:1", request("x"), SECOND).await;
    assert!(matches!(hasty, Err(InvokeError::Timeout { .. })), "{hasty:?}");
    let patient = client.invoke("b:1", request("x"), PATIENCE).await;
    let Err(InvokeError::Connect { source: ConnectFailure::TimedOut(limit), .. }) = patient else {
        panic!("{patient:?}")
    };
    assert_eq!(limit, 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_address_loses_its_connection_and_may_come_back() {
    let (client, network) = client(RemotingSettings { max_peers: 1, ..RemotingSettings::default() });
    let mut connections = network.listen("b:1");
    client.oneway("b:1", request("x")).await.unwrap();
    assert_eq!(client.connected().len(), 1);
    let full = client.oneway("b:2", request("x")).await;
    assert!(matches!(full, Err(InvokeError::TooManyPeers { limit: 1, .. })), "{full:?}");
    client.forget("b:1");
    let mut peer = connections.accept().await;
    assert_eq!(text(&peer.next().await.unwrap()), "x", "what was queued still leaves");
    assert!(peer.next().await.is_none());
    client.oneway("b:1", request("y")).await.unwrap();
    assert_eq!(network.dials(), 2);
}

#[tokio::test]
async fn a_refused_tcp_connection_says_so() {
    let (listener, addr) = tcp_listener().await;
    drop(listener);
    let client = Client::new(RemotingSettings::default(), Arc::new(RefuseRequests));
    let error = client.invoke(&addr, request("x"), PATIENCE).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot connect to {addr}: ")), "{error}");
    assert!(!error.may_have_been_sent());
}
