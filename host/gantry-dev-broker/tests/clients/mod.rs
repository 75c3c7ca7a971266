//! What every client of RocketMQ must be able to do with the embedded broker, whatever its language.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gantry_apache::{
    Client, ClientProgram, Consumer, ConsumerOptions, DriverError, Outgoing, Stored, TransactionState,
};
use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Storage};
use tokio::runtime::Runtime;

/// How long anything may take: a client's own timers run every 20 to 30 s, its first heartbeat may stall it for as long, and
/// the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(180);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// The embedded broker in this process, on a runtime of its own.
pub struct Server {
    runtime: Runtime,
    broker: Option<Broker>,
    config: BrokerConfig,
}

impl Server {
    pub fn in_memory() -> Self {
        Self::start(BrokerConfig::default())
    }

    pub fn in_directory(path: PathBuf) -> Self {
        let storage = Storage::Directory { path, fsync: FsyncPolicy::Os };
        Self::start(BrokerConfig { storage, ..BrokerConfig::default() })
    }

    /// Starts a broker with these settings, on a port of its own.
    pub fn start(mut config: BrokerConfig) -> Self {
        let runtime = Runtime::new().unwrap();
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.timing.drain = Duration::from_millis(100);
        let mut server = Self { runtime, broker: None, config };
        server.start_broker();
        server.config.listen = server.broker.as_ref().unwrap().local_addr();
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.config.listen
    }

    /// Lets the broker's leases run this much longer at once.
    pub fn advance_clock(&self, by: Duration) {
        self.broker.as_ref().unwrap().advance_clock(by);
    }

    /// Stops the broker and starts it again, on its port and storage.
    pub fn restart(&mut self) {
        self.runtime.block_on(self.broker.take().unwrap().stop());
        self.start_broker();
    }

