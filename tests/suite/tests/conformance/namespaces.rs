//! Namespaces, units and names of instances: what a client is to brokers, and what its users see of that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gantry_apache::{Client, Consumer, ConsumerOptions, Outgoing};
use gantry_host::SettledAs;
use gantry_protocol::Namespace;
use gantry_protocol::names::{dlq_topic, retry_topic};
use gantry_suite::{HostSetup, World, eventually, eventually_within, installation, that};

gantry_suite::scenarios! {
    java_and_gantry_share_a_group_of_a_namespace,
    what_a_group_gives_back_stays_in_its_namespace,
    listeners_of_both_forms_see_plain_names,
    a_plugin_sends_within_the_namespace,
    a_namespace_of_the_second_kind_leaves_names_alone,
    a_client_id_names_its_instance_and_its_unit,
    a_host_consumes_through_the_vip_channel,
}

/// The Java client rebalances at notice, and every 20 s should it miss one; its first heartbeat may stall it for 30 s.
const SETTLING: Duration = Duration::from_secs(180);
const QUEUES: i32 = 4;
const MESSAGES: usize = 60;

/// A topic and a group, plain and as brokers know them.
struct Names {
    namespace: Namespace,
    topic: String,
    group: String,
    wire_topic: String,
    wire_group: String,
}

impl Names {
    /// Names of a namespace of the scenario's own. The topic is there, and nothing of the plain names is.
    async fn new(world: &World, queues: i32) -> Self {
        let namespace = Namespace::new(&world.name("ns")).unwrap();
        let (topic, group) = (world.name("t"), world.name("g"));
        let wire_topic = namespace.wrap(&topic).into_owned();
        world.cluster.create_topic(&wire_topic, queues).await;
        let wire_group = namespace.wrap(&group).into_owned();
        Self { namespace, topic, group, wire_topic, wire_group }
    }

    fn host_with(&self, world: &World, stem: &str) -> HostSetup {
        let namespace = self.namespace.clone();
        world
            .host_with(stem, &self.group, &self.topic)
            .configure(|config| config.client.namespace = namespace)
    }

    fn name(&self) -> &str {
        self.namespace.name().unwrap()
    }
}

async fn java_and_gantry_share_a_group_of_a_namespace(world: World) {
    let Some(installation) = installation() else { return };
    let names = Names::new(&world, QUEUES).await;
    let options =
        ConsumerOptions::new(&names.group, &names.topic).instance(&names.group).namespace(names.name());
    let address = world.cluster.address();
    let mut java = tokio::task::block_in_place(|| Consumer::start(&installation, address, &options)).unwrap();
    let host = names.host_with(&world, "scripted").with_file("scripted", "scripted").start().await;
    eventually_within(SETTLING, "each has two of the four queues", async || {
        let javas = tokio::task::block_in_place(|| java.queues()).unwrap();
        let javas = javas.iter().filter(|queue| queue.topic == names.wire_topic).count();
        let gantrys = host.queues(&names.group, &names.topic).len();
        that((javas, gantrys) == (2, 2), || format!("Java has {javas}, Gantry {gantrys}"))
    })
    .await;

    let started = tokio::task::block_in_place(|| Client::in_namespace(&installation, address, names.name()));
    let mut sender = started.unwrap();
    for number in 0..MESSAGES {
        let message = Outgoing::new(&names.topic, &format!("ok {number}"));
        tokio::task::block_in_place(|| sender.send(&message)).unwrap();
    }
    let mut javas = BTreeSet::new();
    eventually_within(SETTLING, "everything is consumed", async || {
        while let Some(message) = tokio::task::block_in_place(|| java.consumed(Duration::ZERO)).unwrap() {
            assert_eq!(message.topic, names.topic, "Java's own listeners see plain names");
            javas.insert(message.body);
        }
        let gantrys: BTreeSet<_> = host.observed.records().into_iter().map(|record| record.body).collect();
        let all = javas.union(&gantrys).count();
        that(all == MESSAGES, || {
            format!("{all} of {MESSAGES}: Java {}, Gantry {}", javas.len(), gantrys.len())
        })
    })
    .await;
    let records = host.observed.records();
    assert!(!javas.is_empty() && !records.is_empty(), "one of them consumed nothing");
    for record in &records {
        assert_eq!((&record.topic, &record.group), (&names.topic, &names.group));
    }
    tokio::task::block_in_place(|| java.quit()).unwrap();
    host.stop().await;
    world.cluster.all_committed(&names.wire_group, &names.wire_topic).await;
    world.cluster.end().await;
}

