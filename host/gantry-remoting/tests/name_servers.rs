//! Several name servers, of which one has to answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use gantry_remoting::{Client, NameServers, RemotingSettings};
use support::*;

fn serve(network: &Network, addr: &'static str) {
    let mut connections = network.listen(addr);
    spawn(async move {
        loop {
            let mut peer = connections.accept().await;
            spawn(async move {
                while let Some(mut request) = peer.next().await {
                    request.body = addr.into();
                    peer.echo(&request).await;
                }
            });
        }
    });
}

fn three(client: &Client) -> NameServers {
    NameServers::new(client.clone(), ["n:1", "n:2", "n:3"].map(Arc::from).to_vec())
}

async fn ask(servers: &NameServers) -> String {
    text(&servers.invoke(request(""), 3 * SECOND).await.unwrap()).to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_one_that_works_is_found_and_kept() {
    let (client, network) = client(RemotingSettings::default());
    let servers = three(&client);
    serve(&network, "n:2");
    for _ in 0..5 {
        assert_eq!(ask(&servers).await, "n:2");
    }
    let dials = network.dials();
    serve(&network, "n:1");
    serve(&network, "n:3");
    assert_eq!(ask(&servers).await, "n:2");
    assert_eq!(network.dials(), dials, "no other one is tried while it answers");
    assert_eq!(servers.preferred().as_deref(), Some("n:2"));
}

#[tokio::test(start_paused = true)]
async fn another_list_takes_over_and_the_one_that_answers_is_kept() {
    let (client, network) = client(RemotingSettings::default());
    let servers = NameServers::new(client, Vec::new());
    let error = servers.invoke(request(""), SECOND).await.unwrap_err().to_string();
    assert_eq!(error, "no name server answered: none is known yet");
    serve(&network, "n:2");
    assert!(servers.replace(["n:1", "n:2"].map(Arc::from).to_vec()).is_empty());
    assert_eq!(ask(&servers).await, "n:2");
    assert!(servers.replace(["n:2", "n:1"].map(Arc::from).to_vec()).is_empty(), "the same ones");
    let gone = servers.replace(["n:3", "n:2"].map(Arc::from).to_vec());
    assert_eq!(gone, ["n:1".into()] as [Arc<str>; 1]);
    assert_eq!(servers.preferred().as_deref(), Some("n:2"));
    serve(&network, "n:4");
    assert_eq!(servers.replace(vec!["n:4".into()]).len(), 2);
    assert_eq!(ask(&servers).await, "n:4");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_in_time_is_passed_over() {
    let (client, network) = client(RemotingSettings::default());
    let _silent = (network.listen("n:1"), network.listen("n:3"));
    serve(&network, "n:2");
    assert_eq!(ask(&three(&client)).await, "n:2");
}

#[tokio::test(start_paused = true)]
async fn when_none_answers_the_error_names_them_all() {
    let (client, _network) = client(RemotingSettings::default());
    let error = three(&client).invoke(request(""), 3 * SECOND).await.unwrap_err();
    assert_eq!(error.attempts.len(), 3);
    let message = error.to_string();
    assert!(message.starts_with("no name server answered: cannot connect to n:"), "{message}");
    for addr in ["n:1", "n:2", "n:3"] {
        assert!(message.contains(addr), "{message}");
    }
}
