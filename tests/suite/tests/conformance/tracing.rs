//! What becomes of a message, told to the broker, as mqadmin reads it.

use gantry_apache::Client;
use gantry_suite::{World, eventually, installation, that};

gantry_suite::scenarios! {
    mqadmin_reads_what_a_host_tells_of_a_message,
}

async fn mqadmin_reads_what_a_host_tells_of_a_message(world: World) {
    let Some(installation) = installation() else { return };
    let (topic, group) = (world.topic("t", 2).await, world.name("g"));
    let setup = world.host_with("scripted", &group, &topic).configure(|config| config.trace.enabled = true);
    let host = setup.with_file("scripted", "scripted").start().await;
    let [good, later] = &world.cluster.send(&topic, &["ok", "later:18"]).await[..] else { panic!() };
    host.settled(2).await;
    // The last traces leave with the host.
    host.stop().await;

    let address = world.cluster.address();
    let mut operator = tokio::task::block_in_place(|| Client::start(&installation, address)).unwrap();
    for (message, status) in [(good, "success"), (later, "failed")] {
        let asked = ["queryMsgTraceById", "-i", &message.message_id];
        let told = eventually("the trace can be read", async || {
            let told = tokio::task::block_in_place(|| operator.mqadmin(&asked)).unwrap();
            that(told.contains(&group), || told.clone())?;
            Ok(told)
        })
        .await;
        let line = told.lines().find(|line| line.contains(&group)).unwrap();
        assert!(line.contains(status), "{told}");
    }
    world.cluster.end().await;
}
