//! What a peer can send that is no frame: its connection ends with a reason, and nothing else suffers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use bytes::BytesMut;
use gantry_protocol::{FrameError, RemotingCommand, ResponseCode};
use gantry_remoting::{Client, CloseReason, ConnectionState, InvokeError, RefuseRequests, RemotingSettings};
use support::*;

/// What a call ends with when the peer answers these bytes and then, if asked to, closes.
async fn answered_with(bytes: &[u8], then_close: bool) -> (Result<RemotingCommand, InvokeError>, Client) {
    let settings = RemotingSettings { max_frame: 1_000, ..RemotingSettings::default() };
    let (client, network) = client(settings);
    let mut connections = network.listen("b:1");
    let peer = async {
        let mut peer = connections.accept().await;
        peer.next().await.unwrap();
        peer.send_raw(bytes).await;
        (!then_close).then_some(peer)
    };
    let (answer, _peer) = tokio::join!(client.invoke("b:1", request("x"), PATIENCE), peer);
    (answer, client)
}

fn bad_frame(answer: Result<RemotingCommand, InvokeError>) -> Arc<FrameError> {
    match answer {
        Err(InvokeError::Closed { reason: CloseReason::BadFrame(error), .. }) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_closes_the_connection_and_is_counted() {
    let (answer, client) = answered_with(b"HTTP/1.1 400 Bad Request\r\n\r\n", false).await;
    assert!(matches!(*bad_frame(answer), FrameError::TooLong { .. }));
    assert_eq!((client.stats().bad_frames, client.stats().closes), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_oversize_frame_closes_the_connection_before_it_is_read() {
    let (answer, _) = answered_with(&[0, 0, 4, 0, 0, 0, 0, 2], false).await;
    assert!(matches!(*bad_frame(answer), FrameError::TooLong { length: 1_028, max: 1_000 }));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_serialize_type_closes_the_connection() {
    let (answer, _) = answered_with(&[0, 0, 0, 6, 9, 0, 0, 2, b'{', b'}'], false).await;
    assert!(matches!(*bad_frame(answer), FrameError::UnknownSerializeType { kind: 9 }));
}

#[tokio::test(start_paused = true)]
async fn a_header_longer_than_its_frame_closes_the_connection() {
    let (answer, _) = answered_with(&[0, 0, 0, 6, 0, 0, 0, 3, b'{', b'}'], false).await;
    assert!(matches!(*bad_frame(answer), FrameError::HeaderTooLong { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_header_that_is_not_json_closes_the_connection() {
    let (answer, _) = answered_with(&[0, 0, 0, 6, 0, 0, 0, 2, b'x', b'}'], false).await;
    assert!(matches!(*bad_frame(answer), FrameError::Json(_)));
}

#[tokio::test(start_paused = true)]
async fn the_end_in_the_middle_of_a_frame_is_told_apart_from_an_orderly_end() {
    let (answer, client) = answered_with(&[0, 0, 0, 100, 0, 0], true).await;
    assert!(
        matches!(answer, Err(InvokeError::Closed { reason: CloseReason::HalfFrame { missing: 98 }, .. })),
        "{answer:?}"
    );
    assert_eq!(client.stats().bad_frames, 0);
}

#[tokio::test(start_paused = true)]
async fn frames_cut_anywhere_are_put_together() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    let calls = async {
        tokio::join!(
            client.invoke("b:1", request("one"), PATIENCE),
            client.invoke("b:1", request("two"), PATIENCE)
        )
    };
    let peer = async {
        let mut peer = connections.accept().await;
        let mut frames = BytesMut::new();
        for _ in 0..2 {
            let request = peer.next().await.unwrap();
            let reply = RemotingCommand::response(ResponseCode::SUCCESS).with_body(request.body.clone());
            reply.reply_to(&request).encode(&mut frames).unwrap();
        }
        for byte in frames {
            peer.send_raw(&[byte]).await;
            tokio::task::yield_now().await;
        }
        peer
    };
    let ((one, two), _peer) = tokio::join!(calls, peer);
    assert_eq!((text(&one.unwrap()), text(&two.unwrap())), ("one", "two"));
}

#[tokio::test(start_paused = true)]
async fn garbage_from_one_peer_leaves_the_others_alone() {
    let (client, network) = client(RemotingSettings::default());
    let (mut good, mut bad) = (network.listen("good:1"), network.listen("bad:1"));
    let mut events = client.events();
    let peers = async {
        let (mut good, mut bad) = (good.accept().await, bad.accept().await);
        let (asked, _) = (good.next().await.unwrap(), bad.next().await.unwrap());
        bad.send_raw(&[0xff; 64]).await;
        loop {
            let event = next_event(&mut events).await;
            if let ConnectionState::Closed { reason } = event.state {
                assert_eq!(&*event.addr, "bad:1");
                assert!(matches!(reason, CloseReason::BadFrame(_)));
                break;
            }
        }
        good.echo(&asked).await;
        good
    };
    let calls = async {
        tokio::join!(
            client.invoke("good:1", request("x"), PATIENCE),
            client.invoke("bad:1", request("y"), PATIENCE)
        )
    };
    let ((kept, lost), _good) = tokio::join!(calls, peers);
    assert_eq!(text(&kept.unwrap()), "x");
    bad_frame(lost);
}

#[tokio::test]
async fn garbage_over_tcp_closes_the_connection() {
    let (listener, addr) = tcp_listener().await;
    let client = Client::new(RemotingSettings::default(), Arc::new(RefuseRequests));
    let peer = async {
        let mut peer = tcp_accept(&listener).await;
        peer.next().await.unwrap();
        peer.send_raw(b"\x16\x03\x01 this is no frame").await;
        assert!(peer.next().await.is_none());
    };
    let (answer, ()) = tokio::join!(client.invoke(&addr, request("x"), PATIENCE), peer);
    bad_frame(answer);
}
