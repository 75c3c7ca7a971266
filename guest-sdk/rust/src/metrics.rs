//! Figures of the plugin's own, shown at the host's `/metrics`. Granted by `"metrics"` in the plugin's `grants`.
//!
//! Metric NAME of plugin PLUGIN appears as `gantry_plugin_NAME{plugin="PLUGIN"}`, counters with `_total` behind. A plugin has
//! up to 64 metrics and 1,000 series, and a metric keeps its kind and its labels: what breaks a rule is an error that may be
//! ignored, and is counted.
//!
//! ```
//! use gantry_guest::metrics;
//!
//! metrics::count("orders", &[("currency", "EUR")], 2).unwrap();
//! metrics::gauge("open_orders", &[], 17.0).unwrap();
//! assert_eq!(metrics::testing::value("orders", &[("currency", "EUR")]), Some(2.0));
//! ```

/// Label names and values, in any order.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Adds to a counter, which begins at 0.
///
/// # Errors
/// Which rule was broken.
pub fn count(name: &str, labels: Labels<'_>, by: u64) -> Result<(), String> {
    #[cfg(target_arch = "wasm32")]
    return host::counter_add(name, &owned(labels), by);
    #[cfg(not(target_arch = "wasm32"))]
    testing::change(name, labels, |value| value + by as f64)
}

/// Sets a gauge.
///
/// # Errors
/// Which rule was broken.
pub fn gauge(name: &str, labels: Labels<'_>, value: f64) -> Result<(), String> {
    #[cfg(target_arch = "wasm32")]
    return host::gauge_set(name, &owned(labels), value);
    #[cfg(not(target_arch = "wasm32"))]
    testing::change(name, labels, |_before| value)
}

/// Adds an observation to a histogram with buckets from 0.005 to 10, for seconds.
///
/// # Errors
/// Which rule was broken.
pub fn observe(name: &str, labels: Labels<'_>, value: f64) -> Result<(), String> {
    #[cfg(target_arch = "wasm32")]
    return host::histogram_observe(name, &owned(labels), value);
    #[cfg(not(target_arch = "wasm32"))]
    testing::change(name, labels, |sum| sum + value)
}

#[cfg(target_arch = "wasm32")]
use crate::bindings::granted::gantry::rocketmq::metrics as host;

fn owned(labels: Labels<'_>) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The figures in a plugin's own unit tests: each thread, and so each test, has its own.
#[cfg(not(target_arch = "wasm32"))]
pub mod testing {
    use super::{Labels, owned};
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    type Series = (String, Vec<(String, String)>);

    thread_local! {
        static SERIES: RefCell<BTreeMap<Series, f64>> = const { RefCell::new(BTreeMap::new()) };
    }

    fn key(name: &str, labels: Labels<'_>) -> Series {
        let mut labels = owned(labels);
        labels.sort();
        (name.to_owned(), labels)
    }

    pub(super) fn change(name: &str, labels: Labels<'_>, act: impl FnOnce(f64) -> f64) -> Result<(), String> {
        SERIES.with_borrow_mut(|series| {
            let value = series.entry(key(name, labels)).or_default();
            *value = act(*value);
        });
        Ok(())
    }

    /// What a counter or a gauge has now, or a histogram's sum; none where nothing was said of it.
    pub fn value(name: &str, labels: Labels<'_>) -> Option<f64> {
        SERIES.with_borrow(|series| series.get(&key(name, labels)).copied())
    }
}
