//! Plugins in C, Go, JavaScript and Python beside Rust: the same orders end the same, and one takes over from another, as
//! listener, as selector and as strategy.

use gantry_host::client_instance::OutgoingMessage;
use gantry_host::config::StrategySetting;
use gantry_host::{Selectors, SettledAs};
use gantry_protocol::MessageQueue;
use gantry_suite::{
    HostUnderTest, Load, Observed, World, built, component, eventually_within, that, versioned,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::swapping::{divided, is_in_blocks};

// One at a time: the first compiles, the others take what it has cached.
gantry_suite::scenarios! {
    quiet:
    the_same_orders_end_the_same_in_every_language,
    one_language_takes_over_from_another_under_load,
    selectors_in_every_language_choose_for_messages_sent_meanwhile,
    strategies_in_every_language_divide_under_load,
}

/// Compiling the largest runtime on a machine that does ten other things.
const COMPILED: Duration = Duration::from_secs(400);
/// Messages in one send, and as many as may wait.
const CHUNK: usize = 100;
const BACKLOG: usize = 4_000;
const SAMPLES: [&str; 5] = ["orders", "orders-c", "orders-go", "orders-js", "orders-py"];
/// Listeners, selectors and strategies in one.
const ALL_ROLES: [&str; 4] = ["faulty-c", "faulty-go", "faulty-js", "faulty-py"];

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
    eventually_within(COMPILED, "everything is consumed", async || {
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

/// How many arguments there are: of one byte, of two, and so on.
const ARGUMENTS: usize = 16;

fn argument(number: usize) -> String {
    "x".repeat(1 + number % ARGUMENTS)
}

/// The queue that the selector in the file `choose` sends an argument to.
async fn chosen(selectors: &Selectors, queues: &[MessageQueue], arg: &str) -> i32 {
    let (selectors, queues, arg) = (selectors.clone(), queues.to_vec(), arg.to_owned());
    let choosing = move || {
        let message = gantry_engine::OutgoingMessage::default();
        queues[selectors.select("choose", &queues, &message, &arg).unwrap()].queue_id
    };
    tokio::task::spawn_blocking(choosing).await.unwrap()
}

/// Rust has another rule than the others, and comes first and last.
async fn selectors_in_every_language_choose_for_messages_sent_meanwhile(world: World) {
    let mut files = vec![component("jump-hash")];
    files.extend(built(&ALL_ROLES).into_iter().map(component));
    files.push(versioned("jump-hash", 1));
    let (topic, idle) = (world.topic("t", 8).await, world.topic("idle", 1).await);
    let host = world.host_with("choose", &world.name("g"), &idle).start().await;
    host.deploy_bytes("choose", &files[0]);
    serves(&host, "choose").await;

    let (selectors, producer) = (host.selectors(), world.cluster.patient_producer());
    let queues = producer.queues(&topic).await.unwrap();
    let (mut hashed, mut counted) = (BTreeMap::new(), BTreeMap::new());
    for arg in (0..ARGUMENTS).map(argument) {
        hashed.insert(arg.clone(), chosen(&selectors, &queues, &arg).await);
        counted.insert(arg.clone(), queues[arg.len() % queues.len()].queue_id);
    }
    assert_ne!(hashed, counted);

    let swapped = AtomicBool::new(false);
    let sending = async {
        let mut sent = 0;
        while !swapped.load(Ordering::Relaxed) {
            let arg = argument(sent);
            let id = chosen(&selectors, &queues, &arg).await;
            let queue = queues.iter().find(|queue| queue.queue_id == id).unwrap();
            producer.send_to(queue, &OutgoingMessage::new(&topic, arg)).await.unwrap();
            sent += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sent
    };
    let swapping = async {
        for (swap, file) in files.iter().enumerate().skip(1) {
            takes_over(&host, "choose", file, swap).await;
            let rule = if swap == files.len() - 1 { &hashed } else { &counted };
            for (arg, queue) in rule {
                assert_eq!(chosen(&selectors, &queues, arg).await, *queue, "{arg} after swap {swap}");
            }
        }
        swapped.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = tokio::join!(sending, swapping);
    println!("{sent} messages through {} swaps", files.len() - 1);
    for message in world.cluster.readable(&topic, sent).await {
        let arg = String::from_utf8(message.body().unwrap().to_vec()).unwrap();
        let allowed = [hashed[&arg], counted[&arg]];
        assert!(allowed.contains(&message.queue_id()), "{arg} in {}, not in {allowed:?}", message.queue_id());
    }
    let selections = host.plugin("choose").unwrap().selections.unwrap();
    assert_eq!(selections.fallbacks, 0, "of {}", selections.calls);
    host.stop().await;
    world.cluster.end().await;
}

/// Puts another version in its place and waits until it serves.
async fn takes_over(host: &HostUnderTest, stem: &str, file: &[u8], swap: usize) {
    host.deploy_bytes(stem, file);
    eventually_within(COMPILED, &format!("swap {swap}"), async || {
        let plugin = host.plugin(stem).unwrap();
        that(plugin.swaps == swap as u64, || format!("{plugin:?}"))
    })
    .await;
}

/// Between any two of the others comes Rust's, whose division is another: queues change hands each time.
async fn strategies_in_every_language_divide_under_load(world: World) {
    let (topic, group, idle) = (world.topic("t", 8).await, world.name("g"), world.topic("idle", 1).await);
    let observed = Arc::<Observed>::default();
    let host = || {
        let setup = world.host_with("p", &group, &topic).observed_by(&observed).configure(|config| {
            config.consumer.allocate_message_queue_strategy =
                Some(StrategySetting::Plugin("share".to_owned()));
        });
        let setup = setup.plugin("share", &world.name("idle"), &[(&idle, "*")]);
        setup.with_file("scripted", "p").with_file("strategy-blocks", "share").start()
    };
    let hosts = [host().await, host().await];
    divided(&hosts, &group, &topic, is_in_blocks).await;
    let load = Load::start(&world.cluster, &topic);
    let mut swap = 0;
    for language in built(&ALL_ROLES) {
        for (file, in_blocks) in
            [(component(language), false), (versioned("strategy-blocks", swap as u8), true)]
        {
            let consumed = observed.len();
            swap += 1;
            // One after the other: what the first compiles the second takes from the cache.
            for host in &hosts {
                takes_over(host, "share", &file, swap).await;
            }
            divided(&hosts, &group, &topic, |shares| is_in_blocks(shares) == in_blocks).await;
            eventually_within(COMPILED, "messages are consumed after it", async || {
                that(observed.len() > consumed, || format!("{consumed} and no more"))
            })
            .await;
        }
    }
    let sent = load.stop().await;
    eventually_within(COMPILED, "everything is consumed", async || {
        that(observed.missing(sent).is_empty(), || format!("{} are not", observed.missing(sent).len()))
    })
    .await;
    println!("{sent} messages through {swap} swaps, {} twice", observed.duplicates());
    for host in hosts {
        host.stop().await;
    }
    world.cluster.end().await;
}