    fn start_broker(&mut self) {
        self.broker = Some(self.runtime.block_on(Broker::start(self.config.clone())).unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.take() {
            self.runtime.block_on(broker.stop());
        }
    }
}

/// Looks again and again until there is something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// The next `count` messages of these members together.
pub fn consumed(members: &mut [&mut Consumer], count: usize) -> Vec<Stored> {
    let mut all = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while all.len() < count {
        for member in members.iter_mut() {
            all.extend(member.consumed(Duration::from_millis(20)).unwrap());
        }
        assert!(Instant::now() < deadline, "{} of {count} within {PATIENCE:?}: {all:?}", all.len());
    }
    all
}

/// The bodies of the next `count` messages of this member that were not consumed before, in the order they came in. Clients
/// promise at least once: the Go client sometimes commits one short at its end, and one a queue comes again.
fn fresh(member: &mut Consumer, count: usize, before: &[Stored]) -> Vec<String> {
    let mut fresh = Vec::new();
    while fresh.len() < count {
        let message = consumed(&mut [&mut *member], 1).remove(0);
        if !before.iter().any(|earlier| earlier.msg_id == message.msg_id) {
            fresh.push(message.body);
        }
    }
    fresh
}

/// The group's members leave, and none has consumed anything more.
pub fn leave(members: impl IntoIterator<Item = Consumer>) {
    for mut member in members {
        settled(&mut member);
        assert_eq!(member.quit().unwrap(), [], "consumed though everything had been");
    }
}

/// Waits until the member has settled all it took.
pub fn settled(member: &mut Consumer) {
    eventually("the member has settled what it took", || (member.pending().unwrap() == 0).then_some(()));
}

/// Which queues of the topic the member owns.
pub fn owned(member: &mut Consumer, topic: &str) -> BTreeSet<i32> {
    let queues = member.queues().unwrap();
    queues.into_iter().filter(|queue| queue.topic == topic).map(|queue| queue.queue_id).collect()
}

pub fn owns(member: &mut Consumer, topic: &str, count: usize) {
    eventually(&format!("{count} queues of {topic}"), || (owned(member, topic).len() == count).then_some(()));
}

pub fn bodies(messages: &[Stored]) -> Vec<&str> {
    messages.iter().map(|message| message.body.as_str()).collect()
}

fn sorted(messages: &[Stored]) -> Vec<String> {
    let mut bodies: Vec<_> = messages.iter().map(|message| message.body.clone()).collect();
    bodies.sort();
    bodies
}

fn named(prefix: &str, count: usize) -> Vec<String> {
    let mut names: Vec<_> = (0..count).map(|number| format!("{prefix}-{number}")).collect();
    names.sort();
    names
}

/// A member of the group `g`, subscribed to `topic`; options are added by the caller.
pub fn options(instance: &str) -> ConsumerOptions {
    ConsumerOptions::new("g", "topic").instance(instance)
}

/// A broker, a client, and the topic `topic` with this many queues.
pub fn world(program: &impl ClientProgram, queues: u32) -> (Server, Client) {
    let server = Server::in_memory();
    let mut client = Client::start(program, server.address()).unwrap();
    client.create_topic("topic", queues).unwrap();
    (server, client)
}

/// A push consumer gets what was sent, with all that was said of it.
pub fn messages_arrive_once_each(program: &impl ClientProgram) {
    let (server, mut client) = world(program, 4);
    let mut consumer = Consumer::start(program, server.address(), &options("one")).unwrap();
    client.send_many("topic", "t", "m", 60, 1).unwrap();
    client.send_many("topic", "t", "batch", 40, 10).unwrap();
    let messages = consumed(&mut [&mut consumer], 100);
    let mut expected = [named("m", 60), named("batch", 40)].concat();
    expected.sort();
    assert_eq!(sorted(&messages), expected);
    let places: BTreeSet<_> = messages.iter().map(|message| (message.queue_id, message.offset)).collect();
    let ids: BTreeSet<_> = messages.iter().map(|message| &message.msg_id).collect();
    assert_eq!((places.len(), ids.len()), (100, 100));
    for message in &messages {
        assert_eq!(message.keys.as_ref(), Some(&message.body));
        assert_eq!((message.tags.as_deref(), message.reconsume_times), (Some("t"), 0));
    }
    leave([consumer]);
    client.quit().unwrap();
}

/// Tags are filtered, and a delayed message comes when its delay is over.
pub fn tags_keys_and_delays_are_kept(program: &impl ClientProgram) {
    let (server, mut client) = world(program, 2);
    let mut consumer = Consumer::start(program, server.address(), &options("one").tags("a || b")).unwrap();
    let message = |body, tag| Outgoing::new("topic", body).tags(tag);
    client.send(&message("not wanted", "c")).unwrap();
    let before = now();
    let delayed = client.send(&message("delayed", "b").delay_level(1)).unwrap();
    let sent =
        client.send(&message("keyed", "a").keys("k1 k2").property("colour", "blue").queue_id(1)).unwrap();
    assert_eq!((sent.status.as_str(), sent.queue_id), ("SEND_OK", 1));

    // A client that was slow to begin may find both waiting, in queues it reads in any order.
    let mut messages = consumed(&mut [&mut consumer], 2);
    messages.sort_by(|one, other| other.body.cmp(&one.body));
    assert_eq!(bodies(&messages), ["keyed", "delayed"]);
    let keyed = &messages[0];
    assert_eq!((&keyed.msg_id, keyed.queue_id, keyed.offset), (&sent.msg_id, 1, sent.offset));
    assert_eq!((keyed.keys.as_deref(), keyed.properties["colour"].as_str()), (Some("k1 k2"), "blue"));
    assert_eq!((&messages[1].msg_id, messages[1].tags.as_deref()), (&delayed.msg_id, Some("b")));
    // Level 1 is one second.
    assert!(messages[1].store_timestamp >= before + 1000, "{messages:?}");
    leave([consumer]);
}

/// A message given back comes again from the retry topic, as what it was, after the delay that was asked for.
pub fn a_retry_comes_back_after_its_level(program: &impl ClientProgram) {
    let (server, mut client) = world(program, 2);
    let options = options("one").retry_level(1);
    let mut consumer = Consumer::start(program, server.address(), &options).unwrap();
    client.send(&Outgoing::new("topic", "later, please").tags("t").keys("k")).unwrap();
    let messages = consumed(&mut [&mut consumer], 2);
    let (first, again) = (&messages[0], &messages[1]);
    assert_eq!((first.reconsume_times, again.reconsume_times), (0, 1));
    for message in [first, again] {
        assert_eq!((message.topic.as_str(), message.body.as_str()), ("topic", "later, please"));
        assert_eq!((message.keys.as_deref(), message.tags.as_deref()), (Some("k"), Some("t")));
    }
    // Level 1 is one second; the level the broker would have taken is the third.
    assert_eq!(again.properties["DELAY"], "1");
    let delay = again.store_timestamp - first.store_timestamp;
    assert!(delay >= 1000, "came again after {delay} ms");
    leave([consumer]);
}

/// Members share the queues, and who stays takes over where who leaves has stopped.
pub fn members_join_and_leave(program: &impl ClientProgram) {
    let (server, mut client) = world(program, 4);
    let member = |name| Consumer::start(program, server.address(), &options(name)).unwrap();
    let mut one = member("one");
    owns(&mut one, "topic", 4);
    let mut two = member("two");
    owns(&mut one, "topic", 2);
    owns(&mut two, "topic", 2);
    let both: BTreeSet<_> = &owned(&mut one, "topic") | &owned(&mut two, "topic");
    assert_eq!(both, BTreeSet::from([0, 1, 2, 3]));

    client.send_many("topic", "t", "shared", 40, 1).unwrap();
    let messages = consumed(&mut [&mut one, &mut two], 40);
    assert_eq!(sorted(&messages), named("shared", 40));
    leave([two]);
    owns(&mut one, "topic", 4);
    client.send_many("topic", "t", "alone", 20, 1).unwrap();
    let mut alone = fresh(&mut one, 20, &messages);
    alone.sort();
    assert_eq!(alone, named("alone", 20));
    leave([one]);
}

/// A member that is killed loses its queues as soon as its connection is gone.
pub fn a_killed_member_is_replaced(program: &impl ClientProgram) {
    let (server, mut client) = world(program, 4);
    let member = |name| Consumer::start(program, server.address(), &options(name)).unwrap();
    let (mut one, mut two) = (member("one"), member("two"));
    owns(&mut one, "topic", 2);
    owns(&mut two, "topic", 2);
    drop(two);
    owns(&mut one, "topic", 4);
    client.send_many("topic", "t", "m", 20, 1).unwrap();
    assert_eq!(sorted(&consumed(&mut [&mut one], 20)), named("m", 20));
    leave([one]);
}

/// An orderly consumer gets each queue in its order, and what it gives back again before anything behind it.
pub fn an_orderly_consumer_gets_queues_in_order(program: &impl ClientProgram) {
    let (server, mut client) = world(program, 2);
    let member = |name| Consumer::start(program, server.address(), &options(name).orderly()).unwrap();
    let mut one = member("one");
    for (queue, body) in [(0, "a1"), (1, "b1"), (0, "later a2"), (1, "b2"), (0, "a3"), (1, "b3"), (0, "a4")] {
        client.send(&Outgoing::new("topic", body).queue_id(queue)).unwrap();
    }
    let messages = consumed(&mut [&mut one], 8);
    let of =
        |queue| messages.iter().filter(move |message| message.queue_id == queue).cloned().collect::<Vec<_>>();
    assert_eq!(bodies(&of(0)), ["a1", "later a2", "later a2", "a3", "a4"]);
    assert_eq!(bodies(&of(1)), ["b1", "b2", "b3"]);

    leave([one]);

    // It has given its locks back: who comes next need not wait for them to end.
    let mut two = member("two");
    let more: Vec<_> = (5..15).map(|number| format!("a{number}")).collect();
    for body in &more {
        client.send(&Outgoing::new("topic", body).queue_id(0)).unwrap();
    }
    assert_eq!(fresh(&mut two, 10, &messages), more);
    leave([two]);
}

/// A member that is killed leaves its locks behind: its queues go on when they end, and not before.
pub fn a_killed_orderly_member_is_replaced_when_its_locks_end(program: &impl ClientProgram) {
    // Far longer than the next member takes to begin; and nobody is thought to be gone when the clock jumps.
    let lease = Duration::from_secs(600);
    let mut config = BrokerConfig::default();
    (config.timing.lock_lease, config.timing.member_expiry) = (lease, 10 * lease);
    let server = Server::start(config);
    let mut client = Client::start(program, server.address()).unwrap();
    client.create_topic("topic", 1).unwrap();
    let member = |name| Consumer::start(program, server.address(), &options(name).orderly()).unwrap();
    let mut one = member("one");
    client.send(&Outgoing::new("topic", "a")).unwrap();
    assert_eq!(bodies(&consumed(&mut [&mut one], 1)), ["a"]);
    settled(&mut one);
    drop(one);
    let mut two = member("two");
    client.send(&Outgoing::new("topic", "b")).unwrap();
    assert_eq!(two.consumed(Duration::from_secs(3)).unwrap(), None, "the lock is the dead member's");
    server.advance_clock(lease);
    // The dead member may not have committed its last message.
    let mut messages = consumed(&mut [&mut two], 1);
    if messages[0].body == "a" {
        messages = consumed(&mut [&mut two], 1);
    }
    assert_eq!(bodies(&messages), ["b"]);
    leave([two]);
}

/// A restarted broker knows of no lock any more; the members take theirs again, and each queue keeps its order.
pub fn an_orderly_consumer_goes_on_after_a_restart(program: &impl ClientProgram) {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::in_directory(directory.path().to_path_buf());
    let mut client = Client::start(program, server.address()).unwrap();
    client.create_topic("topic", 1).unwrap();
    let mut one = Consumer::start(program, server.address(), &options("one").orderly()).unwrap();
    let mut expected = Vec::new();
    for round in ["before", "after"] {
        for number in 0..10 {
            let body = format!("{round} {number}");
            client.send(&Outgoing::new("topic", &body).queue_id(0)).unwrap();
            expected.push(body);
        }
        if round == "before" {
            eventually("all of the first round is settled", || (one.pending().unwrap() == 0).then_some(()));
            client.quit().unwrap();
            server.restart();
            client = Client::start(program, server.address()).unwrap();
        }
    }
    let mut bodies = Vec::new();
    while !bodies.contains(&"after 9".to_owned()) {
        bodies.extend(consumed(&mut [&mut one], 1).into_iter().map(|message| message.body));
    }
    // What was not committed before the restart may come again, but never out of order.
    let mut fresh: Vec<String> = Vec::new();
    for body in bodies {
        if !fresh.contains(&body) {
            fresh.push(body);
        }
    }
    assert_eq!(fresh, expected);
    one.quit().unwrap();
}

/// A subscription by SQL92 gets what fulfils it, what was there before and what comes while the consumer waits.
pub fn sql_selects_messages(program: &impl ClientProgram) {
    let (server, mut client) = world(program, 2);
    let mut send = |body: &str, price: &str, colour: &str| {
        let message = Outgoing::new("topic", body).property("price", price).property("colour", colour);
        client.send(&message).unwrap();
    };
    send("cheap", "5", "red");
    send("dear", "50", "red");
    send("blue", "5", "blue");
    send("worded", "five", "red");
    let options = options("one").sql("price BETWEEN 1 AND 10 AND colour IN ('red', 'green')");
    let mut one = Consumer::start(program, server.address(), &options).unwrap();
    assert_eq!(bodies(&consumed(&mut [&mut one], 1)), ["cheap"]);
    send("dear again", "11", "green");
    send("cheap again", "10", "green");
    assert_eq!(bodies(&consumed(&mut [&mut one], 1)), ["cheap again"]);
    assert_eq!(one.consumed(Duration::from_secs(1)).unwrap(), None);
    leave([one]);
}

/// A consumer that comes again, also to a broker that was restarted, goes on where the group was.
pub fn offsets_survive(program: &impl ClientProgram) {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::in_directory(directory.path().to_path_buf());
    let mut client = Client::start(program, server.address()).unwrap();
    client.create_topic("topic", 3).unwrap();
    for round in ["first", "second", "third"] {
        client.send_many("topic", "t", round, 15, 1).unwrap();
        let mut consumer = Consumer::start(program, server.address(), &options("one")).unwrap();
        // Clients promise at least once, but a whole round that came again would mean that nothing was committed.
        let (mut fresh, mut again) = (BTreeSet::new(), 0);
        while fresh.len() < 15 {
            for message in consumed(&mut [&mut consumer], 1) {
                again += usize::from(!message.body.starts_with(round) || !fresh.insert(message.body));
            }
        }
        assert!(again < 15, "{again} messages came again in the {round} round");
        settled(&mut consumer);
        consumer.quit().unwrap();
        if round == "second" {
            client.quit().unwrap();
            server.restart();
            client = Client::start(program, server.address()).unwrap();
        }
    }
}

/// Each member of a broadcasting group gets every message.
pub fn broadcasts_reach_every_member(program: &impl ClientProgram) {
    let (server, mut client) = world(program, 2);
    let member = |name| Consumer::start(program, server.address(), &options(name).broadcasting()).unwrap();
    let (mut one, mut two) = (member("one"), member("two"));
    client.send_many("topic", "t", "m", 20, 1).unwrap();
    for member in [&mut one, &mut two] {
        assert_eq!(sorted(&consumed(&mut [member], 20)), named("m", 20));
    }
    leave([one, two]);
}

/// Timer messages come when they are due, by delay and by time; one whose time is over is none.
pub fn timers_are_kept(program: &impl ClientProgram) {
    let server = Server::in_memory();
    timers(program, server.address());
}

/// The same, of the cluster with this name server. When messages are received says nothing, for clients may take as long as
/// they like to begin: the broker's own times and offsets are looked at.
pub fn timers(program: &impl ClientProgram, name_server: SocketAddr) {
    /// Brokers keep timers by the whole second before.
    const PRECISION: i64 = 1_000;
    const DELAY: i64 = 3_000;
    /// Longer than a send may take.
    const AHEAD: i64 = 20_000;
    let mut client = Client::start(program, name_server).unwrap();
    client.create_topic("topic", 2).unwrap();
    let mut consumer = Consumer::start(program, name_server, &options("one")).unwrap();
    client.send(&Outgoing::new("topic", "first")).unwrap();
    assert_eq!(bodies(&consumed(&mut [&mut consumer], 1)), ["first"]);

    let before = now();
    let delay = Duration::from_millis(DELAY.unsigned_abs());
    client.send(&Outgoing::new("topic", "delay").delay(delay)).unwrap();
    let after = now();
    let at = now() + AHEAD;
    client.send(&Outgoing::new("topic", "time").deliver_at(at)).unwrap();
    let none = [
        client.send(&Outgoing::new("topic", "now")).unwrap(),
        client.send(&Outgoing::new("topic", "past").deliver_at(before - 1)).unwrap(),
    ];
    let messages = consumed(&mut [&mut consumer], 4);
    let of = |body: &str| {
        let named = messages.iter().find(|message| message.body == body);
        named.unwrap_or_else(|| panic!("no {body:?} in {messages:?}"))
    };
    for (body, sent) in ["now", "past"].into_iter().zip(none) {
        let message = of(body);
        let (place, told) = ((message.queue_id, message.offset), (sent.queue_id, sent.offset));
        assert_eq!((&message.msg_id, place), (&sent.msg_id, told), "{body} was stored at once");
        assert_eq!(message.properties.get("TIMER_OUT_MS"), None, "{body}");
    }
    for (body, earliest, latest) in [("delay", before + DELAY, after + DELAY), ("time", at, at)] {
        let message = of(body);
        let due: i64 = message.properties["TIMER_OUT_MS"].parse().unwrap();
        assert!((earliest - PRECISION..=latest).contains(&due), "{earliest} to {latest}: {message:?}");
        assert!(message.store_timestamp >= due, "{message:?}");
    }
    assert!(of("time").store_timestamp >= at, "{:?}", of("time"));
    leave([consumer]);
}

/// The clock, in milliseconds since the Unix epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A broker that soon asks about transactions.
fn asking() -> Server {
    let mut config = BrokerConfig::default();
    config.timing.transaction_timeout = Duration::from_secs(10);
    config.timing.transaction_check = Duration::from_secs(1);
    Server::start(config)
}

/// A transaction's message comes when it is committed, at once or when the broker asks, and never when it is not.
pub fn transactions_end(program: &impl ClientProgram) {
    let server = asking();
    let (checks, repeated) = transactions(program, server.address());
    assert_eq!(repeated, [], "each ends once");
    assert_eq!(checks.get("committed"), None, "{checks:?}");
    assert!(checks["committed when asked"] >= 1 && checks["dropped when asked"] >= 1, "{checks:?}");
}

/// The same, of the cluster with this name server, which must ask within seconds; answers how often it asked, and what it
/// delivered once more.
pub fn transactions(
    program: &impl ClientProgram,
    name_server: SocketAddr,
) -> (BTreeMap<String, u32>, Vec<Stored>) {
    use TransactionState::{Commit, Rollback, Unknown};
    let mut client = Client::start(program, name_server).unwrap();
    client.create_topic("topic", 2).unwrap();
    let mut consumer = Consumer::start(program, name_server, &options("one")).unwrap();
    let mut transact = |body, state, when_asked| {
        let message = Outgoing::new("topic", body).tags("t").keys("k");
        client.transact(&message, state, when_asked).unwrap()
    };
    transact("dropped", Rollback, Rollback);
    let sent = transact("committed", Commit, Commit);
    transact("committed when asked", Unknown, Commit);
    transact("dropped when asked", Unknown, Rollback);
    transact("undecided", Unknown, Unknown);
    // They wait in two queues, which a client that was slow to begin reads in any order.
    let mut messages = consumed(&mut [&mut consumer], 2);
    let distinct = |messages: &[Stored]| -> BTreeSet<String> {
        messages.iter().map(|message| message.body.clone()).collect()
    };
    while distinct(&messages).len() < 2 {
        messages.extend(consumed(&mut [&mut consumer], 1));
    }
    let both = ["committed", "committed when asked"].map(str::to_owned);
    assert_eq!(distinct(&messages), BTreeSet::from(both));
    let first = messages.iter().find(|message| message.body == "committed").unwrap();
    assert_eq!(
        (&first.msg_id, first.tags.as_deref(), first.keys.as_deref()),
        (&sent.msg_id, Some("t"), Some("k"))
    );
    let checks = eventually("the broker asks again about what is undecided", || {
        client.checks().ok().filter(|checks| checks.get("undecided").is_some_and(|times| *times >= 2))
    });
    settled(&mut consumer);
    messages.extend(consumer.quit().unwrap());
    let mut seen = BTreeSet::new();
    let repeated: Vec<_> =
        messages.into_iter().filter(|message| !seen.insert(message.msg_id.clone())).collect();
    assert_eq!(seen.len(), 2, "neither dropped nor undecided ones are delivered");
    (checks, repeated)
}

/// A request message is answered, and its answer comes to who asked.
pub fn requests_are_answered(program: &impl ClientProgram) {
    let server = Server::in_memory();
    requests(program, server.address());
}

/// The same, of the cluster with this name server.
pub fn requests(program: &impl ClientProgram, name_server: SocketAddr) {
    let mut client = Client::start(program, name_server).unwrap();
    client.create_topic("topic", 2).unwrap();
    let mut consumer = Consumer::start(program, name_server, &options("one").replying()).unwrap();
    let ask = |client: &mut Client| -> Result<String, DriverError> {
        client.request(&Outgoing::new("topic", "how are you?"), Duration::from_secs(30))
    };
    let answer = eventually("an answer", || ask(&mut client).ok());
    assert_eq!(answer, "re: how are you?");
    assert_eq!(ask(&mut client).unwrap(), "re: how are you?");
    assert!(!consumed(&mut [&mut consumer], 2).is_empty());
    consumer.quit().unwrap();
}

/// Bodies that clients compress, and those in any writing, with their properties.
pub fn bodies_of_any_kind_arrive_equal(program: &impl ClientProgram) {
    let (server, mut client) = world(program, 1);
    let mut consumer = Consumer::start(program, server.address(), &options("one")).unwrap();
    let sent =
        ["größe ü€😀 中文".to_owned(), "compressed ".repeat(10_000), " ".to_owned(), "last".to_owned()];
    for body in &sent {
        client.send(&Outgoing::new("topic", body).property("größe", "ü€😀").keys("schlüssel")).unwrap();
    }
    let messages = consumed(&mut [&mut consumer], sent.len());
    let mut expected = sent.to_vec();
    expected.sort();
    assert_eq!(sorted(&messages), expected);
    for message in &messages {
        assert_eq!(
            (message.properties["größe"].as_str(), message.keys.as_deref()),
            ("ü€😀", Some("schlüssel"))
        );
    }
    leave([consumer]);
}

/// Makes a test of each scenario, for a client that may not be there.
#[macro_export]
macro_rules! scenarios {
    ($program:expr; $($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            if let Some(program) = $program.unwrap() {
                $crate::clients::$name(&program);
            }
        })*
    };
}
