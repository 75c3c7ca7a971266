//! The figures of plugins: counters, gauges and histograms under the plugins' names, as Prometheus reads them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Most metrics of one plugin.
const MAX_METRICS: usize = 64;
/// Most series of one plugin.
const MAX_SERIES: usize = 1000;
/// Prometheus's default buckets, for seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// What was refused of a plugin's figures.
const REFUSED: &str = "gantry_plugin_figures_refused";

/// Label names and values, sorted.
type Labels = Vec<(String, String)>;
/// One set of label values of one metric.
type SeriesKey = (String, Labels);

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }

    const fn metric_type(self) -> MetricType {
        match self {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        }
    }
}

#[derive(Debug)]
enum Series {
    Counter(Counter),
    Gauge(Gauge<f64, AtomicU64>),
    Histogram(Histogram),
}

impl Series {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(Counter::default()),
            Kind::Gauge => Self::Gauge(Gauge::default()),
            Kind::Histogram => Self::Histogram(Histogram::new(BUCKETS)),
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram(_) => Kind::Histogram,
        }
    }
}

/// The figures of one plugin.
#[derive(Debug, Default)]
struct Figures {
    /// Each metric's kind and the names of its labels.
    metrics: BTreeMap<String, (Kind, Vec<String>)>,
    series: BTreeMap<SeriesKey, Series>,
    refused: u64,
}

/// Those of one plugin, shared by its versions.
type Shared = Arc<Mutex<Figures>>;

/// The figures of every plugin, by its file's name.
#[derive(Debug, Default)]
struct All(Mutex<BTreeMap<Arc<str>, Shared>>);

/// The figures of all plugins. Cheap to clone, and every clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct PluginMetrics(Arc<All>);

/// The figures as one plugin adds to them.
#[derive(Debug)]
pub(super) struct MetricsOf {
    all: Arc<All>,
    own: Shared,
}

impl PluginMetrics {
    /// Appends every figure in Prometheus's text format.
    pub(crate) fn encode(&self, text: &mut String) {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&self.0)));
        if let Err(fmt::Error) = text::encode_registry(text, &registry) {
            tracing::error!("the figures of plugins cannot be written");
        }
    }

    /// Forgets the figures of a plugin that is gone.
    pub(crate) fn remove(&self, plugin: &str) {
        lock(&self.0.0).remove(plugin);
    }

    pub(super) fn of(&self, plugin: &str) -> MetricsOf {
        let own = Arc::clone(lock(&self.0.0).entry(plugin.into()).or_default());
        MetricsOf { all: Arc::clone(&self.0), own }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MetricsOf {
    /// Finds the series, or begins it where there is room, and changes it.
    fn change(
        &self,
        kind: Kind,
        name: &str,
        labels: &[(String, String)],
        act: impl FnOnce(&Series),
    ) -> Result<(), String> {
        let key = (name.to_owned(), labels.to_vec());
        if let Some(series) = lock(&self.own).series.get(&key).filter(|series| series.kind() == kind) {
            act(series);
            return Ok(());
        }
        // All the others wait meanwhile: no two plugins begin a metric of one name as different kinds.
        let all = lock(&self.all.0);
        let clash = all.iter().find_map(|(plugin, figures)| {
            let other =
                lock(figures).metrics.get(name).map(|(other, _)| *other).filter(|other| *other != kind)?;
            Some(format!("`{name}` is a {} of plugin {plugin}, and a metric keeps its kind", other.name()))
        });
        let mut own = lock(&self.own);
        let begun = clash.map_or_else(|| own.begin(kind, key).map(act), Err);
        begun.inspect_err(|_rule| own.refused += 1)
    }
}

impl Figures {
    /// Begins a series, where the rules and the bounds allow it.
    fn begin(&mut self, kind: Kind, (name, labels): SeriesKey) -> Result<&Series, String> {
        let names = || labels.iter().map(|(label, _)| label.as_str());
        match self.metrics.get(&name) {
            Some((_, known)) if !known.iter().map(String::as_str).eq(names()) => {
                return Err(format!(
                    "`{name}` has the labels [{}], and a metric keeps them",
                    known.join(", ")
                ));
            }
            None if self.metrics.len() >= MAX_METRICS => {
                return Err(format!("the plugin has {MAX_METRICS} metrics already, which are the most"));
            }
            _ => {}
        }
        let label_names = names().map(str::to_owned).collect();
        let count = self.series.len();
        match self.series.entry((name.clone(), labels)) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(_) if count >= MAX_SERIES => Err(format!(
                "the plugin has {MAX_SERIES} series already, which are the most; use labels with fewer values"
            )),
            Entry::Vacant(free) => {
                self.metrics.entry(name).or_insert((kind, label_names));
                Ok(free.insert(Series::new(kind)))
            }
        }
    }
}

impl gantry_engine::Metrics for MetricsOf {
    fn counter_add(&self, name: &str, labels: &[(String, String)], value: u64) -> Result<(), String> {
        self.change(Kind::Counter, name, labels, |series| {
            if let Series::Counter(counter) = series {
                counter.inc_by(value);
            }
        })
    }

    fn gauge_set(&self, name: &str, labels: &[(String, String)], value: f64) -> Result<(), String> {
        self.change(Kind::Gauge, name, labels, |series| {
            if let Series::Gauge(gauge) = series {
                gauge.set(value);
            }
        })
    }

