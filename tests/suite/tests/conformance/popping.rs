//! Groups that pop: each message is settled by itself at its broker, and comes again where it is not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gantry_apache::{Consumer, ConsumerOptions};
use gantry_host::SettledAs;
use gantry_host::config::{Millis, RequestMode};
use gantry_suite::{
    HostSetup, HostUnderTest, Load, Observed, World, eventually, eventually_within, fed, installation, that,
    versioned,
};

use crate::members::Members;

gantry_suite::scenarios! {
    popped_messages_are_consumed_once_and_acknowledged,
    each_message_of_a_batch_has_its_own_result,
    a_message_comes_again_after_its_exact_delay,
    popped_messages_that_have_had_their_retries_are_dead_letters,
    two_hosts_share_a_brokers_queues,
    what_a_killed_host_had_popped_comes_to_the_others,
    a_stopped_host_gives_back_what_it_had_popped,
    what_a_removed_plugins_last_pop_brings_is_given_back,
    versions_change_under_popped_load,
    a_listener_at_work_keeps_its_message,
    java_and_gantry_pop_in_one_group,
}

/// Longer than anything takes that must be over by then.
const INVISIBLE: Millis = Millis(20_000);
/// What is not settled comes again after its invisible time, and Apache's revive log is read with some delay.
const AGAIN: Duration = Duration::from_secs(300);

fn popping(setup: HostSetup) -> HostSetup {
    setup.configure(|config| {
        config.consumer.mode = Some(RequestMode::Pop);
        config.consumer.pop_invisible_time = Some(INVISIBLE);
    })
}

fn scripted(world: &World, group: &str, topic: &str) -> HostSetup {
    popping(world.host_with("scripted", group, topic)).with_file("scripted", "scripted")
}

/// Waits until each of `ok 0` to `ok count-1` was consumed, by whoever tells this observer.
async fn all_consumed(observed: &Observed, count: usize) {
    eventually_within(AGAIN, &format!("all {count} messages are consumed"), async || {
        let missing = observed.missing(count);
        that(missing.is_empty(), || format!("{} are not, such as {:?}", missing.len(), missing.first()))
    })
    .await;
}

/// Waits until these, sorted, are the group's dead letters.
async fn dead_lettered(world: &World, group: &str, bodies: &[&str]) {
    eventually_within(AGAIN, &format!("{bodies:?} are dead letters"), async || {
        let mut letters = world.cluster.dead_letters(group).await;
        letters.sort();
        that(letters == bodies, || format!("{letters:?} are"))
    })
    .await;
}

/// Waits until the brokers have taken the results of everything the host popped.
async fn all_settled(host: &HostUnderTest, group: &str) {
    holds(host, group, |held| held == 0).await;
}

/// Waits until so many of the messages the host popped are not settled.
async fn holds(host: &HostUnderTest, group: &str, so_many: impl Fn(usize) -> bool) {
    eventually("so many messages are held", async || {
        let status = host.group(group).ok_or("there is no such group")?;
        let held: usize = status.queues.iter().map(|queue| queue.cached_messages).sum();
        that(!status.queues.is_empty() && so_many(held), || format!("{held} are: {status:?}"))
    })
    .await;
}

async fn popped_messages_are_consumed_once_and_acknowledged(world: World) {
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let host = scripted(&world, &group, &topic).start().await;
    let count = 2_000;
    world.cluster.send_many(&topic, count).await;
    all_consumed(&host.observed, count).await;
    all_settled(&host, &group).await;
    let observed = Arc::clone(&host.observed);
    assert!(observed.records().iter().all(|record| record.topic == topic && record.reconsume_times == 0));
    host.stop().await;

    // Had one not been acknowledged, its invisible time would be over.
    tokio::time::sleep(INVISIBLE.duration() + Duration::from_secs(10)).await;
    let host = scripted(&world, &group, &topic).observed_by(&observed).start().await;
    world.cluster.send(&topic, &["ok 2000"]).await;
    all_consumed(&observed, count + 1).await;
    assert_eq!(observed.duplicates(), 0);
    host.stop().await;
    world.cluster.end().await;
}

