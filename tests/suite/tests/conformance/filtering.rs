//! Subscriptions: by SQL92, which the broker evaluates, and by tags, whose hashes it compares and the client their text.

use gantry_host::client_instance::OutgoingMessage;
use gantry_suite::World;

gantry_suite::scenarios! {
    a_condition_decides_on_properties_and_what_has_none_of_them_is_not_wanted,
    a_message_that_a_condition_wanted_comes_back_when_it_failed,
    tags_of_the_same_hash_reach_their_own_listeners,
}

gantry_suite::guarded_scenarios! {
    a_condition_decides_on_properties_and_what_has_none_of_them_is_not_wanted,
}

async fn a_condition_decides_on_properties_and_what_has_none_of_them_is_not_wanted(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let order = |body: &str| OutgoingMessage::new(&topic, body.to_owned());
    let messages = [
        order("ok dear and blue").with_property("amount", "500").with_property("color", "blue"),
        order("ok cheap and blue").with_property("amount", "5").with_property("color", "blue"),
        order("ok dear and red").with_property("amount", "500").with_property("color", "red"),
        order("ok dear without color").with_property("amount", "500"),
        order("ok cheap and green").with_property("amount", "5").with_property("color", "green"),
        order("ok without anything"),
    ];
    world.cluster.send_messages(&messages).await;
    let both = world.name("both");
    let setup =
        world.host().plugin_by_sql("a", &group, &topic, "amount > 100 AND color IN ('blue', 'green')");
    let setup = setup.plugin_by_sql("b", &both, &topic, "NOT (amount > 100) OR color IS NULL");
    let host = setup.with_file("scripted", "a").with_file("scripted", "b").start().await;
    host.settled(5).await;
    world.cluster.all_committed(&group, &topic).await;
    world.cluster.all_committed(&both, &topic).await;
    let bodies = |plugin| host.observed.successes(plugin).into_keys().collect::<Vec<_>>();
    assert_eq!(bodies("a"), ["ok dear and blue"]);
    // A comparison with nothing is neither true nor false, and neither is its opposite.
    assert_eq!(
        bodies("b"),
        ["ok cheap and blue", "ok cheap and green", "ok dear without color", "ok without anything"]
    );
    host.stop().await;
    world.cluster.end().await;
}

async fn a_message_that_a_condition_wanted_comes_back_when_it_failed(world: World) {
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let setup = world.host().plugin_by_sql("p", &group, &topic, "color = 'blue'");
    let host = setup.with_file("scripted", "p").start().await;
    let messages = ["blue", "red"]
        .map(|color| OutgoingMessage::new(&topic, format!("once:1 {color}")).with_property("color", color));
    world.cluster.send_messages(&messages).await;
    host.settled(2).await;
    let ends = host.observed.of("once:1 blue");
    assert_eq!(ends.iter().map(|end| end.reconsume_times).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(host.observed.of("once:1 red").len(), 0);
    host.stop().await;
    world.cluster.end().await;
}

/// RocketMQ's broker compares hashes of tags, and those of `Aa` and `BB` are equal.
async fn tags_of_the_same_hash_reach_their_own_listeners(world: World) {
    let topic = world.topic("t", 2).await;
    let (one, other) = (world.name("one"), world.name("other"));
    let setup = world.host().plugin("a", &one, &[(&topic, "Aa")]).plugin("b", &other, &[(&topic, "BB || C")]);
    let host = setup.with_file("scripted", "a").with_file("scripted", "b").start().await;
    let tagged = |(number, tag): (usize, &str)| {
        OutgoingMessage::new(&topic, format!("ok {tag} {number}")).with_tag(tag)
    };
    let tags = ["Aa", "BB", "C", "D", "Aa", "BB", "BB"];
    let messages: Vec<_> = tags.into_iter().enumerate().map(tagged).collect();
    world.cluster.send_messages(&messages).await;
    host.settled(6).await;
    world.cluster.all_committed(&one, &topic).await;
    world.cluster.all_committed(&other, &topic).await;
    let bodies = |plugin| host.observed.successes(plugin).into_keys().collect::<Vec<_>>();
    assert_eq!(bodies("a"), ["ok Aa 0", "ok Aa 4"]);
    assert_eq!(bodies("b"), ["ok BB 1", "ok BB 5", "ok BB 6", "ok C 2"]);
    assert_eq!(host.observed.len(), 6);
    host.stop().await;
    world.cluster.end().await;
}
