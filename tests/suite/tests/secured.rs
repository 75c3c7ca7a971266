//! Apache RocketMQ with its access control on: that of RocketMQ 5 over TLS, and that of RocketMQ 4.
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
use gantry_host::config::{AclSettings, ClientSettings, ConsumeFrom, GantryConfig, Secret};
use gantry_host::{
    ConsumeContext, ConsumeResult, Host, ListenerDescription, MessageBatch, NativeListener, Unobserved,
};
use gantry_suite::{guarded_access, start_guarded, start_plainly_guarded};
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(300);
const MESSAGES: u64 = 20;

fn config(cluster: &Cluster, directory: &TempDir, client: ClientSettings) -> GantryConfig {
    let mut config = GantryConfig {
        name_server: cluster.name_server().to_string(),
        plugins: directory.path().into(),
        state_dir: Some(directory.path().join("state")),
        ..GantryConfig::default()
    };
    config.admin.enabled = false;
    config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
    config.client = client;
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

/// A host of this configuration gets what was sent.
async fn consumes(config: GantryConfig) {
    let host = Host::start(config, Arc::new(Unobserved)).await.unwrap();
    host.add_native(Consumes).await.unwrap();
    let deadline = Instant::now() + BOUND;
    while host.status().plugins[0].outcomes.succeeded < MESSAGES {
        assert!(Instant::now() < deadline, "{:?}", host.status());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(host.stop().await.graceful);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_an_account_works_with_apache_over_tls_and_one_without_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let Some(cluster) = start_guarded(&directory.path().join("cluster")) else { return };
    let right = config(&cluster, &directory, guarded_access(Some("admin-secret")));
    send(&right).await.unwrap();
    for secret in [None, Some("wrong-secret")] {
        let refused = send(&config(&cluster, &directory, guarded_access(secret))).await.unwrap_err();
        assert!(refused.contains("ResponseCode(16)"), "{refused}");
        assert!(!refused.contains("wrong-secret"), "{refused}");
    }
    consumes(right).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_plain_acl_do_what_they_may_and_others_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let Some(cluster) = start_plainly_guarded(&directory.path().join("cluster")) else { return };
    let account = |name: &str, secret: &str| {
        let (access_key, secret_key) = (Some(name.to_owned()), Some(Secret(secret.to_owned())));
        let acl = AclSettings { access_key, secret_key, ..AclSettings::default() };
        config(&cluster, &directory, ClientSettings { acl, ..ClientSettings::default() })
    };
    send(&account("administrator", "admin-secret")).await.unwrap();
    let nobody = config(&cluster, &directory, ClientSettings::default());
    for refused in [account("administrator", "wrong-secret"), account("consumer", "consumer-secret"), nobody]
    {
        let words = send(&refused).await.unwrap_err();
        assert!(words.contains("AclException"), "{words}");
        assert!(!words.contains("-secret"), "{words}");
    }
    consumes(account("consumer", "consumer-secret")).await;
}