async fn each_message_of_a_batch_has_its_own_result(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let setup = scripted(&world, &group, &topic)
        .plugin_settings("scripted", |settings| settings.consume_message_batch_max_size = Some(8));
    world.cluster.send_batch(&topic, &["ok 0", "dead:rotten", "once-ms:500", "ok 1", "panic"]).await;
    let host =
        setup.plugin_settings("scripted", |settings| settings.max_reconsume_times = Some(1)).start().await;
    // By attempts the trap comes again after ten seconds, and that was its last retry.
    dead_lettered(&world, &group, &["dead:rotten", "panic"]).await;
    let ends = |body| {
        let ends = host.observed.of(body);
        ends.into_iter().map(|end| (end.reconsume_times, end.how)).collect::<Vec<_>>()
    };
    assert_eq!(ends("ok 0"), [(0, SettledAs::Success)]);
    assert_eq!(ends("ok 1"), [(0, SettledAs::Success)]);
    assert_eq!(ends("dead:rotten"), [(0, SettledAs::DeadLetter { reason: "rotten".into() })]);
    let [(0, SettledAs::ReconsumeLater { .. }), (1, SettledAs::Success)] = &ends("once-ms:500")[..] else {
        panic!("{:?}", ends("once-ms:500"));
    };
    let times: Vec<_> = ends("panic").iter().map(|(times, _)| *times).collect();
    assert_eq!(times, [0, 1]);
    all_settled(&host, &group).await;
    host.stop().await;
    world.cluster.end().await;
}

async fn a_message_comes_again_after_its_exact_delay(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let delays = [("once-ms:700", 700), ("once-ms:2300", 2_300), ("once:2", 5_000)];
    world.cluster.send_batch(&topic, &delays.map(|(body, _)| body)).await;
    let host = scripted(&world, &group, &topic).start().await;
    for (body, delay) in delays {
        let ends = eventually_within(AGAIN, &format!("{body} comes again"), async || {
            let ends = host.observed.of(body);
            that(ends.len() == 2, || format!("{ends:?}"))?;
            Ok(ends)
        })
        .await;
        assert_eq!((ends[1].reconsume_times, &ends[1].how), (1, &SettledAs::Success), "{body}");
        assert_eq!(ends[1].topic, topic, "{body} comes under the topic it was sent to");
        let took = ends[1].at - ends[0].at;
        println!("{body} came again after {took:?}");
        assert!(took >= Duration::from_millis(delay), "{body} came again after {took:?}");
    }
    host.stop().await;
    world.cluster.end().await;
}

