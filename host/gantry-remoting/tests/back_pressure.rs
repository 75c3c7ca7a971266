//! A peer that does not read slows its callers down, within bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use gantry_protocol::RemotingCommand;
use gantry_remoting::{CloseReason, InvokeError, RemotingSettings};
use support::*;

fn heavy() -> RemotingCommand {
    request(&"x".repeat(60 * 1024))
}

fn narrow() -> RemotingSettings {
    RemotingSettings { output_frames: 4, ..RemotingSettings::default() }
}

#[tokio::test(start_paused = true)]
async fn senders_wait_when_the_peer_does_not_read_and_go_on_when_it_does() {
    let (client, network) = client(narrow());
    let mut connections = network.listen("b:1");
    let total = 40;
    let sending = async {
        for _ in 0..total {
            client.oneway("b:1", heavy()).await.unwrap();
        }
    };
    let reading = async {
        let mut peer = connections.accept().await;
        tokio::time::sleep(SECOND).await;
        let sent_meanwhile = client.stats().frames_out;
        assert!(sent_meanwhile < total, "{sent_meanwhile} frames left although nobody read");
        for _ in 0..total {
            peer.next().await.unwrap();
        }
    };
    within(async { tokio::join!(sending, reading) }).await;
    assert_eq!(client.stats().frames_out, total);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_in_bytes_too() {
    let (client, network) =
        client(RemotingSettings { output_bytes: 100 * 1024, ..RemotingSettings::default() });
    let mut connections = network.listen("b:1");
    let sending = async {
        let mut queued = 0;
        while client.oneway("b:1", heavy()).await.is_ok() {
            queued += 1;
        }
        queued
    };
    let (queued, _peer) = tokio::join!(within(sending), connections.accept());
    assert!((1..=4).contains(&queued), "{queued} frames of 60 KiB fit 100 KiB and a pipe of 64 KiB");
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_waits_for_room_has_a_deadline() {
    let (client, network) = client(RemotingSettings { silence_limit: 100 * SECOND, ..narrow() });
    let mut connections = network.listen("b:1");
    let sending = async {
        loop {
            if let Err(error) = client.oneway("b:1", heavy()).await {
                return error;
            }
        }
    };
    let (error, _peer) = tokio::join!(within(sending), connections.accept());
    assert!(matches!(error, InvokeError::Timeout { after, .. } if after == 3 * SECOND), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_bytes_for_long_is_given_up() {
    let (client, network) = client(narrow());
    let mut connections = network.listen("b:1");
    let calling = client.invoke("b:1", request(&"x".repeat(200 * 1024)), 60 * SECOND);
    let (answer, _peer) = tokio::join!(calling, connections.accept());
    assert!(matches!(answer, Err(InvokeError::Closed { reason: CloseReason::Silent(_), .. })), "{answer:?}");
}
