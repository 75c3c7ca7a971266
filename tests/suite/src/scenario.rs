//! One scenario, two brokers.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gantry_apache::Installation;

use crate::cluster::{BrokerKind, TestCluster};
use crate::host::HostSetup;
use crate::logged::log;

/// The longest a scenario may take, on however busy a machine.
const BOUND: Duration = Duration::from_secs(900);

/// What a scenario is played in.
pub struct World {
    /// The cluster. Apache RocketMQ is one for all scenarios of the process; the embedded broker is this one's own.
    pub cluster: TestCluster,
    name: String,
}

impl World {
    /// A name for a topic or group of this scenario, which no other has.
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// A topic of this scenario's own.
    pub async fn topic(&self, what: &str, queues: i32) -> String {
        let topic = self.name(what);
        self.cluster.create_topic(&topic, queues).await;
        topic
    }

    /// A host for the cluster.
    pub fn host(&self) -> HostSetup {
        self.host_at(&self.cluster.name_server())
    }

    /// A host for the cluster that finds it at this name server.
    pub fn host_at(&self, name_server: &str) -> HostSetup {
        HostSetup::new(name_server).configure(|config| config.client = self.cluster.access().clone())
    }

    /// A host with one plugin, in the file `stem`, in the group of this name.
    pub fn host_with(&self, stem: &str, group: &str, topic: &str) -> HostSetup {
        self.host().plugin(stem, group, &[(topic, "*")])
    }

    /// Whether the broker is Apache RocketMQ.
    pub fn is_apache(&self) -> bool {
        self.cluster.kind() != BrokerKind::Embedded
    }
}

/// What a scenario needs.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// A cluster of its own, which it may kill.
    pub own: bool,
    /// No other such scenario at the same time: it takes much of the machine, or looks at the clock.
    pub quiet: bool,
}

/// Runs a scenario against one kind of broker.
///
/// # Panics
/// When the scenario does, or takes longer than a quarter of an hour.
pub fn run<F, S>(kind: BrokerKind, needs: Needs, name: &str, scenario: F)
where
    F: FnOnce(World) -> S,
    S: Future<Output = ()>,
{
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    static QUIET: Mutex<()> = Mutex::new(());
    log();
    let _quiet = needs.quiet.then(|| QUIET.lock().unwrap_or_else(PoisonError::into_inner));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let started = runtime.block_on(TestCluster::start(kind, needs.own));
    let Some(cluster) = started else { return };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let world = World { cluster, name: format!("{}-{number}", name.replace('_', "-")) };
    let played = runtime.block_on(async { tokio::time::timeout(BOUND, scenario(world)).await });
    assert!(played.is_ok(), "{name} takes longer than {BOUND:?}");
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// RocketMQ's installation; none, with a note, where Java or Maven are missing and it is not required.
///
/// # Panics
/// When it cannot be made ready.
pub fn installation() -> Option<Installation> {
    Installation::for_tests().unwrap()
}

/// Makes two tests of each scenario named: `embedded::name` and `apache::name`. With `own` first, each gets a cluster of
/// its own, which it may kill; with `quiet`, no two such scenarios run at once.
#[macro_export]
macro_rules! scenarios {
    (own: $($name:ident),* $(,)?) => { $crate::scenarios! { @make true, false; $($name),* } };
    (quiet: $($name:ident),* $(,)?) => { $crate::scenarios! { @make false, true; $($name),* } };
    (own quiet: $($name:ident),* $(,)?) => { $crate::scenarios! { @make true, true; $($name),* } };
    ($($name:ident),* $(,)?) => { $crate::scenarios! { @make false, false; $($name),* } };
    (@make $own:literal, $quiet:literal; $($name:ident),*) => {
        mod embedded {
            $(#[test] fn $name() {
                let needs = $crate::Needs { own: $own, quiet: $quiet };
                $crate::run($crate::BrokerKind::Embedded, needs, stringify!($name), super::$name);
            })*
        }
        mod apache {
            $(#[test] fn $name() {
                let needs = $crate::Needs { own: $own, quiet: $quiet };
                $crate::run($crate::BrokerKind::Apache, needs, stringify!($name), super::$name);
            })*
        }
    };
}

/// Makes one test more of each scenario named, `guarded::name`, against Apache RocketMQ with access control, over TLS: of those
/// that together send it every kind of request.
#[macro_export]
macro_rules! guarded_scenarios {
    ($($name:ident),* $(,)?) => {
        mod guarded {
            $(#[test] fn $name() {
                let needs = $crate::Needs { own: false, quiet: false };
                $crate::run($crate::BrokerKind::Guarded, needs, stringify!($name), super::$name);
            })*
        }
    };
}