async fn popped_messages_that_have_had_their_retries_are_dead_letters(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let host = scripted(&world, &group, &topic)
        .plugin_settings("scripted", |settings| settings.max_reconsume_times = Some(2))
        .start()
        .await;
    world.cluster.send(&topic, &["later-ms:100", "ok"]).await;
    dead_lettered(&world, &group, &["later-ms:100"]).await;
    let ends = host.observed.of("later-ms:100");
    assert_eq!(ends.iter().map(|end| end.reconsume_times).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(matches!(&ends[2].how, SettledAs::DeadLetter { reason } if reason.contains("limit")), "{ends:?}");
    assert_eq!(host.observed.of("ok").len(), 1);
    all_settled(&host, &group).await;
    host.stop().await;
    world.cluster.end().await;
}

/// Any member may pop any queue: nothing changes hands when one joins.
async fn two_hosts_share_a_brokers_queues(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let first = scripted(&world, &group, &topic).start().await;
    let load = Load::start(&world.cluster, &topic);
    first.settled(50).await;
    let second = scripted(&world, &group, &topic).start().await;
    second.settled(50).await;
    let before = first.observed.len();
    first.settled(before + 50).await;
    let sent = load.stop().await;
    eventually_within(AGAIN, "everything is consumed by one of them", async || {
        let seconds: BTreeSet<_> = second.observed.missing(sent).into_iter().collect();
        let missing = first.observed.missing(sent).into_iter().filter(|body| seconds.contains(body)).count();
        that(missing == 0, || format!("{missing} are not"))
    })
    .await;
    for host in [first, second] {
        host.stop().await;
    }
    world.cluster.end().await;
}

async fn what_a_killed_host_had_popped_comes_to_the_others(world: World) {
    let members = Members::new(&world, "killed", 4).await;
    let directory = tempfile::tempdir().unwrap();
    let setup = members.process(directory.path(), "mode = \"pop\"\npop-invisible-time = \"5s\"");
    let messages = 2_000;
    let play = async {
        let victim = setup.start(&members.ledger, "victim");
        members.consume_more(messages / 4).await;
        victim.kill();
        setup.start(&members.ledger, "survivor")
    };
    let (sent, survivor) = fed(&world.cluster, &members.topic, messages, &members.ledger, play).await;
    eventually_within(AGAIN, "everything is consumed", async || {
        let tally = members.tally(sent).await;
        that(tally.lost == 0, || tally.to_string())
    })
    .await;
    survivor.terminate();
    println!("{}", members.tally(sent).await);
    world.cluster.end().await;
}

/// What waited for its listener when the host stopped comes to another long before its invisible time would be over.
async fn a_stopped_host_gives_back_what_it_had_popped(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let observed = Arc::<Observed>::default();
    let setup = |stem: &str| {
        let setup = popping(world.host_with(stem, &group, &topic)).observed_by(&observed);
        let setup = setup.configure(|config| config.consumer.pop_invisible_time = Some(Millis(300_000)));
        setup.threads(1).with_file("scripted", stem)
    };
    world.cluster.send(&topic, &["spin"]).await;
    let first = setup("first").consume_timeout("first", 15_000).start().await;
    holds(&first, &group, |held| held == 1).await;
    world.cluster.send_many(&topic, 20).await;
    holds(&first, &group, |held| held > 1).await;
    first.stop().await;
    let second = setup("second").consume_timeout("second", 5_000).start().await;
    all_consumed(&observed, 20).await;
    second.stop().await;
    world.cluster.end().await;
}

/// A broker holds a pop for fifteen seconds, and the group may have ended before.
async fn what_a_removed_plugins_last_pop_brings_is_given_back(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let setup = || {
        scripted(&world, &group, &topic)
            .configure(|config| config.consumer.pop_invisible_time = Some(Millis(300_000)))
    };
    let host = setup().start().await;
    world.cluster.send(&topic, &["ok 0"]).await;
    all_consumed(&host.observed, 1).await;
    all_settled(&host, &group).await;
    host.remove("scripted");
    eventually("its group has ended", async || {
        that(host.group(&group).is_none(), || format!("{:?}", host.group(&group)))
    })
    .await;
    world.cluster.send(&topic, &["ok 0"]).await;
    let next = setup().start().await;
    all_consumed(&next.observed, 1).await;
    for host in [host, next] {
        host.stop().await;
    }
    world.cluster.end().await;
}

async fn versions_change_under_popped_load(world: World) {
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let host = popping(world.host_with("p", &group, &topic)).start().await;
    let versions = [versioned("scripted", 0), versioned("scripted", 1)];
    host.deploy_bytes("p", &versions[0]);
    host.active("p").await;
    let load = Load::start(&world.cluster, &topic);
    for swap in 1..=4 {
        host.settled(host.observed.len() + 50).await;
        host.deploy_bytes("p", &versions[swap % 2]);
        eventually_within(AGAIN, &format!("swap {swap}"), async || {
            let plugin = host.plugin("p").unwrap();
            that(plugin.swaps == swap as u64, || format!("{plugin:?}"))
        })
        .await;
    }
    host.settled(host.observed.len() + 50).await;
    let sent = load.stop().await;
    all_consumed(&host.observed, sent).await;
    all_settled(&host, &group).await;
    host.stop().await;
    world.cluster.end().await;
}

/// It takes more than twice the invisible time, by running into its deadline twice; no other delivery comes between, and its
/// result still counts.
async fn a_listener_at_work_keeps_its_message(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let host = scripted(&world, &group, &topic)
        .consume_timeout("scripted", 21_000)
        .plugin_settings("scripted", |settings| settings.max_reconsume_times = Some(0))
        .start()
        .await;
    world.cluster.send(&topic, &["spin"]).await;
    dead_lettered(&world, &group, &["spin"]).await;
    all_settled(&host, &group).await;
    let ends = host.observed.of("spin");
    let counts = host.group(&group).unwrap().counts;
    assert_eq!((ends.len(), counts.delivered, counts.expired), (1, 1, 0), "{ends:?}");
    assert!(counts.lengthened >= 1, "{counts:?}");
    host.stop().await;
    world.cluster.end().await;
}

async fn java_and_gantry_pop_in_one_group(world: World) {
    let Some(installation) = installation() else { return };
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let options = ConsumerOptions::new(&group, &topic).instance(&group).popping();
    let address = world.cluster.address();
    let mut java = tokio::task::block_in_place(|| Consumer::start(&installation, address, &options)).unwrap();
    let host = scripted(&world, &group, &topic).start().await;
    let load = Load::start(&world.cluster, &topic);
    let mut bodies = BTreeSet::new();
    let mut javas = |java: &mut Consumer| {
        while let Some(message) = tokio::task::block_in_place(|| java.consumed(Duration::ZERO)).unwrap() {
            bodies.insert(message.body);
        }
        bodies.clone()
    };
    eventually_within(AGAIN, "both consume", async || {
        let (by_java, by_gantry) = (javas(&mut java).len(), host.observed.len());
        that(by_java > 0 && by_gantry > 0, || format!("{by_java} by Java, {by_gantry} by Gantry"))
    })
    .await;
    let sent = load.stop().await;
    eventually_within(AGAIN, "everything is consumed by one of them", async || {
        let by_java = javas(&mut java);
        let missing = host.observed.missing(sent).into_iter().filter(|body| !by_java.contains(body)).count();
        that(missing == 0, || format!("{missing} are not"))
    })
    .await;
    tokio::task::block_in_place(|| java.quit()).unwrap();
    host.stop().await;
    world.cluster.end().await;
}
