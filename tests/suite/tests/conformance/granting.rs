//! What plugins are granted: sending on, a store that outlives them, figures; and what they are not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gantry_host::SettledAs;
use gantry_host::client_instance::OutgoingMessage;
use gantry_suite::{HostSetup, HostUnderTest, World, versioned, warned};

gantry_suite::scenarios! {
    a_plugin_sends_on_and_its_counts_outlive_a_swap_and_a_restart,
    a_plugin_without_its_grants_is_rejected_with_the_lines_to_add,
    ordered_sends_of_one_key_share_a_queue,
    sends_end_as_values_and_delayed_ones_arrive,
    a_plugin_replies_to_a_request,
    what_a_plugin_logs_is_in_the_log_under_its_name,
}

gantry_suite::guarded_scenarios! {
    a_plugin_sends_on_and_its_counts_outlive_a_swap_and_a_restart,
    ordered_sends_of_one_key_share_a_queue,
    sends_end_as_values_and_delayed_ones_arrive,
}

const GRANTS: [&str; 4] = ["producer", "keyvalue", "logging", "metrics"];

/// Grants the plugin in the file `stem` these, by name, and these values of configuration.
fn granted(setup: HostSetup, stem: &str, grants: &[&str], config: &[(&str, &str)]) -> HostSetup {
    setup.plugin_settings(stem, |settings| {
        settings.grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        settings.config = Some(config.iter().map(pair).collect());
    })
}

