//! A host and its directory, from run to run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use gantry_host::config::GantryConfig;
use gantry_host::{Host, StartError, Unobserved};

/// Starts a host; its name server is not there, which keeps no host from starting.
async fn start(state: &Path, plugins: &Path) -> Result<Host, StartError> {
    let mut config = GantryConfig {
        name_server: "127.0.0.1:9".into(),
        plugins: plugins.into(),
        state_dir: Some(state.into()),
        instance_name: "orders".into(),
        ..GantryConfig::default()
    };
    config.admin.enabled = false;
    Host::start(config, Arc::new(Unobserved)).await
}

fn client_ids(directory: &Path) -> Vec<String> {
    serde_json::from_slice(&std::fs::read(directory.join("client-ids")).unwrap()).unwrap()
}

#[tokio::test]
async fn hosts_of_one_machine_have_a_directory_each_and_find_it_again() {
    let (state, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = start(state.path(), plugins.path()).await.unwrap();
    let two = start(state.path(), plugins.path()).await.unwrap();
    let first = one.status().client_id;
    assert_eq!(client_ids(&state.path().join("orders")).join(" "), first);
    assert_eq!(client_ids(&state.path().join("orders-2")), [two.status().client_id]);
    one.stop().await;
    let again = start(state.path(), plugins.path()).await.unwrap();
    assert_eq!(client_ids(&state.path().join("orders")), [first, again.status().client_id]);
    again.stop().await;
    two.stop().await;
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn a_host_without_a_place_for_its_state_does_not_start() {
    let plugins = tempfile::tempdir().unwrap();
    let file = plugins.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = start(&file, plugins.path()).await.err().expect("it has no directory").to_string();
    assert!(error.contains("file/orders") && error.contains("state-dir in gantry.toml"), "{error}");
}