    fn histogram_observe(&self, name: &str, labels: &[(String, String)], value: f64) -> Result<(), String> {
        self.change(Kind::Histogram, name, labels, |series| {
            if let Series::Histogram(histogram) = series {
                histogram.observe(value);
            }
        })
    }

    fn refused(&self) {
        lock(&self.own).refused += 1;
    }
}

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = lock(&self.0);
        // A metric's lines stand together, also where several plugins have it.
        let mut kinds = BTreeMap::new();
        for figures in all.values() {
            kinds.extend(lock(figures).metrics.iter().map(|(name, (kind, _))| (name.clone(), *kind)));
        }
        for (name, kind) in kinds {
            let (full, help) =
                (format!("gantry_plugin_{name}"), format!("A {} that plugins keep", kind.name()));
            let mut metric = encoder.encode_descriptor(&full, &help, None, kind.metric_type())?;
            for (plugin, figures) in all.iter() {
                let figures = lock(figures);
                let own = figures.series.range((name.clone(), Labels::new())..);
                for ((_, labels), series) in own.take_while(|((other, _), _)| *other == name) {
                    let mut labels = labels.clone();
                    labels.push(("plugin".to_owned(), plugin.to_string()));
                    let encoder = metric.encode_family(&labels)?;
                    match series {
                        Series::Counter(counter) => counter.encode(encoder)?,
                        Series::Gauge(gauge) => gauge.encode(encoder)?,
                        Series::Histogram(histogram) => histogram.encode(encoder)?,
                    }
                }
            }
        }
        encode_refused(&mut encoder, &all)
    }
}

fn encode_refused(
    encoder: &mut DescriptorEncoder<'_>,
    all: &BTreeMap<Arc<str>, Shared>,
) -> Result<(), fmt::Error> {
    let help = "Figures of plugins that broke a rule or a bound, and were not kept";
    let mut metric = encoder.encode_descriptor(REFUSED, help, None, MetricType::Counter)?;
    for (plugin, figures) in all {
        let counter: Counter = Counter::default();
        counter.inc_by(lock(figures).refused);
        counter.encode(metric.encode_family(&[("plugin", &**plugin)])?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gantry_engine::Metrics as _;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn text(metrics: &PluginMetrics) -> String {
        let mut text = String::new();
        metrics.encode(&mut text);
        text
    }

    #[test]
    fn figures_appear_under_the_plugins_name_and_go_with_it() {
        let metrics = PluginMetrics::default();
        let (orders, returns) = (metrics.of("orders"), metrics.of("returns"));
        orders.counter_add("paid", &labels(&[("currency", "E\"U\nR")]), 2).unwrap();
        orders.counter_add("paid", &labels(&[("currency", "E\"U\nR")]), 3).unwrap();
        returns.counter_add("paid", &labels(&[("currency", "CNY")]), 1).unwrap();
        orders.gauge_set("open", &[], -1.5).unwrap();
        orders.histogram_observe("seconds", &[], 0.2).unwrap();
        let shown = text(&metrics);
        for line in [
            "# TYPE gantry_plugin_paid counter\n",
            "gantry_plugin_paid_total{currency=\"E\\\"U\\nR\",plugin=\"orders\"} 5\n",
            "gantry_plugin_paid_total{currency=\"CNY\",plugin=\"returns\"} 1\n",
            "gantry_plugin_open{plugin=\"orders\"} -1.5\n",
            "gantry_plugin_seconds_bucket{le=\"0.1\",plugin=\"orders\"} 0\n",
            "gantry_plugin_seconds_bucket{le=\"0.25\",plugin=\"orders\"} 1\n",
            "gantry_plugin_seconds_count{plugin=\"orders\"} 1\n",
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
        assert_eq!(shown.matches("# TYPE gantry_plugin_paid ").count(), 1, "{shown}");
        assert!(!shown.contains("EOF"), "others follow: {shown}");
        metrics.remove("orders");
        assert!(!text(&metrics).contains("orders"));
    }

    #[test]
    fn a_metric_keeps_its_kind_and_its_labels() {
        let metrics = PluginMetrics::default();
        let (orders, returns) = (metrics.of("orders"), metrics.of("returns"));
        orders.counter_add("paid", &labels(&[("a", "1")]), 1).unwrap();
        assert!(orders.gauge_set("paid", &labels(&[("a", "1")]), 1.0).unwrap_err().contains("is a counter"));
        assert!(returns.gauge_set("paid", &[], 1.0).unwrap_err().contains("of plugin orders"));
        assert!(orders.counter_add("paid", &labels(&[("b", "1")]), 1).unwrap_err().contains("[a]"));
        assert!(text(&metrics).contains("figures_refused_total{plugin=\"orders\"} 2\n"));
    }

    #[test]
    fn a_plugin_has_so_many_metrics_and_series_and_not_more() {
        let metrics = PluginMetrics::default();
        let (flood, calm) = (metrics.of("flood"), metrics.of("calm"));
        for n in 0..MAX_SERIES {
            flood.counter_add("by_order", &labels(&[("order", &n.to_string())]), 1).unwrap();
        }
        let error = flood.counter_add("by_order", &labels(&[("order", "one more")]), 1).unwrap_err();
        assert!(error.contains("1000 series"), "{error}");
        flood.counter_add("by_order", &labels(&[("order", "7")]), 1).unwrap();
        for n in 0..MAX_METRICS {
            calm.counter_add(&format!("m{n}"), &[], 1).unwrap();
        }
        assert!(calm.counter_add("one_more", &[], 1).unwrap_err().contains("64 metrics"));
    }
}