fn orders(topic: &str, ids: std::ops::Range<usize>) -> Vec<OutgoingMessage> {
    let order = |id| format!(r#"{{"id":"A-{id}","status":"paid","amount":1999}}"#);
    ids.map(|id| OutgoingMessage::new(topic, order(id)).with_tag("paid")).collect()
}

async fn a_plugin_sends_on_and_its_counts_outlive_a_swap_and_a_restart(world: World) {
    let (topic, group) = (world.topic("t", 4).await, world.name("g"));
    let target = world.topic("numbered", 4).await;
    let setup = granted(world.host_with("enrich", &group, &topic), "enrich", &GRANTS, &[("target", &target)]);
    let host = setup.with_file("enrich", "enrich").start().await;
    host.active("enrich").await;

    world.cluster.send_messages(&orders(&topic, 0..10)).await;
    host.settled(10).await;
    host.deploy_bytes("enrich", &versioned("enrich", 1));
    gantry_suite::eventually("the other version serves", async || {
        let plugin = host.plugin("enrich").unwrap();
        gantry_suite::that(plugin.swaps == 1, || format!("{plugin:?}"))
    })
    .await;
    world.cluster.send_messages(&orders(&topic, 10..15)).await;
    host.settled(15).await;
    let figures = host.plugin_metrics();
    let line = "gantry_plugin_orders_numbered_total{currency=\"EUR\",plugin=\"enrich\"} 15\n";
    assert!(figures.contains(line), "{figures}");
    world.cluster.all_committed(&group, &topic).await;

    let host = host.stop().await.start().await;
    world.cluster.send_messages(&orders(&topic, 15..20)).await;
    host.settled(20).await;
    world.cluster.all_committed(&group, &topic).await;

    let sent = world.cluster.readable(&target, 20).await;
    let bodies: Vec<String> =
        sent.iter().map(|message| String::from_utf8_lossy(&message.body().unwrap()).into_owned()).collect();
    let numbers: BTreeSet<u64> = bodies.iter().map(|body| number(body)).collect();
    assert_eq!(
        numbers,
        (1..=20).collect(),
        "each has its own, and the last run goes on from the first: {bodies:?}"
    );
    let queues: BTreeSet<i32> = sent.iter().map(|message| message.queue_id()).collect();
    assert_eq!(queues.len(), 1, "one currency, one queue");
    assert!(sent.iter().all(|message| message.tags() == Some("EUR")));
    host.stop().await;
    world.cluster.end().await;
}

/// `number` of a body such as `{"number":7}`.
fn number(body: &str) -> u64 {
    let (_, after) = body.split_once("\"number\":").unwrap();
    after.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

async fn a_plugin_without_its_grants_is_rejected_with_the_lines_to_add(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let host = world
        .host_with("enrich", &group, &topic)
        .plugin_settings("enrich", |settings| settings.grants = vec!["clocks".to_owned()])
        .with_file("enrich", "enrich")
        .start()
        .await;
    let reason = host.rejected("enrich").await;
    let line = r#"grants = ["clocks", "producer", "keyvalue", "logging", "metrics"] under [plugin.enrich]"#;
    assert!(reason.contains(line) && reason.contains("[plugin.enrich.config]"), "{reason}");
    host.stop().await;

    let host = world
        .host_with("enrich", &group, &topic)
        .plugin_settings("enrich", |settings| settings.grants = vec!["network".to_owned()])
        .with_file("enrich", "enrich")
        .start()
        .await;
    let reason = host.rejected("enrich").await;
    assert!(reason.starts_with("[plugin.enrich] grants: `network` is not something"), "{reason}");
    host.stop().await;
    world.cluster.end().await;
}

async fn ordered_sends_of_one_key_share_a_queue(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let target = world.topic("out", 4).await;
    let setup = granted(world.host_with("p", &group, &topic), "p", &GRANTS, &[]);
    let host = setup.with_file("uses-grants", "p").start().await;
    // `"hello".hashCode()` is 99162322, `"A-17".hashCode()` 1981234, `"b".hashCode()` 98; no selector plugin is there, so that
    // the hash chooses for it too.
    let expected = [
        (format!("ordered:{target} hello=1"), "2"),
        (format!("ordered:{target} A-17=2"), "2"),
        (format!("ordered:{target} b=3"), "2"),
        (format!("ordered:{target} a=4"), "1"),
        (format!("plugin:{target} a=5"), "1"),
        (format!("ordered:{target} a=6"), "1"),
    ];
    let scripts: Vec<_> = expected.iter().map(|(script, _)| script.as_str()).collect();
    world.cluster.send(&topic, &scripts).await;
    host.settled(expected.len()).await;
    for (script, queue) in &expected {
        let ends = host.observed.of(script);
        let dead = SettledAs::DeadLetter { reason: (*queue).to_owned() };
        assert_eq!(ends.iter().map(|end| end.how.clone()).collect::<Vec<_>>(), [dead], "{script}");
    }
    let mut queues = BTreeMap::<i32, Vec<String>>::new();
    for message in world.cluster.readable(&target, 6).await {
        let body = String::from_utf8_lossy(&message.body().unwrap()).into_owned();
        queues.entry(message.queue_id()).or_default().push(body);
    }
    for bodies in queues.values_mut() {
        bodies.sort();
    }
    let (one, two) = (["4", "5", "6"].map(str::to_owned).into(), ["1", "2", "3"].map(str::to_owned).into());
    assert_eq!(queues, BTreeMap::from([(1, one), (2, two)]));
    host.stop().await;
    world.cluster.end().await;
}

/// What came of a script, as the dead letter of `uses-grants` says.
fn told(host: &HostUnderTest, script: &str) -> String {
    match host.observed.of(script).as_slice() {
        [end] => match &end.how {
            SettledAs::DeadLetter { reason } => reason.clone(),
            other => panic!("{script}: {other:?}"),
        },
        ends => panic!("{script}: {ends:?}"),
    }
}

async fn sends_end_as_values_and_delayed_ones_arrive(world: World) {
    let (topic, group, out) = (world.topic("t", 1).await, world.name("g"), world.topic("o", 2).await);
    let setup = granted(world.host_with("p", &group, &topic), "p", &GRANTS, &[]);
    let host = setup.with_file("uses-grants", "p").start().await;
    let (sent, one_way, later) =
        (format!("send:{out}=a"), format!("one-way:{out}=b"), format!("later:{out} 3000=c"));
    let empty = format!("send:{out}=");
    let scripts = [&sent, &one_way, &later, &empty, "send:a.b=x", "send:TBW102=x"];
    world.cluster.send(&topic, &scripts.map(|script| script as &str)).await;
    host.settled(scripts.len()).await;
    assert_eq!(told(&host, &one_way), "handed on");
    for (script, rule) in
        [(&*empty, "its body is empty"), ("send:a.b=x", "breaks a rule"), ("send:TBW102=x", "themselves")]
    {
        let told = told(&host, script);
        assert!(told.contains(rule), "{script}: {told}");
    }
    let arrived = world.cluster.readable(&out, 3).await;
    let of = |body: &[u8]| arrived.iter().find(|message| message.body().unwrap() == body).unwrap();
    let (first, delayed) = (of(b"a"), of(b"c"));
    assert_eq!(first.message_id(), told(&host, &sent));
    assert_eq!(delayed.message_id(), told(&host, &later));
    assert_eq!((first.tags(), first.property("by")), (Some("sent"), Some("uses-grants")));
    let waited = delayed.store_timestamp() - delayed.born_timestamp();
    assert!(waited >= 1_500, "3 s, which brokers may cut to whole seconds: {waited} ms");
    host.stop().await;
    world.cluster.end().await;
}

async fn a_plugin_replies_to_a_request(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let setup = granted(world.host_with("p", &group, &topic), "p", &GRANTS, &[]);
    let host = setup.with_file("uses-grants", "p").start().await;
    let question = OutgoingMessage::new(&topic, "reply:grüße");
    let reply = world.cluster.patient_producer().request(&question, Duration::from_secs(60)).await.unwrap();
    assert_eq!(reply.body().unwrap(), "grüße".as_bytes());
    world.cluster.send(&topic, &["reply:to nobody"]).await;
    host.settled(2).await;
    assert_eq!(told(&host, "reply:grüße"), "replied");
    let refused = told(&host, "reply:to nobody");
    assert!(refused.contains("needs property CORRELATION_ID"), "{refused}");
    host.stop().await;
    world.cluster.end().await;
}

async fn what_a_plugin_logs_is_in_the_log_under_its_name(world: World) {
    let (topic, group) = (world.topic("t", 1).await, world.name("g"));
    let stem = "talkative";
    let setup = granted(world.host_with(stem, &group, &topic), stem, &GRANTS, &[])
        .plugin_settings(stem, |settings| settings.logging.lines_per_second = 5);
    let host = setup.with_file("uses-grants", stem).start().await;
    let line = format!("the rates of {topic} are old");
    // One after the other: a flood beside it would take the line's place.
    world.cluster.send(&topic, &[&format!("log:{line}")]).await;
    host.settled(1).await;
    world.cluster.send(&topic, &["flood:1000"]).await;
    host.settled(2).await;
    let logged = warned(stem, &line).unwrap();
    assert!(logged.contains("WARN"), "{logged}");
    let cut = warned(stem, "more than 5 lines a second").unwrap();
    assert!(cut.contains("lines-per-second under [plugin.talkative.logging]"), "{cut}");
    host.stop().await;
    world.cluster.end().await;
}
