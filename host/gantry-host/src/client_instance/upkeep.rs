//! The instance's own clocks: routes that got old, heartbeats that are due, brokers that came back.

use std::sync::{Arc, Weak};
use std::time::Duration;

use gantry_remoting::{ConnectionEvent, ConnectionState};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::address_server::AddressServer;
use super::{ClientInstance, Inner, RouteError};

/// What is due is looked for so many times per interval, so that a failure is made up for soon.
const LOOKS_PER_INTERVAL: u32 = 3;

/// Topics nobody subscribes, watches or uses for so long are forgotten.
const IDLE_TOPIC: Duration = Duration::from_secs(600);

impl ClientInstance {
    pub(super) fn start_upkeep(&self, address_server: Option<AddressServer>) {
        let inner = &self.0;
        if let Some(server) = address_server {
            let interval = inner.config.fetch_name_server_interval;
            let following = server.follow(interval, self.downgrade(), inner.tasks.token());
            inner.tasks.spawn("name-servers", following);
        }
        let (polling, beating) =
            (inner.config.poll_name_server_interval, inner.config.heartbeat_broker_interval);
        inner.tasks.spawn(
            "routes",
            run_every(polling, self.downgrade(), async |instance| instance.poll_routes().await),
        );
        inner.tasks.spawn(
            "heartbeats",
            run_every(beating, self.downgrade(), async |instance| {
                instance.beat_due(instance.0.config.heartbeat_broker_interval).await;
            }),
        );
        inner.tasks.spawn("reconnects", greet_returning(inner.client.events(), self.downgrade()));
    }

    fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.0)
    }

    async fn poll_routes(&self) {
        let inner = &self.0;
        let subscribed = inner.groups.topics();
        inner.routes.forget_unused(&subscribed, IDLE_TOPIC, Instant::now());
        for topic in inner.routes.due(&subscribed, inner.config.poll_name_server_interval, Instant::now()) {
            match self.refresh_route(&topic).await {
                // The next topic would have the same answer, after the same wait.
                Err(RouteError::Unreachable(_)) => return,
                Err(error) => tracing::debug!(%topic, %error, "no route"),
                Ok(_) => {}
            }
        }
    }
}

/// Does `work` some times per `period`, until the instance closes.
async fn run_every(period: Duration, instance: Weak<Inner>, work: impl AsyncFn(ClientInstance)) {
    let Some(stop) = instance.upgrade().map(|inner| inner.tasks.token()) else { return };
    let mut ticks = interval((period / LOOKS_PER_INTERVAL).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        loop {
            ticks.tick().await;
            let Some(inner) = instance.upgrade() else { return };
            work(ClientInstance(inner)).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = looking => {}
    }
}

/// A broker that was lost has forgotten this client: it gets a heartbeat as soon as there is a connection again.
async fn greet_returning(mut events: Receiver<ConnectionEvent>, instance: Weak<Inner>) {
    let Some(stop) = instance.upgrade().map(|inner| inner.tasks.token()) else { return };
    let greeting = async {
        loop {
            let event = events.recv().await;
            let Some(instance) = instance.upgrade().map(ClientInstance) else { return };
            match event {
                Ok(ConnectionEvent { addr, state: ConnectionState::Connected { again: true } }) => {
                    instance.heartbeat_broker(&addr).await;
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => instance.heartbeat_all().await,
                Err(RecvError::Closed) => return,
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = greeting => {}
    }
}
