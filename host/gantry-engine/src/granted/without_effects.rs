//! Grants without effects: for a version that runs on copies of what another consumes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use super::{
    Change, Directory, Grants, HttpGrant, KeyValue, KeyValueError, KeysFrom, MessageQueueSelector, Metrics,
    Producer, SendError, SendReceipt, SendStatus, Versioned,
};
use crate::wit::OutgoingMessage;

/// What a version without effects would have done.
#[derive(Debug, Default)]
pub struct Suppressed {
    sends: AtomicU64,
    writes: AtomicU64,
    figures: AtomicU64,
    requests: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Suppressed {
    /// Messages that were not sent.
    #[must_use]
    pub fn sends(&self) -> u64 {
        self.sends.load(Ordering::Relaxed)
    }

    /// Changes of the key-value store that were not made.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Figures that were not kept.
    #[must_use]
    pub fn figures(&self) -> u64 {
        self.figures.load(Ordering::Relaxed)
    }

    /// HTTP requests, other than GET and HEAD, that were denied.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn count_request(&self) {
        count(&self.requests);
    }
}

/// See [`Grants::without_effects`].
pub(super) fn of(grants: &Grants) -> Grants {
    let suppressed = Arc::clone(grants.suppressed.as_ref().unwrap_or(&Arc::default()));
    let read_only = |directory: &Directory| Directory { writable: false, ..directory.clone() };
    Grants {
        producer: grants.producer.as_ref().map(|_| Arc::new(SendsNothing(Arc::clone(&suppressed))) as _),
        keyvalue: grants.keyvalue.as_ref().map(|store| {
            Arc::new(WritesNothing { store: Arc::clone(store), suppressed: Arc::clone(&suppressed) }) as _
        }),
        logging: grants.logging.as_ref().map(|log| Arc::new(log.without_effects())),
        metrics: grants.metrics.as_ref().map(|_| Arc::new(KeepsNothing(Arc::clone(&suppressed))) as _),
        http: grants.http.as_ref().map(|http| Arc::new(HttpGrant::without_effects(http, &suppressed))),
        directories: grants.directories.iter().map(read_only).collect(),
        suppressed: Some(suppressed),
        ..grants.clone()
    }
}

struct SendsNothing(Arc<Suppressed>);

impl SendsNothing {
    fn receipt(&self) -> SendReceipt {
        count(&self.0.sends);
        SendReceipt {
            send_status: SendStatus::SendOk,
            message_id: "NOT-SENT".to_owned(),
            offset_message_id: String::new(),
            broker_name: "not-sent".to_owned(),
            queue_id: 0,
            queue_offset: 0,
        }
    }
}

impl Producer for SendsNothing {
    fn send(&self, _: OutgoingMessage, _: Instant) -> Result<SendReceipt, SendError> {
        Ok(self.receipt())
    }

    fn send_one_way(&self, _: OutgoingMessage, _: Instant) -> Result<(), SendError> {
        count(&self.0.sends);
        Ok(())
    }

    fn send_ordered(
        &self,
        _: OutgoingMessage,
        _: MessageQueueSelector,
        _: &str,
        _: Instant,
    ) -> Result<SendReceipt, SendError> {
        Ok(self.receipt())
    }
}

/// Reads what the serving version wrote.
struct WritesNothing {
    store: Arc<dyn KeyValue>,
    suppressed: Arc<Suppressed>,
}

impl KeyValue for WritesNothing {
    fn get(&self, bucket: &str, key: &str) -> Result<Option<Versioned>, KeyValueError> {
        self.store.get(bucket, key)
    }

    fn keys(&self, bucket: &str, from: KeysFrom<'_>, limit: usize) -> Result<Vec<String>, KeyValueError> {
        self.store.keys(bucket, from, limit)
    }

