//! RocketMQ's own mqadmin shows and drives a host.

use std::time::Duration;

use gantry_apache::Client;
use gantry_host::client_instance::SendReceipt;
use gantry_suite::{
    BrokerKind, HostUnderTest, Needs, World, eventually, eventually_within, installation, that,
};

gantry_suite::scenarios! {
    mqadmin_shows_members_progress_and_what_goes_on,
    an_operator_sets_offsets_and_messages_come_again,
    an_operator_has_messages_consumed_and_nothing_else_changes,
}

/// A reset waits at the broker for the queue's next pull, which may be held for 15 s.
const RESETTING: Duration = Duration::from_secs(180);

/// mqadmin at work, in a process of its own.
struct Operator(Client);

impl Operator {
    /// None, with a note, where there is no Java.
    fn of(world: &World) -> Option<Self> {
        let installation = installation()?;
        let address = world.cluster.address();
        Some(Self(tokio::task::block_in_place(|| Client::start(&installation, address)).unwrap()))
    }

    /// What a command prints. mqadmin waits 5 s for each answer, however busy the machine: it is asked again then.
    fn says(&mut self, arguments: &[&str]) -> String {
        let mut text = String::new();
        for _ in 0..5 {
            text = tokio::task::block_in_place(|| self.0.mqadmin(arguments)).unwrap();
            if !text.contains("RemotingTimeoutException") {
                break;
            }
        }
        text
    }

    /// What the command prints, which must hold all of this.
    fn shows(&mut self, arguments: &[&str], expected: &[&str]) {
        let text = self.says(arguments);
        for part in expected {
            assert!(text.contains(part), "{arguments:?} does not say {part:?} but: {text}");
        }
    }
}

async fn mqadmin_shows_members_progress_and_what_goes_on(world: World) {
    let Some(mut operator) = Operator::of(&world) else { return };
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let setup = world.host_with("scripted", &group, &topic).consume_timeout("scripted", 15_000);
    let host = setup.with_file("scripted", "scripted").start().await;
    world.cluster.send(&topic, &["ok 0", "later:18", "ok 1", "ok 2"]).await;
    host.settled(4).await;
    world.cluster.all_committed(&group, &topic).await;
    let client_id = host.status().client_id;
    operator.shows(&["consumerProgress", "-g", &group], &[&topic, "Diff Total: 0"]);
    operator.shows(&["consumerConnection", "-g", &group], &[&client_id, "RUST", &topic, "CLUSTERING"]);
    let settings =
        ["PROP_CONSUME_TYPE", "CONSUME_PASSIVELY", "PROP_CONSUMEORDERLY", "CONSUME_FROM_FIRST_OFFSET"];
    let status = ["consumerStatus", "-g", &group, "-i", &client_id];
    operator.shows(&status, &[&settings[..], &[&topic, "#Consumer RT&TPS#", "scripted"]].concat());
    operator.shows(&[&status[..], &["-s", "true"]].concat(), &["no batch is at a plugin"]);
    world.cluster.send(&topic, &["spin"]).await;
    eventually("the plugin works on a message", async || {
        let text = operator.says(&[&status[..], &["-s", "true"]].concat());
        that(text.contains("plugin scripted: 1 messages of"), || text)
    })
    .await;
    host.stop().await;
    world.cluster.end().await;
}

async fn an_operator_sets_offsets_and_messages_come_again(world: World) {
    let Some(mut operator) = Operator::of(&world) else { return };
    resets(&world, &mut operator).await;
    world.cluster.end().await;
}

/// As brokers before 5.0 do by themselves, and later ones when told to.
#[test]
fn offsets_pushed_by_the_broker_make_messages_come_again() {
    gantry_suite::run(
        BrokerKind::Apache,
        Needs { own: true, quiet: false },
        "offsets_pushed_by_the_broker",
        async |world: World| {
            let Some(mut operator) = Operator::of(&world) else { return };
            let route = world.cluster.client().route("TBW102").await.unwrap();
            let broker = route.masters().next().unwrap().1.to_string();
            let setting =
                ["updateBrokerConfig", "-b", &broker, "-k", "useServerSideResetOffset", "-v", "false"];
            operator.shows(&setting, &["success"]);
            resets(&world, &mut operator).await;
            world.cluster.end().await;
        },
    );
}

async fn resets(world: &World, operator: &mut Operator) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let host = world.host_with("scripted", &group, &topic).with_file("scripted", "scripted").start().await;
    world.cluster.send_many(&topic, 20).await;
    host.consumed(20).await;
    world.cluster.all_committed(&group, &topic).await;
    let reset = ["resetOffsetByTime", "-g", &group, "-t", &topic, "-s", "0"];
    operator.shows(&reset, &["#offset"]);
    eventually_within(RESETTING, "everything comes again", async || {
        let twice = (0..20).filter(|number| host.observed.of(&format!("ok {number}")).len() >= 2).count();
        that(twice == 20, || format!("{twice} of 20 did"))
    })
    .await;
    world.cluster.all_committed(&group, &topic).await;
    host.stop().await;
}

async fn an_operator_has_messages_consumed_and_nothing_else_changes(world: World) {
    let Some(mut operator) = Operator::of(&world) else { return };
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let setup = world.host_with("scripted", &group, &topic).consume_timeout("scripted", 1_000);
    let host = setup.with_file("scripted", "scripted").start().await;
    let bodies = ["ok", "later:18", "dead:rotten", "panic", "spin"];
    let sent = world.cluster.send(&topic, &bodies).await;
    host.settled(bodies.len()).await;
    world.cluster.all_committed(&group, &topic).await;
    let offsets = world.cluster.offsets(&group, &topic).await;
    let answers: [&[&str]; 5] = [
        &["CR_SUCCESS"],
        &["CR_LATER"],
        &["CR_LATER", "to the dead-letter topic: rotten"],
        &["CR_THROW_EXCEPTION", "the listener trapped"],
        &["CR_THROW_EXCEPTION", "deadline of 1s"],
    ];
    for (receipt, expected) in sent.iter().zip(answers) {
        operator.shows(&directly(&host, &group, &topic, receipt).each_ref().map(String::as_str), expected);
    }
    let other = world.topic("other", 1).await;
    let elsewhere = world.cluster.send(&other, &["ok"]).await;
    let arguments = directly(&host, &group, &other, &elsewhere[0]);
    operator.shows(&arguments.each_ref().map(String::as_str), &["no plugin of group", &other]);
    assert_eq!(world.cluster.offsets(&group, &topic).await, offsets);
    // The others come again by themselves.
    for body in ["ok", "later:18", "dead:rotten"] {
        assert_eq!(host.observed.of(body).len(), 1, "observers are told of the group's own messages only");
    }
    host.stop().await;
    world.cluster.end().await;
}

/// mqadmin's way to have one client consume one message.
fn directly(host: &HostUnderTest, group: &str, topic: &str, message: &SendReceipt) -> [String; 9] {
    let client_id = host.status().client_id;
    let id = message.offset_msg_id.as_str();
    ["queryMsgById", "-g", group, "-t", topic, "-d", &client_id, "-i", id].map(str::to_owned)
}