async fn what_a_group_gives_back_stays_in_its_namespace(world: World) {
    let names = Names::new(&world, 2).await;
    let setup = names
        .host_with(&world, "scripted")
        .plugin_settings("scripted", |settings| settings.max_reconsume_times = Some(1));
    let host = setup.with_file("scripted", "scripted").start().await;
    host.active("scripted").await;
    world.cluster.send(&names.wire_topic, &["once:1", "later:1", "ok"]).await;
    world.cluster.dead_lettered(&names.wire_group, &["later:1"]).await;
    host.settled(5).await;
    let ends = host.observed.of("once:1");
    assert_eq!((ends[1].reconsume_times, &ends[1].how), (1, &SettledAs::Success));
    for record in host.observed.records() {
        assert_eq!((&record.topic, &record.group), (&names.topic, &names.group));
    }
    let status = host.group(&names.group).unwrap();
    let topics: BTreeSet<_> = status.queues.iter().map(|queue| queue.topic.clone()).collect();
    assert_eq!(topics, BTreeSet::from([names.topic.clone(), retry_topic(&names.group)]));
    world.cluster.all_committed(&names.wire_group, &names.wire_topic).await;
    world.cluster.all_committed(&names.wire_group, &retry_topic(&names.wire_group)).await;

    let known = world.cluster.client().topic_list().await.unwrap();
    assert!(known.contains(&retry_topic(&names.wire_group)) && known.contains(&dlq_topic(&names.wire_group)));
    for plain in [names.topic.clone(), retry_topic(&names.group), dlq_topic(&names.group)] {
        assert!(!known.contains(&plain), "{plain} is outside of the namespace");
    }
    host.stop().await;
    world.cluster.end().await;
}

async fn listeners_of_both_forms_see_plain_names(world: World) {
    let names = Names::new(&world, 1).await;
    for stem in ["tells", "tells-packed", "tells-records"] {
        let group = format!("{}-{stem}", names.group);
        let namespace = names.namespace.clone();
        let setup = world.host_with(stem, &group, &names.topic);
        let setup = setup.configure(|config| config.client.namespace = namespace);
        let host = setup.with_file(stem, stem).start().await;
        let body = format!("for {stem}");
        world.cluster.send(&names.wire_topic, &[&body]).await;
        let told = eventually("it is told", async || {
            let ends = host.observed.of(&body);
            let end = ends.first().ok_or("it is not yet")?;
            let SettledAs::DeadLetter { reason } = &end.how else { panic!("{end:?}") };
            Ok(reason.clone())
        })
        .await;
        let plain = told.contains(&format!("{group:?}")) && told.contains(&format!("{:?}", names.topic));
        assert!(plain && !told.contains(&format!("{}%", names.name())), "{told}");
        host.stop().await;
    }
    world.cluster.end().await;
}

