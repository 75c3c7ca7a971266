//! One host in two clusters: the same consumer group in both, each with its own account, and one of them down.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gantry_dev_broker::{Broker, BrokerConfig};
use gantry_host::client_instance::{ClientInstance, OutgoingMessage, Producer, ProducerConfig};
use gantry_host::config::{ConsumeFrom, GantryConfig};
use gantry_host::status::{HostStatus, PluginStatus};
use gantry_host::{
    ConsumeContext, ConsumeResult, Host, ListenerDescription, MessageBatch, NativeListener, Unobserved,
};
use gantry_protocol::Credentials;

const BOUND: Duration = Duration::from_secs(120);
const GROUP: &str = "orders-group";
const TOPIC: &str = "orders";

/// An embedded broker whose one account is `account`.
async fn broker(account: &str) -> Broker {
    let mut config = BrokerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        accounts: vec![Credentials::new(account, format!("{account}-secret"))],
        ..BrokerConfig::default()
    };
    config.timing.drain = Duration::from_millis(100);
    Broker::start(config).await.unwrap()
}

fn config(directory: &Path, default: &str, eu: &str) -> GantryConfig {
    let text = format!(
        "name-server = \"{default}\"\n[client.acl]\naccess-key = \"home\"\nsecret-key = \"home-secret\"\n\
         [clusters.eu]\nname-server = \"{eu}\"\n[clusters.eu.acl]\naccess-key = \"abroad\"\nsecret-key = \"abroad-secret\"\n\
         [plugin.abroad]\ncluster = \"eu\"\n[plugin.home]\ncluster = \"default\"\n"
    );
    let mut config = GantryConfig::from_toml("gantry.toml", &text).unwrap();
    config.plugins = directory.into();
    config.state_dir = Some(directory.join("state"));
    config.admin.enabled = false;
    config.consumer.consume_from_where = Some(ConsumeFrom::FirstOffset);
    config
}

/// A listener that keeps what it consumed.
#[derive(Clone)]
struct Keeps(&'static str, Arc<Mutex<Vec<String>>>);

impl NativeListener for Keeps {
    fn describe(&self) -> ListenerDescription {
        ListenerDescription::new(self.0, GROUP, TOPIC)
    }

    fn consume(&self, context: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
        assert_eq!(context.consumer_group, GROUP, "as brokers know it");
        let bodies = (0..batch.len()).map(|index| String::from_utf8(batch.body(index).to_vec()).unwrap());
        self.1.lock().unwrap().extend(bodies);
        vec![ConsumeResult::Success; batch.len()]
    }
}

impl Keeps {
    fn sorted(&self) -> Vec<String> {
        let mut bodies = self.1.lock().unwrap().clone();
        bodies.sort();
        bodies
    }
}

async fn send(config: &GantryConfig, cluster: Option<&str>, bodies: &[&str]) {
    let client = ClientInstance::start(config.client_config_of(cluster).unwrap()).await.unwrap();
    let producer =
        Producer::new(client.clone(), ProducerConfig { send_timeout: BOUND, ..ProducerConfig::default() });
    for body in bodies {
        producer.send(&OutgoingMessage::new(TOPIC, (*body).to_owned())).await.unwrap();
    }
    client.close().await;
}

async fn until(host: &Host, what: &str, holds: impl Fn(&HostStatus) -> bool) {
    let deadline = Instant::now() + BOUND;
    while !holds(&host.status()) {
        assert!(Instant::now() < deadline, "{what}: {:#?}", host.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn plugin<'s>(status: &'s HostStatus, name: &str) -> &'s PluginStatus {
    status.plugins.iter().find(|plugin| plugin.name == name).unwrap()
}

fn succeeded(status: &HostStatus, name: &str) -> u64 {
    plugin(status, name).outcomes.succeeded
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_group_in_two_clusters_is_two_groups() {
    let directory = tempfile::tempdir().unwrap();
    let (default, eu) = (broker("home").await, broker("abroad").await);
    let [home_addr, eu_addr] = [&default, &eu].map(|broker| broker.local_addr().to_string());
    let config = config(directory.path(), &home_addr, &eu_addr);
    send(&config, None, &["home 1", "home 2"]).await;
    send(&config, Some("eu"), &["abroad 1"]).await;
    let (home, abroad) = (Keeps("home", Arc::default()), Keeps("abroad", Arc::default()));
    let host = Host::start(config.clone(), Arc::new(Unobserved)).await.unwrap();
    host.add_native(home.clone()).await.unwrap();
    host.add_native(abroad.clone()).await.unwrap();
    until(&host, "each has its own", |status| {
        succeeded(status, "home") == 2 && succeeded(status, "abroad") == 1
    })
    .await;
    assert_eq!(home.sorted(), ["home 1", "home 2"]);
    assert_eq!(abroad.sorted(), ["abroad 1"]);

    let status = host.status();
    let groups: Vec<_> =
        status.groups.iter().map(|group| (&*group.group, group.cluster.as_deref())).collect();
    assert_eq!(groups, [("orders-group", None), ("orders-group@eu", Some("eu"))]);
    let abroad = plugin(&status, "abroad");
    assert_eq!((abroad.consumer_group.as_deref(), abroad.cluster.as_deref()), (Some(GROUP), Some("eu")));
    let clusters: Vec<_> = status.clusters.iter().map(|c| (&*c.cluster, c.name_servers.join(";"))).collect();
    assert_eq!(clusters, [("default", home_addr), ("eu", eu_addr)]);
    assert_ne!(status.clusters[0].client_id, status.clusters[1].client_id);
    assert!(host.stop().await.graceful);

    for (cluster, committed) in [(None, 2), (Some("eu"), 1)] {
        let client = ClientInstance::start(config.client_config_of(cluster).unwrap()).await.unwrap();
        let mut sum = 0;
        for queue in &client.route(TOPIC).await.unwrap().subscribe_queues {
            sum += client.query_offset(GROUP, queue).await.unwrap().unwrap_or(0);
        }
        assert_eq!(sum, committed, "stored in its own cluster: {cluster:?}");
        client.close().await;
    }
    default.stop().await;
    eu.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_down_harms_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let default = broker("home").await;
    let config = config(directory.path(), &default.local_addr().to_string(), "127.0.0.1:1");
    send(&config, None, &["1", "2", "3"]).await;
    let (home, abroad) = (Keeps("home", Arc::default()), Keeps("abroad", Arc::default()));
    let host = Host::start(config, Arc::new(Unobserved)).await.unwrap();
    host.add_native(abroad).await.unwrap();
    host.add_native(home.clone()).await.unwrap();
    until(&host, "the cluster that is there is consumed", |status| succeeded(status, "home") == 3).await;
    until(&host, "the other is said to be down", |status| !status.clusters[1].name_servers_reachable).await;
    until(&host, "the group that is consumed is ready", |status| status.groups[0].ready).await;
    let status = host.status();
    assert!(status.clusters[0].name_servers_reachable);
    assert!(!status.groups[1].ready);
    assert!(!status.ready, "it says that not all is well");
    host.stop().await;
    default.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_cannot_be_had_is_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), "127.0.0.1:1", "no-port");
    let error = Host::start(config, Arc::new(Unobserved)).await.err().unwrap().to_string();
    assert!(error.contains("cluster eu") && error.contains("'no-port'"), "{error}");
}