    fn write(&self, _: &str, _: &[Change<'_>]) -> Result<(), KeyValueError> {
        count(&self.suppressed.writes);
        Ok(())
    }

    fn increment(&self, bucket: &str, key: &str, delta: i64) -> Result<i64, KeyValueError> {
        count(&self.suppressed.writes);
        let found =
            self.store.get(bucket, key)?.map(|found| String::from_utf8_lossy(&found.value).into_owned());
        let number = found.map_or(Ok(0), |digits| digits.parse::<i64>());
        let sum = number.ok().and_then(|number| number.checked_add(delta));
        sum.ok_or_else(|| KeyValueError::Other(format!("`{key}` is no number that {delta} can be added to")))
    }

    fn swap(&self, bucket: &str, key: &str, version: u64, _: &[u8]) -> Result<bool, KeyValueError> {
        let now = self.store.get(bucket, key)?.map_or(0, |found| found.version);
        let current = now == version;
        if current {
            count(&self.suppressed.writes);
        }
        Ok(current)
    }
}

struct KeepsNothing(Arc<Suppressed>);

impl Metrics for KeepsNothing {
    fn counter_add(&self, _: &str, _: &[(String, String)], _: u64) -> Result<(), String> {
        count(&self.0.figures);
        Ok(())
    }

    fn gauge_set(&self, _: &str, _: &[(String, String)], _: f64) -> Result<(), String> {
        count(&self.0.figures);
        Ok(())
    }

    fn histogram_observe(&self, _: &str, _: &[(String, String)], _: f64) -> Result<(), String> {
        count(&self.0.figures);
        Ok(())
    }

    fn refused(&self) {}
}

/// Nothing behind a service, for whoever only wants to know whether a component loads.
pub(super) struct Inert;

/// What it says.
const NOTHING: &str = "there is no host here: the plugin is only being checked";

impl Producer for Inert {
    fn send(&self, _: OutgoingMessage, _: Instant) -> Result<SendReceipt, SendError> {
        Err(SendError::Unavailable(NOTHING.to_owned()))
    }

    fn send_one_way(&self, _: OutgoingMessage, _: Instant) -> Result<(), SendError> {
        Err(SendError::Unavailable(NOTHING.to_owned()))
    }

    fn send_ordered(
        &self,
        _: OutgoingMessage,
        _: MessageQueueSelector,
        _: &str,
        _: Instant,
    ) -> Result<SendReceipt, SendError> {
        Err(SendError::Unavailable(NOTHING.to_owned()))
    }
}

impl KeyValue for Inert {
    fn get(&self, _: &str, _: &str) -> Result<Option<Versioned>, KeyValueError> {
        Err(KeyValueError::Other(NOTHING.to_owned()))
    }

    fn keys(&self, _: &str, _: KeysFrom<'_>, _: usize) -> Result<Vec<String>, KeyValueError> {
        Err(KeyValueError::Other(NOTHING.to_owned()))
    }

    fn write(&self, _: &str, _: &[Change<'_>]) -> Result<(), KeyValueError> {
        Err(KeyValueError::Other(NOTHING.to_owned()))
    }

    fn increment(&self, _: &str, _: &str, _: i64) -> Result<i64, KeyValueError> {
        Err(KeyValueError::Other(NOTHING.to_owned()))
    }

    fn swap(&self, _: &str, _: &str, _: u64, _: &[u8]) -> Result<bool, KeyValueError> {
        Err(KeyValueError::Other(NOTHING.to_owned()))
    }
}

impl Metrics for Inert {
    fn counter_add(&self, _: &str, _: &[(String, String)], _: u64) -> Result<(), String> {
        Err(NOTHING.to_owned())
    }

    fn gauge_set(&self, _: &str, _: &[(String, String)], _: f64) -> Result<(), String> {
        Err(NOTHING.to_owned())
    }

    fn histogram_observe(&self, _: &str, _: &[(String, String)], _: f64) -> Result<(), String> {
        Err(NOTHING.to_owned())
    }

    fn refused(&self) {}
}
