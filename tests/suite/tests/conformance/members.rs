//! Members of a group that sleep over each message and keep a ledger: hosts, hosts in processes of their own, Java.

use std::path::Path;
use std::time::Duration;

use gantry_apache::{Consumer, ConsumerOptions, Installation};
use gantry_suite::{
    HostProcessSetup, HostSetup, HostUnderTest, Ledger, Sleeper, Tally, World, eventually, eventually_within,
    that,
};

/// Threads of each member's listener, at 2 to 4 ms a message.
pub(crate) const THREADS: u32 = 8;
/// The Java client rebalances at notice, and every 20 s should it miss one; its first heartbeat may stall it for 30 s.
const SETTLING: Duration = Duration::from_secs(240);

/// A group that consumes one topic, and its ledger.
pub(crate) struct Members<'a> {
    pub(crate) world: &'a World,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) ledger: Ledger,
}

impl<'a> Members<'a> {
    /// A group of its own on a topic of its own, both named after `what`.
    pub(crate) async fn new(world: &'a World, what: &str, queues: i32) -> Self {
        let topic = world.topic(&format!("{what}-t"), queues).await;
        Self { world, topic, group: world.name(&format!("{what}-g")), ledger: Ledger::default() }
    }

    /// A host in this process.
    pub(crate) fn host(&self, name: &str) -> HostSetup {
        let sleeper = Sleeper::new(&self.group, &self.topic, self.ledger.scribe(name));
        self.world.host().threads(THREADS).sleeping(sleeper)
    }

    /// A host in this process whose listener is a component.
    pub(crate) fn guest(&self, name: &str) -> HostSetup {
        let setup = self.world.host_with("sleeper", &self.group, &self.topic).threads(THREADS);
        let setup = setup.plugin_settings("sleeper", |settings| settings.grants = vec!["clocks".to_owned()]);
        setup.written_down_by(self.ledger.scribe(name)).with_file("sleeper", "sleeper")
    }

    /// A host in a process of its own, with these lines in its `[consumer]` settings.
    pub(crate) fn process(&self, directory: &Path, settings: &str) -> HostProcessSetup {
        let settings = format!(
            "name-server = \"{}\"\nstate-dir = \"{}\"\nadmin.enabled = false\nengine.threads = {THREADS}\n\
             shutdown-grace = \"60s\"\nclient.mq-client-api-timeout = \"20s\"\n\
             [consumer]\nconsume-from-where = \"first-offset\"\nconsume-thread-max = {THREADS}\n{settings}\n",
            self.world.cluster.name_server(),
            directory.join("state").display()
        );
        HostProcessSetup::new(directory, &self.group, &self.topic, &settings)
    }

    /// A Java consumer. Its start takes seconds, in which other things go on.
    pub(crate) async fn java(&self, installation: &Installation, directory: &Path, name: &str) -> Consumer {
        let file = directory.join(format!("{name}.java-ledger"));
        self.ledger.follow(name, &file);
        let options = ConsumerOptions::new(&self.group, &self.topic).instance(name).threads(THREADS);
        let options = options.pause(Duration::from_millis(2)).pause_spread(Duration::from_millis(2));
        let options = options.ledger(&file);
        let (installation, address) = (installation.clone(), self.world.cluster.address());
        let start = move || Consumer::start(&installation, address, &options).unwrap();
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// Waits until these hosts own so many of the topic's queues.
    pub(crate) async fn own(&self, hosts: &[&HostUnderTest], counts: &[usize]) {
        eventually(&format!("they own {counts:?} queues"), async || {
            let owned: Vec<_> = hosts.iter().map(|host| host.queues(&self.group, &self.topic)).collect();
            that(owned.iter().map(Vec::len).eq(counts.iter().copied()), || format!("they own {owned:?}"))
        })
        .await;
    }

    /// Waits until the member of this name has consumed something.
    pub(crate) async fn begins(&self, name: &str) {
        eventually_within(SETTLING, &format!("{name} begins"), async || {
            that(self.ledger.len_of(name) > 0, || format!("{} consumed by all", self.ledger.len()))
        })
        .await;
    }

    /// Waits until so many more messages are consumed.
    pub(crate) async fn consume_more(&self, count: usize) {
        let before = self.ledger.len();
        eventually_within(SETTLING, &format!("{count} more messages are consumed"), async || {
            let now = self.ledger.len();
            that(now >= before + count, || format!("{} are", now - before))
        })
        .await;
    }

    /// Waits until all that was sent is consumed.
    pub(crate) async fn consume_all(&self, sent: usize) {
        eventually_within(SETTLING, "everything is consumed", async || {
            that(self.ledger.len() >= sent, || format!("{} of {sent}", self.ledger.len()))?;
            let tally = Tally::of(&self.ledger.entries(), sent, sent);
            that(tally.lost == 0, || tally.to_string())
        })
        .await;
    }

    /// The sum of all that was consumed by now: members that have stopped may have added to it.
    pub(crate) async fn tally(&self, sent: usize) -> Tally {
        let stored: i64 = self.world.cluster.end_offsets(&self.topic).await.values().sum();
        Tally::of(&self.ledger.entries(), sent, usize::try_from(stored).unwrap())
    }
}

/// Lets a Java consumer leave in order.
pub(crate) async fn quit(java: Consumer) {
    tokio::task::spawn_blocking(|| java.quit()).await.unwrap().unwrap();
}
