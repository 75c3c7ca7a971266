//! A host and its producer at a broker that wants TLS, certificates of its clients, and signed requests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_dev_broker::{Broker, BrokerConfig, TlsFiles};
use gantry_host::client_instance::{ClientInstance, OutgoingMessage, Producer, ProducerConfig};
use gantry_host::config::{AclSettings, ConsumeFrom, GantryConfig, Secret};
use gantry_host::{
    ConsumeContext, ConsumeResult, Host, ListenerDescription, MessageBatch, NativeListener, Unobserved,
    config,
};
use gantry_protocol::Credentials;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

const BOUND: Duration = Duration::from_secs(120);

/// Writes an authority and two certificates it vouches for: `broker` for 127.0.0.1, and `host`.
fn authority(directory: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(directory.join("ca.pem"), issuer.pem()).unwrap();
    for (who, name) in [("broker", "127.0.0.1"), ("host", "host-a")] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(directory.join(format!("{who}.pem")), certificate.pem()).unwrap();
        fs::write(directory.join(format!("{who}.key")), key.serialize_pem()).unwrap();
    }
}

async fn broker(directory: &Path) -> Broker {
    authority(directory);
    let tls = TlsFiles {
        cert_file: directory.join("broker.pem"),
        key_file: directory.join("broker.key"),
        client_ca_file: Some(directory.join("ca.pem")),
        enforcing: true,
    };
    let mut config = BrokerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        tls: Some(tls),
        accounts: vec![Credentials::new("orders", "right")],
        ..BrokerConfig::default()
    };
    config.timing.drain = Duration::from_millis(100);
    Broker::start(config).await.unwrap()
}

fn host_config(broker: &Broker, directory: &Path, secret: &str) -> GantryConfig {
    let mut config = GantryConfig {
        name_server: broker.local_addr().to_string(),
        plugins: directory.into(),
        state_dir: Some(directory.join("state")),
        ..GantryConfig::default()
    };
    config.admin.enabled = false;
    config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
    config.client.tls = Some(config::TlsFiles {
        ca_file: Some(directory.join("ca.pem")),
        cert_file: Some(directory.join("host.pem")),
        key_file: Some(directory.join("host.key")),
        ..config::TlsFiles::default()
    });
    config.client.acl = AclSettings {
        access_key: Some("orders".into()),
        secret_key: Some(Secret(secret.into())),
        ..AclSettings::default()
    };
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

#[tokio::test(flavor = "multi_thread")]
async fn messages_flow_through_mutual_tls_under_an_account() {
    let directory = tempfile::tempdir().unwrap();
    let broker = broker(directory.path()).await;
    let config = host_config(&broker, directory.path(), "right");
    let client = ClientInstance::start(config.client_config().unwrap()).await.unwrap();
    let producer =
        Producer::new(client.clone(), ProducerConfig { send_timeout: BOUND, ..ProducerConfig::default() });
    for _ in 0..10 {
        producer.send(&OutgoingMessage::new("secured", "x")).await.unwrap();
    }
    let host = Host::start(config, Arc::new(Unobserved)).await.unwrap();
    host.add_native(Consumes).await.unwrap();
    let deadline = Instant::now() + BOUND;
    while host.status().plugins[0].outcomes.succeeded < 10 {
        assert!(Instant::now() < deadline, "{:?}", host.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(host.stop().await.graceful);
    client.close().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_told_by_the_brokers_own_words() {
    let directory = tempfile::tempdir().unwrap();
    let broker = broker(directory.path()).await;
    let config = host_config(&broker, directory.path(), "wrong").client_config().unwrap();
    let client = ClientInstance::start(config).await.unwrap();
    let producer =
        Producer::new(client.clone(), ProducerConfig { send_timeout: BOUND, ..ProducerConfig::default() });
    let error = producer.send(&OutgoingMessage::new("secured", "x")).await.unwrap_err();
    let mut text = error.to_string();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    assert!(text.contains("does not match") && !text.contains("wrong"), "{text}");
    client.close().await;
    broker.stop().await;
}
