//! `/metrics`: the host in Prometheus text, gathered at each scrape from what is counted anyway.

mod groups;
mod plugins;
mod writer;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::registry::Registry;

use crate::admin::StatusSource;
use crate::granted::PluginMetrics;
use crate::plugins::{Entries, PluginEntry};
use crate::status::HostStatus;
use writer::Writer;

/// The content type of Prometheus's text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where the figures come from.
#[derive(Clone)]
pub(crate) struct Metrics {
    status: StatusSource,
    entries: Entries,
    /// The plugins' own.
    of_plugins: PluginMetrics,
}

impl Metrics {
    pub(crate) fn new(status: StatusSource, entries: Entries, of_plugins: PluginMetrics) -> Self {
        Self { status, entries, of_plugins }
    }

    /// Every figure at this moment.
    ///
    /// # Errors
    /// Never but for a defect of the writer.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let (status, entries) = ((self.status)(), self.entries.load_full());
        let plugins = entries.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect();
        let mut registry = Registry::with_prefix("gantry");
        registry.register_collector(Box::new(Scrape { status: Arc::new(status), plugins }));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry)?;
        self.of_plugins.encode(&mut text);
        Ok(text)
    }
}

/// The host at the moment of a scrape.
struct Scrape {
    status: Arc<HostStatus>,
    plugins: Vec<(String, PluginEntry)>,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut writer = Writer(encoder);
        let ready = [(Vec::new(), u64::from(self.status.ready))];
        writer.gauges("ready", "Whether plugins serve and routes are known", ready)?;
        let failures = self.status.journal_failures.map(|failures| (Vec::new(), failures));
        writer.counters(
            "journal_failures",
            "Snapshots of settled messages that could not be written",
            failures,
        )?;
        plugins::write(&mut writer, &self.plugins)?;
        groups::write(&mut writer, &self.status.groups)
    }
}