async fn a_plugin_sends_within_the_namespace(world: World) {
    let names = Names::new(&world, 1).await;
    let target = world.name("target");
    let wire_target = names.namespace.wrap(&target).into_owned();
    world.cluster.create_topic(&wire_target, 2).await;
    let setup = names.host_with(&world, "uses-grants").plugin_settings("uses-grants", |settings| {
        settings.grants = ["producer", "keyvalue", "logging", "metrics"].map(str::to_owned).to_vec();
        settings.config = Some(BTreeMap::new());
    });
    let host = setup.with_file("uses-grants", "uses-grants").start().await;
    host.active("uses-grants").await;
    let asked = [format!("send:{target}=one"), format!("ordered:{target} key=two")];
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    world.cluster.send(&names.wire_topic, &asked).await;
    let sent = world.cluster.readable(&wire_target, 2).await;
    let bodies: BTreeSet<_> = sent.iter().map(|message| message.body().unwrap().to_vec()).collect();
    assert_eq!(bodies, BTreeSet::from([b"one".to_vec(), b"two".to_vec()]));
    host.stop().await;
    world.cluster.end().await;
}

/// The servers of RocketMQ itself make nothing of it; the fields must not disturb them, nor a Java member that sends them.
async fn a_namespace_of_the_second_kind_leaves_names_alone(world: World) {
    let (topic, group) = (world.topic("t", QUEUES).await, world.name("g"));
    let setup = world.host_with("scripted", &group, &topic).configure(|config| {
        config.client.namespace_v2 = Some("tenant".to_owned());
    });
    let host = setup.with_file("scripted", "scripted").start().await;
    world.cluster.send(&topic, &["once:1", "dead", "ok"]).await;
    host.settled(4).await;
    world.cluster.all_committed(&group, &topic).await;
    if let Some(installation) = installation() {
        let options = ConsumerOptions::new(&group, &topic).instance(&group).namespace_v2("tenant");
        let address = world.cluster.address();
        let started = tokio::task::block_in_place(|| Consumer::start(&installation, address, &options));
        let mut java = started.unwrap();
        eventually_within(SETTLING, "each has two of the four queues", async || {
            let javas = tokio::task::block_in_place(|| java.queues()).unwrap();
            let javas = javas.iter().filter(|queue| queue.topic == topic).count();
            let gantrys = host.queues(&group, &topic).len();
            that((javas, gantrys) == (2, 2), || format!("Java has {javas}, Gantry {gantrys}"))
        })
        .await;
    }
    host.stop().await;
    world.cluster.end().await;
}

async fn a_client_id_names_its_instance_and_its_unit(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let setup = world.host_with("scripted", &group, &topic).configure(|config| {
        config.instance_name = "orders".to_owned();
        config.client.unit_name = Some("unit1".to_owned());
        config.client.unit_mode = true;
    });
    let host = setup.with_file("scripted", "scripted").start().await;
    let members = eventually("the broker knows the member", async || {
        let members = world.cluster.members(&group, &topic).await;
        that(!members.is_empty(), || "it has none".to_owned())?;
        Ok(members)
    })
    .await;
    assert_eq!(members, [host.status().client_id]);
    let (_, instance) = members[0].split_once('@').unwrap();
    assert!(instance.starts_with("gantry#orders-") && instance.ends_with("@unit1"), "{instance}");
    // It is one of Gantry's to other hosts, whatever its name: they divide cooperatively.
    let other = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    world.cluster.send(&topic, &["once:1"]).await;
    eventually("the unit's retry comes again", async || {
        let ends = [host.observed.of("once:1"), other.observed.of("once:1")].concat();
        let again = ends.iter().any(|end| end.how == SettledAs::Success);
        that(again, || format!("{ends:?}"))
    })
    .await;
    other.stop().await;
    host.stop().await;
    world.cluster.end().await;
}

/// Apache's brokers listen for it two ports below their own; the embedded one does not, so a host there has no answers.
async fn a_host_consumes_through_the_vip_channel(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let setup = world
        .host_with("scripted", &group, &topic)
        .configure(|config| config.client.vip_channel_enabled = world.is_apache());
    let host = setup.with_file("scripted", "scripted").start().await;
    world.cluster.send(&topic, &["once:1", "ok"]).await;
    host.settled(3).await;
    world.cluster.all_committed(&group, &topic).await;
    host.stop().await;
    world.cluster.end().await;
}
