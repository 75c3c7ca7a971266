//! Plugins in C, Go, JavaScript and Python beside Rust: the same orders end the same, and one takes over from another.

use gantry_host::SettledAs;
use gantry_suite::{HostUnderTest, World, built, component, eventually_within, that, versioned};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

// One at a time: the first compiles, the others take what it has cached.
gantry_suite::scenarios! {
    quiet:
    the_same_orders_end_the_same_in_every_language,
    one_language_takes_over_from_another_under_load,
}

/// Compiling the largest runtime on a machine that does ten other things.
const COMPILED: Duration = Duration::from_secs(200);
/// Messages in one send, and as many as may wait.
const CHUNK: usize = 100;
const BACKLOG: usize = 4_000;
const SAMPLES: [&str; 5] = ["orders", "orders-c", "orders-go", "orders-js", "orders-py"];

const ORDERS: [&str; 14] = [
    r#"{"id":"A-1","status":"paid","amount":1999}"#,
    r#"{"id":"A-2","status":"created","amount":1}"#,
    r#"{"id":"A-3","status":"payment-pending","amount":1}"#,
    r#"{"id":"Ä-4","status":"paid","amount":5,"x":[1,{"id":2}]}"#,
    r#" { "amount" : 7 , "status" : "cancelled" , "id" : "5" } "#,
    r#"{"status":"paid","amount":1}"#,
    r#"{"id":"","status":"paid","amount":1}"#,
    r#"{"id":"A-6","status":"paid"}"#,
    r#"{"id":"A-7","status":"paid","amount":-1}"#,
    r#"{"id":"A","status":"paid","amount":1,"currency":"euro"}"#,
    r#"{"id":"A-8","status":"eaten","amount":1}"#,
    r#"{"id":"A-9","status":"paid","amount":"1"}"#,
    r#"{"id":"A-10","status":"paid","amount":1"#,
    "hello",
];

/// How a message ended, each time it came. What a language's parser says of a text that is no order is its own.
type Ends = Vec<(i32, SettledAs)>;

fn ends(host: &HostUnderTest, plugin: &str) -> BTreeMap<String, Ends> {
    let mut ends = BTreeMap::<String, Ends>::new();
    for record in host.observed.records().into_iter().filter(|record| record.plugin == plugin) {
        let how = match record.how {
            SettledAs::DeadLetter { reason } if reason.starts_with("not an order: ") => {
                SettledAs::DeadLetter { reason: "not an order".into() }
            }
            how => how,
        };
        ends.entry(record.body).or_default().push((record.reconsume_times, how));
    }
    ends
}

async fn serves(host: &HostUnderTest, stem: &str) {
    eventually_within(COMPILED, &format!("{stem} serves"), async || {
        let plugin = host.plugin(stem).ok_or("there is no such plugin yet")?;
        that(plugin.state == "active" && plugin.rejected.is_none(), || format!("{plugin:?}"))
    })
    .await;
}

async fn the_same_orders_end_the_same_in_every_language(world: World) {
    let samples = built(&SAMPLES);
    let mut setup = world.host();
    for stem in &samples {
        let topic = world.topic(stem, 2).await;
        world.cluster.send(&topic, &ORDERS).await;
        setup = setup.plugin(stem, &world.name(stem), &[(&topic, "*")]).with_file(stem, stem);
        setup = setup.plugin_settings(stem, |settings| settings.max_reconsume_times = Some(1));
    }
    let host = setup.start().await;
    for stem in &samples {
        serves(&host, stem).await;
    }
    // The pending payment comes a second time.
    host.settled(samples.len() * (ORDERS.len() + 1)).await;

    let expected = ends(&host, "orders");
    let pending = &expected[ORDERS[2]];
    assert_eq!(pending[0], (0, SettledAs::ReconsumeLater { level: 1 }));
    assert!(matches!(pending[1..], [(1, SettledAs::DeadLetter { .. })]), "{pending:?}");
    assert_eq!(expected[ORDERS[0]], [(0, SettledAs::Success)]);
    assert_eq!(expected.len(), ORDERS.len());
    for stem in &samples {
        assert_eq!(ends(&host, stem), expected, "{stem}");
        let dead: Vec<_> = ORDERS
            .into_iter()
            .filter(|order| !matches!(expected[*order].last(), Some((_, SettledAs::Success))))
            .collect();
        world.cluster.dead_lettered(&world.name(stem), &dead).await;
        world.cluster.all_committed(&world.name(stem), &world.name(stem)).await;
    }
    host.stop().await;
    world.cluster.end().await;
}

fn paid(number: usize) -> String {
    format!(r#"{{"id":"{number}","status":"paid","amount":1}}"#)
}

async fn one_language_takes_over_from_another_under_load(world: World) {
    // Each language, and the first again: the last swap comes back from the largest.
    let mut files: Vec<_> = built(&SAMPLES).into_iter().map(component).collect();
    files.push(versioned(SAMPLES[0], 1));
    let (topic, group) = (world.topic("t", 8).await, world.name("g"));
    let host = world.host_with("p", &group, &topic).start().await;
    host.deploy_bytes("p", &files[0]);
    serves(&host, "p").await;

    let (cluster, observed) = (&world.cluster, &host.observed);
    let swapped = AtomicBool::new(false);
    let sending = async {
        let mut sent = 0;
        while !swapped.load(Ordering::Relaxed) {
            if sent < observed.len() + BACKLOG {
                let orders: Vec<_> = (sent..sent + CHUNK).map(paid).collect();
                cluster.send_batch(&topic, &orders.iter().map(String::as_str).collect::<Vec<_>>()).await;
                sent += CHUNK;
            }
            // A steady load: a swap that has to compile first takes long, and all that was sent is kept until the end.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sent
    };
    let swapping = async {
        for (swap, file) in files.iter().enumerate().skip(1) {
            let before = observed.len();
            host.deploy_bytes("p", file);
            eventually_within(COMPILED, &format!("swap {swap} under load"), async || {
                let plugin = host.plugin("p").unwrap();
                let consumed = observed.len();
                that(plugin.swaps == swap as u64 && consumed > before, || format!("{consumed}, {plugin:?}"))
            })
            .await;
        }
        swapped.store(true, Ordering::Relaxed);
    };
    let (messages, ()) = tokio::join!(sending, swapping);
    eventually_within(Duration::from_secs(60), "everything is consumed", async || {
        that(observed.len() >= messages, || format!("{} of {messages}", observed.len()))
    })
    .await;
    println!("{messages} messages through {} swaps", files.len() - 1);
    let observed = std::sync::Arc::clone(&host.observed);
    host.stop().await;
    let consumed = observed.successes("p");
    let missing: Vec<_> = (0..messages).map(paid).filter(|order| !consumed.contains_key(order)).collect();
    assert!(missing.is_empty(), "{} lost, such as {:?}", missing.len(), missing.first());
    let stored: i64 = world.cluster.end_offsets(&topic).await.values().sum();
    assert_eq!((observed.len(), observed.duplicates()), (usize::try_from(stored).unwrap(), 0));
    world.cluster.end().await;
}
