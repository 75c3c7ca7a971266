//! Apache RocketMQ with its access control on, over TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_apache::Cluster;
use gantry_host::client_instance::{ClientInstance, OutgoingMessage, Producer, ProducerConfig};
use gantry_host::config::{ConsumeFrom, GantryConfig};
use gantry_host::{
    ConsumeContext, ConsumeResult, Host, ListenerDescription, MessageBatch, NativeListener, Unobserved,
};
use gantry_suite::{guarded_access, start_guarded};
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(60);
const MESSAGES: u64 = 20;

fn config(cluster: &Cluster, directory: &TempDir, secret: Option<&str>) -> GantryConfig {
    let mut config = GantryConfig {
        name_server: cluster.name_server().to_string(),
        plugins: directory.path().into(),
        state_dir: Some(directory.path().join("state")),
        ..GantryConfig::default()
    };
    config.admin.enabled = false;
    config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
    config.client = guarded_access(secret);
    config
}

struct Consumes;

impl NativeListener for Consumes {
    fn describe(&self) -> ListenerDescription {
        ListenerDescription::new("consumes", "secured-group", "secured")
    }

    fn consume(&self, _: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
        vec![ConsumeResult::Success; batch.len()]
    }
}

/// How a send as this account ends: nothing, or every word of why.
async fn send(config: &GantryConfig) -> Result<(), String> {
    let client = ClientInstance::start(config.client_config().unwrap()).await.unwrap();
    let producer = Producer::new(client.clone(), ProducerConfig::default());
    let mut sent = Ok(());
    for _ in 0..MESSAGES {
        sent = sent.and(producer.send(&OutgoingMessage::new("secured", "x")).await.map(|_| ()));
    }
    client.close().await;
    sent.map_err(|error| format!("{error:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_an_account_works_with_apache_over_tls_and_one_without_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let Some(cluster) = start_guarded(&directory.path().join("cluster")) else { return };
    let right = config(&cluster, &directory, Some("admin-secret"));
    send(&right).await.unwrap();
    for secret in [None, Some("wrong-secret")] {
        let refused = send(&config(&cluster, &directory, secret)).await.unwrap_err();
        assert!(refused.contains("ResponseCode(16)"), "{refused}");
        assert!(!refused.contains("wrong-secret"), "{refused}");
    }
    let host = Host::start(right, Arc::new(Unobserved)).await.unwrap();
    host.add_native(Consumes).await.unwrap();
    let deadline = Instant::now() + BOUND;
    while host.status().plugins[0].outcomes.succeeded < MESSAGES {
        assert!(Instant::now() < deadline, "{:?}", host.status());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(host.stop().await.graceful);
}
