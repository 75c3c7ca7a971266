//! The end of a client leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use gantry_protocol::RemotingCommand;
use gantry_remoting::{
    Client, CloseReason, InvokeError, RefuseRequests, RemotingSettings, Reply, RequestProcessor,
};
use support::*;

/// Is never done with a request.
struct Endless;

impl RequestProcessor for Endless {
    fn process(&self, _peer: Arc<str>, _request: RemotingCommand) -> Reply<'_> {
        Box::pin(std::future::pending())
    }
}

fn closed_by_us<T: std::fmt::Debug>(answer: Result<T, InvokeError>) {
    assert!(matches!(answer, Err(InvokeError::Closed { reason: CloseReason::Requested, .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn closing_fails_pending_calls_and_leaves_no_task() {
    let (client, network) = client_with(RemotingSettings::default(), Arc::new(Endless));
    let mut connections = network.listen("b:1");
    let closing = async {
        let mut peer = connections.accept().await;
        peer.next().await.unwrap();
        peer.send(&request("in progress")).await;
        while client.running_tasks() < 4 {
            tokio::task::yield_now().await;
        }
        within(client.close()).await;
        assert_eq!(client.running_tasks(), 0, "link, reader, writer and the request in progress have ended");
        assert!(peer.next().await.is_none());
    };
    let (pending, ()) = tokio::join!(client.invoke("b:1", request("x"), PATIENCE), closing);
    closed_by_us(pending);
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_still_leaves() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    for number in 0..20 {
        client.oneway("b:1", request(&number.to_string())).await.unwrap();
    }
    client.close().await;
    let mut peer = connections.accept().await;
    for number in 0..20 {
        let command = peer.next().await.unwrap();
        assert!(command.is_oneway());
        assert_eq!(text(&command), number.to_string());
    }
    assert!(peer.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_delays_the_end_only_for_a_while() {
    let (client, network) = client(RemotingSettings::default());
    let _connections = network.listen("b:1");
    for _ in 0..20 {
        client.oneway("b:1", request(&"x".repeat(60 * 1024))).await.unwrap();
    }
    let started = tokio::time::Instant::now();
    client.close().await;
    assert!(started.elapsed() <= 2 * SECOND);
    assert_eq!(client.running_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_after_the_end_are_refused() {
    let (client, network) = client(RemotingSettings::default());
    let _connections = network.listen("b:1");
    client.close().await;
    closed_by_us(client.invoke("b:1", request("x"), PATIENCE).await);
    closed_by_us(client.oneway("b:1", request("x")).await);
    assert_eq!(network.dials(), 0);
}

#[tokio::test]
async fn a_client_that_is_merely_dropped_closes_its_connections() {
    let (listener, addr) = tcp_listener().await;
    let client = Client::new(RemotingSettings::default(), Arc::new(RefuseRequests));
    client.oneway(&addr, request("x")).await.unwrap();
    let mut peer = tcp_accept(&listener).await;
    drop(client);
    assert_eq!(text(&peer.next().await.unwrap()), "x");
    assert!(peer.next().await.is_none());
}
