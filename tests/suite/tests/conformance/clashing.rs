//! Members of a group that subscribe otherwise are found and named.

use std::time::Duration;

use gantry_apache::{Consumer, ConsumerOptions};
use gantry_suite::{HostUnderTest, World, eventually_within, installation, that};

gantry_suite::scenarios! {
    hosts_that_subscribe_otherwise_name_each_other_until_they_agree,
    a_java_member_that_subscribes_otherwise_is_named,
}

/// A clash is looked at twice, 3 s apart, and at every change of members; else every 30 s.
const FINDING: Duration = Duration::from_secs(180);

async fn hosts_that_subscribe_otherwise_name_each_other_until_they_agree(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let member = async |tags: &str| {
        let setup = world.host().plugin("a", &group, &[(&topic, tags)]).with_file("scripted", "a");
        setup.start().await
    };
    let (one, two) = (member("red || blue").await, member("blue||red").await);
    two.active("a").await;
    let clash = member("green").await;
    let (ones, clashs) = (one.status().client_id, clash.status().client_id);
    let named = |id: &str, theirs: &str, ours: &str| {
        format!("{id} subscribes to topic {topic} with the tags {theirs:?}, this host with the tags {ours:?}")
    };
    clashes(&one, &group, &[named(&clashs, "green", "blue || red")]).await;
    clashes(&two, &group, &[named(&clashs, "green", "blue || red")]).await;
    let twos = two.status().client_id;
    let mut both = [named(&ones, "blue || red", "green"), named(&twos, "blue || red", "green")];
    both.sort();
    clashes(&clash, &group, &both).await;
    clash.stop().await;
    clashes(&one, &group, &[]).await;
    clashes(&two, &group, &[]).await;
    one.stop().await;
    two.stop().await;
    world.cluster.end().await;
}

async fn a_java_member_that_subscribes_otherwise_is_named(world: World) {
    let Some(installation) = installation() else { return };
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    host.active("scripted").await;
    let options = ConsumerOptions::new(&group, &topic).instance(&group).tags("red");
    let address = world.cluster.address();
    let java = tokio::task::block_in_place(|| Consumer::start(&installation, address, &options)).unwrap();
    let expected = format!(
        "{} subscribes to topic {topic} with the tags \"red\", this host with the tags \"*\"",
        java.client_id()
    );
    clashes(&host, &group, &[expected]).await;
    tokio::task::block_in_place(|| java.quit()).unwrap();
    clashes(&host, &group, &[]).await;
    host.stop().await;
    world.cluster.end().await;
}

/// Waits until the host tells of exactly these.
async fn clashes(host: &HostUnderTest, group: &str, expected: &[String]) {
    eventually_within(FINDING, "the clashes are told", async || {
        let told = host.group(group).map(|status| status.clashes).unwrap_or_default();
        that(told == expected, || format!("{expected:#?} are expected, told are {told:#?}"))
    })
    .await;
}
