//! What a host tells of its messages, kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

use gantry_host::{Observer, PluginChange, Settled, SettledAs};

/// Bytes of a body that are kept.
const BODY: usize = 64;

/// One message's end in a listener.
#[derive(Debug, Clone)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// The plugin's file name without `.wasm`.
    pub plugin: String,
    /// The version as the plugin describes itself.
    pub version: String,
    /// The consumer group.
    pub group: String,
    /// The topic it was sent to.
    pub topic: String,
    /// The message's id, the same when it comes again.
    pub key: String,
    /// The beginning of its body.
    pub body: String,
    /// The queue it came from, of its topic or of the retry topic.
    pub queue_id: i32,
    /// Its offset there.
    pub offset: i64,
    /// How often it had come back before.
    pub reconsume_times: i32,
    /// How it ended.
    pub how: SettledAs,
    /// The failure behind it.
    pub failure: Option<String>,
}

/// An observer that keeps everything it is told. Several hosts may share one.
#[derive(Debug, Default)]
pub struct Observed {
    records: Mutex<Vec<Record>>,
    changes: Mutex<Vec<PluginChange>>,
}

impl Observer for Observed {
    fn settled(&self, settled: &Settled<'_>) {
        let message = settled.message;
        let body = message.body().unwrap_or_default();
        let record = Record {
            at: Instant::now(),
            plugin: settled.plugin.to_owned(),
            version: settled.version.to_owned(),
            group: settled.group.to_owned(),
            topic: settled.topic.to_owned(),
            key: message.message_id(),
            body: String::from_utf8_lossy(&body[..body.len().min(BODY)]).into_owned(),
            queue_id: message.queue_id(),
            offset: message.queue_offset(),
            reconsume_times: settled.reconsume_times,
            how: settled.as_.clone(),
            failure: settled.failure.map(str::to_owned),
        };
        self.records.lock().unwrap().push(record);
    }

    fn plugin_changed(&self, change: &PluginChange) {
        self.changes.lock().unwrap().push(change.clone());
    }
}

impl Observed {
    /// Everything so far.
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }

    /// How much so far.
    pub fn len(&self) -> usize {
        self.records.lock().unwrap().len()
    }

    /// Whether nothing so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ends of the message with this body, in their order.
    pub fn of(&self, body: &str) -> Vec<Record> {
        self.records.lock().unwrap().iter().filter(|record| record.body == body).cloned().collect()
    }

    /// How often each body of this plugin ended in success.
    pub fn successes(&self, plugin: &str) -> BTreeMap<String, usize> {
        let mut successes = BTreeMap::new();
        let records = self.records.lock().unwrap();
        for record in records.iter().filter(|r| r.plugin == plugin && r.how == SettledAs::Success) {
            *successes.entry(record.body.clone()).or_default() += 1;
        }
        successes
    }

    /// How many different messages ended in success, in whichever plugin.
    pub fn succeeded(&self) -> usize {
        let records = self.records.lock().unwrap();
        let success = records.iter().filter(|record| record.how == SettledAs::Success);
        success.map(|record| record.key.as_str()).collect::<BTreeSet<_>>().len()
    }

    /// How often messages ended in success after their first.
    pub fn duplicates(&self) -> usize {
        let records = self.records.lock().unwrap();
        let successes = records.iter().filter(|record| record.how == SettledAs::Success).count();
        drop(records);
        successes - self.succeeded()
    }

    /// The first `count` of the bodies `ok 0`, `ok 1` and so on that did not end in success, of which there may be none.
    pub fn missing(&self, count: usize) -> BTreeSet<String> {
        let mut missing: BTreeSet<_> = (0..count).map(|number| format!("ok {number}")).collect();
        let records = self.records.lock().unwrap();
        for record in records.iter().filter(|record| record.how == SettledAs::Success) {
            missing.remove(&record.body);
        }
        missing
    }

    /// The states a plugin went through.
    pub fn states(&self, plugin: &str) -> Vec<&'static str> {
        let changes = self.changes.lock().unwrap();
        changes.iter().filter(|change| change.plugin == plugin).map(|change| change.state).collect()
    }
}
