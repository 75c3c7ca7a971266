//! Calls and their answers, in both directions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{sync::Arc, time::Duration};

use gantry_protocol::{Credentials, RemotingCommand, RequestCode, ResponseCode, SerializeType};
use gantry_remoting::{
    Client, CloseReason, ConnectionState, InvokeError, RefuseRequests, RemotingSettings, Reply,
    RequestProcessor,
};
use support::*;
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};

#[tokio::test(start_paused = true)]
async fn calls_are_pipelined_and_answers_may_come_in_any_order() {
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
        let (first, second) = (peer.next().await.unwrap(), peer.next().await.unwrap());
        assert_ne!(first.opaque, second.opaque);
        peer.echo(&second).await;
        peer.echo(&first).await;
        peer
    };
    let ((one, two), _peer) = tokio::join!(calls, peer);
    assert_eq!(text(&one.unwrap()), "one");
    assert_eq!(text(&two.unwrap()), "two");
    assert_eq!(network.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_carry_the_serialize_type_of_the_settings() {
    let settings =
        RemotingSettings { serialize_type: SerializeType::RocketMq, ..RemotingSettings::default() };
    let (client, network) = client(settings);
    let mut connections = network.listen("b:1");
    let peer = async {
        let mut peer = connections.accept().await;
        let request = peer.next().await.unwrap();
        assert_eq!(request.serialize_type, SerializeType::RocketMq);
        assert!(!request.is_response());
        peer.echo(&request).await;
        peer
    };
    let (answer, _peer) = tokio::join!(client.invoke("b:1", request("x"), PATIENCE), peer);
    assert_eq!(answer.unwrap().serialize_type, SerializeType::Json);
}

#[tokio::test(start_paused = true)]
async fn requests_name_the_namespace_and_are_signed_with_it_and_answers_are_not() {
    let credentials = Arc::new(Credentials::new("me", "secret"));
    let settings = RemotingSettings {
        credentials: Some(Arc::clone(&credentials)),
        namespace_v2: Some("tenant".into()),
        ..Default::default()
    };
    let (client, network) = client_with(settings, Arc::new(Capitals(Semaphore::new(10))));
    let mut connections = network.listen("b:1");
    let peer = async {
        let mut peer = connections.accept().await;
        let request = peer.next().await.unwrap();
        let field = |name| request.ext_fields.get(name);
        assert_eq!((field("nsd"), field("ns")), (Some("true"), Some("tenant")));
        assert_eq!(credentials.verify(&request), Ok(()));
        peer.echo(&request).await;
        peer.send(&self::request("asked of us")).await;
        let answer = peer.next().await.unwrap();
        assert!(answer.is_response());
        for field in ["Signature", "ns", "nsd"] {
            assert_eq!(answer.ext_fields.get(field), None, "{field}");
        }
    };
    let (answer, ()) = tokio::join!(client.invoke("b:1", request("x"), PATIENCE), peer);
    assert_eq!(text(&answer.unwrap()), "x");
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_and_a_late_answer_harms_nobody() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    let started = Instant::now();
    let (slow, mut peer) =
        tokio::join!(client.invoke("b:1", request("slow"), 3 * SECOND), connections.accept());
    assert_eq!(started.elapsed(), 3 * SECOND);
    let Err(InvokeError::Timeout { addr, request: code, after }) = slow else { panic!("{slow:?}") };
    assert_eq!((&*addr, code, after), ("b:1", RequestCode::GET_MAX_OFFSET, 3 * SECOND));

    let late = peer.next().await.unwrap();
    peer.echo(&late).await;
    let exchange = async {
        let request = peer.next().await.unwrap();
        peer.echo(&request).await;
    };
    let (next, ()) = tokio::join!(client.invoke("b:1", request("next"), PATIENCE), exchange);
    assert_eq!(text(&next.unwrap()), "next");
    assert_eq!((client.stats().late_answers, client.stats().timeouts), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_death_of_the_peer_fails_all_pending_calls_at_once() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    let started = Instant::now();
    let calls = async {
        tokio::join!(
            client.invoke("b:1", request("one"), PATIENCE),
            client.invoke("b:1", request("two"), PATIENCE)
        )
    };
    let death = async {
        let mut peer = connections.accept().await;
        peer.next().await.unwrap();
        peer.next().await.unwrap();
    };
    let ((one, two), ()) = tokio::join!(calls, death);
    for failed in [one, two] {
        assert!(
            matches!(failed, Err(InvokeError::Closed { reason: CloseReason::PeerClosed, .. })),
            "{failed:?}"
        );
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_peer_silent_for_long_is_given_up_though_the_connection_stands() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    let (first, _peer) = tokio::join!(client.invoke("b:1", request("x"), 3 * SECOND), connections.accept());
    assert!(matches!(first, Err(InvokeError::Timeout { .. })));
    let held = client.invoke("b:1", request("held"), 30 * SECOND);
    let asking = async {
        tokio::time::sleep(4 * SECOND).await;
        client.invoke("b:1", request("y"), 4 * SECOND).await
    };
    let (held, asked) = tokio::join!(held, asking);
    assert!(matches!(asked, Err(InvokeError::Timeout { .. })), "{asked:?}");
    assert!(matches!(held, Err(InvokeError::Closed { reason: CloseReason::Silent(_), .. })), "{held:?}");
}

/// Asks, and has what comes of it.
fn ask(
    client: &Client,
    body: &str,
    timeout: Duration,
) -> oneshot::Receiver<Result<RemotingCommand, InvokeError>> {
    let (sender, ended) = oneshot::channel();
    client.ask("b:1", 0, request(body), timeout, move |end| sender.send(end).unwrap());
    ended
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_told_whether_there_is_a_connection_or_not() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    for body in ["makes the connection", "finds it"] {
        let ended = ask(&client, body, PATIENCE);
        if network.dials() == 0 {
            spawn(connections.accept().await.echo_all());
        }
        assert_eq!(text(&within(ended).await.unwrap().unwrap()), body);
    }
    assert_eq!(network.dials(), 1);
    client.close().await;
    let ended = within(ask(&client, "too late", PATIENCE)).await.unwrap();
    assert!(matches!(ended, Err(InvokeError::Closed { reason: CloseReason::Requested, .. })), "{ended:?}");
    assert_eq!(client.running_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_of_other_lanes_have_connections_of_their_own_that_only_they_know_of() {
    let (client, network) = client(RemotingSettings { lanes: 3, ..RemotingSettings::default() });
    let (mut connections, mut events) = (network.listen("b:1"), client.events());
    let mut peers = Vec::new();
    for (lane, dials) in [(2, 1), (0, 2), (1, 3), (2, 3), (3, 3), (5, 3)] {
        let (sender, ended) = oneshot::channel();
        client.ask("b:1", lane, request("x"), PATIENCE, move |end| sender.send(end).unwrap());
        if peers.len() < dials {
            peers.push(connections.accept().await);
        }
        // Lane 2 came first, then 0, then 1.
        let peer = &mut peers[[1, 2, 0][lane % 3]];
        let asked = peer.next().await.unwrap();
        peer.echo(&asked).await;
        assert_eq!(text(&within(ended).await.unwrap().unwrap()), "x");
        assert_eq!((network.dials(), client.connected().len()), (dials, dials.min(2) - 1));
    }
    let connected = events.try_recv().unwrap();
    assert!(matches!(connected.state, ConnectionState::Connected { again: false }), "{connected:?}");
    assert!(events.try_recv().is_err());
    client.forget("b:1");
    for mut peer in peers {
        assert!(peer.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_told_within_a_second_that_the_deadline_is_over() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    let (first, mut peer) = tokio::join!(client.invoke("b:1", request("x"), SECOND), connections.accept());
    assert!(first.is_err());
    let started = Instant::now();
    let ended = ask(&client, "held", 3 * SECOND);
    let late = peer.next().await.unwrap();
    let late = if text(&late) == "x" { peer.next().await.unwrap() } else { late };
    let Err(InvokeError::Timeout { after, request: code, .. }) = within(ended).await.unwrap() else {
        panic!("it is too late")
    };
    assert_eq!((after, code), (3 * SECOND, RequestCode::GET_MAX_OFFSET));
    assert!((3 * SECOND..=4 * SECOND).contains(&started.elapsed()), "{:?}", started.elapsed());
    peer.echo(&late).await;
    let (next, _) = tokio::join!(client.invoke("b:1", request("next"), PATIENCE), async {
        let next = peer.next().await.unwrap();
        peer.echo(&next).await;
    });
    assert_eq!(text(&next.unwrap()), "next");
    assert_eq!((client.stats().late_answers, client.stats().timeouts), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_told_when_the_connection_is_lost() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    let exchange = async {
        let mut peer = connections.accept().await;
        let request = peer.next().await.unwrap();
        peer.echo(&request).await;
        peer
    };
    let (_, mut peer) = tokio::join!(client.invoke("b:1", request("x"), PATIENCE), exchange);
    let ended = ask(&client, "pending", PATIENCE);
    assert_eq!(text(&peer.next().await.unwrap()), "pending");
    drop(peer);
    let ended = within(ended).await.unwrap();
    assert!(matches!(ended, Err(InvokeError::Closed { reason: CloseReason::PeerClosed, .. })), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_asked_for_again_where_the_peer_goes_away() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    let exchange = async {
        let mut peer = connections.accept().await;
        let request = peer.next().await.unwrap();
        peer.echo(&request).await;
        peer
    };
    let (_, mut first) = tokio::join!(client.invoke("b:1", request("x"), PATIENCE), exchange);
    let ended = ask(&client, "again", PATIENCE);
    let asked = first.next().await.unwrap();
    first.send(&RemotingCommand::response(ResponseCode::GO_AWAY).reply_to(&asked)).await;
    let mut second = connections.accept().await;
    let asked = second.next().await.unwrap();
    second.echo(&asked).await;
    assert_eq!(text(&within(ended).await.unwrap().unwrap()), "again");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_goes_by_the_bounds_of_pending_calls() {
    let (client, network) = client(RemotingSettings { max_pending: 1, ..RemotingSettings::default() });
    let mut connections = network.listen("b:1");
    let exchange = async {
        let mut peer = connections.accept().await;
        let request = peer.next().await.unwrap();
        peer.echo(&request).await;
        peer
    };
    let (_, _peer) = tokio::join!(client.invoke("b:1", request("x"), PATIENCE), exchange);
    let _held = ask(&client, "held", PATIENCE);
    let refused = within(ask(&client, "one too many", PATIENCE)).await.unwrap();
    assert!(matches!(refused, Err(InvokeError::TooManyPending { limit: 1, .. })), "{refused:?}");
    client.close().await;
}

/// Answers with the request's body in capitals, once a permit is there.
struct Capitals(Semaphore);

impl RequestProcessor for Capitals {
    fn process(&self, peer: Arc<str>, request: RemotingCommand) -> Reply<'_> {
        Box::pin(async move {
            assert_eq!(&*peer, "b:1");
            self.0.acquire().await.unwrap().forget();
            let body = text(&request).to_uppercase();
            Some(RemotingCommand::response(ResponseCode::SUCCESS).with_body(body))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn both_sides_ask_over_one_connection_with_opaque_numbers_of_their_own() {
    let (client, network) = client_with(RemotingSettings::default(), Arc::new(Capitals(Semaphore::new(10))));
    let mut connections = network.listen("b:1");
    let peer = async {
        let mut peer = connections.accept().await;
        let theirs = peer.next().await.unwrap();
        let mut ours = request("from the broker");
        ours.opaque = theirs.opaque;
        peer.send(&ours).await;
        let reply = peer.next().await.unwrap();
        assert!(reply.is_response());
        assert_eq!((reply.opaque, text(&reply)), (ours.opaque, "FROM THE BROKER"));
        peer.echo(&theirs).await;
        peer
    };
    let (answer, _peer) = tokio::join!(client.invoke("b:1", request("from the client"), PATIENCE), peer);
    assert_eq!(text(&answer.unwrap()), "from the client");
}

#[tokio::test(start_paused = true)]
async fn a_oneway_push_is_processed_and_not_answered() {
    let processor = Arc::new(Capitals(Semaphore::new(10)));
    let (client, network) = client_with(RemotingSettings::default(), processor.clone());
    let mut connections = network.listen("b:1");
    let peer = async {
        let mut peer = connections.accept().await;
        peer.next().await.unwrap();
        peer.send(&request("push").into_oneway()).await;
        peer.send(&request("asked")).await;
        assert_eq!(text(&peer.next().await.unwrap()), "ASKED");
    };
    let _ = tokio::join!(client.oneway("b:1", request("x")), peer);
    assert_eq!(processor.0.available_permits(), 8);
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_bound_are_answered_busy_and_the_reader_goes_on() {
    let settings = RemotingSettings { max_inbound: 2, ..RemotingSettings::default() };
    let processor = Arc::new(Capitals(Semaphore::new(0)));
    let (client, network) = client_with(settings, processor.clone());
    let mut connections = network.listen("b:1");
    let peer = async {
        let mut peer = connections.accept().await;
        let theirs = peer.next().await.unwrap();
        for opaque in 1..=3 {
            let mut push = request("push");
            push.opaque = opaque;
            peer.send(&push).await;
        }
        let busy = peer.next().await.unwrap();
        assert_eq!((busy.opaque, busy.response_code()), (3, ResponseCode::SYSTEM_BUSY));
        peer.echo(&theirs).await;
        processor.0.add_permits(2);
        let (one, two) = (peer.next().await.unwrap(), peer.next().await.unwrap());
        assert_eq!((text(&one), text(&two)), ("PUSH", "PUSH"));
        peer
    };
    let (answer, _peer) = tokio::join!(client.invoke("b:1", request("x"), PATIENCE), peer);
    assert_eq!(text(&answer.unwrap()), "x");
    assert_eq!(client.stats().requests_refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_asks_answers_not_supported() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    let peer = async {
        let mut peer = connections.accept().await;
        peer.next().await.unwrap();
        peer.send(&request("push")).await;
        peer.next().await.unwrap()
    };
    let (sent, reply) = tokio::join!(client.oneway("b:1", request("x")), peer);
    sent.unwrap();
    assert_eq!(reply.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_pending_bound_are_refused() {
    let (client, network) = client(RemotingSettings { max_pending: 1, ..RemotingSettings::default() });
    let mut connections = network.listen("b:1");
    let one = client.invoke("b:1", request("one"), SECOND);
    let two = async {
        let mut peer = connections.accept().await;
        peer.next().await.unwrap();
        (client.invoke("b:1", request("two"), SECOND).await, peer)
    };
    let (_, (two, _peer)) = tokio::join!(one, two);
    assert!(matches!(two, Err(InvokeError::TooManyPending { limit: 1, .. })), "{two:?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_no_frame_can_hold_fails_alone() {
    let (client, network) = client(RemotingSettings::default());
    let mut connections = network.listen("b:1");
    spawn(async move { connections.accept().await.echo_all().await });
    let huge = request("").with_body(vec![0; gantry_protocol::MAX_FRAME]);
    let refused = client.invoke("b:1", huge, PATIENCE).await;
    assert!(matches!(refused, Err(InvokeError::Encode { .. })), "{refused:?}");
    assert_eq!(text(&client.invoke("b:1", request("small"), PATIENCE).await.unwrap()), "small");
}

#[tokio::test]
async fn a_thousand_calls_share_one_tcp_connection() {
    let (listener, addr) = tcp_listener().await;
    let client = Client::new(RemotingSettings::default(), Arc::new(RefuseRequests));
    spawn(async move { tcp_accept(&listener).await.echo_all().await });
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..1_000 {
        let (client, addr) = (client.clone(), addr.clone());
        let body = format!("{number} {}", "x".repeat(number * 7));
        calls.spawn(async move { (client.invoke(&addr, request(&body), PATIENCE).await.unwrap(), body) });
    }
    while let Some(call) = within(calls.join_next()).await {
        let (answer, body) = call.unwrap();
        assert_eq!(text(&answer), body);
    }
    let stats = client.stats();
    assert_eq!((stats.connects, stats.frames_out, stats.frames_in), (1, 1_000, 1_000));
}
