//! The host's side of `gantry:rocketmq/metrics`.

use wasmtime::component::Linker;

use super::Store;
use crate::{guest::GuestState, wit::METRICS_INTERFACE};

/// Longest name of a metric or a label, in bytes.
const MAX_NAME: usize = 64;
/// Longest value of a label, in bytes.
pub const MAX_LABEL_VALUE: usize = 128;
/// Most labels of one metric.
const MAX_LABELS: usize = 16;
/// What the host itself says by a label.
const RESERVED: [&str; 2] = ["plugin", "le"];

/// Label names and values.
type Labels = Vec<(String, String)>;

/// Keeps a plugin's figures. Names and labels that reach it are of the form the WIT asks for, and the labels sorted; how
/// many there may be, and that a metric stays what it was, is for the implementation to see to. It must not block.
pub trait Metrics: Send + Sync + 'static {
    /// Adds to a counter.
    ///
    /// # Errors
    /// The rule that was broken.
    fn counter_add(&self, name: &str, labels: &[(String, String)], value: u64) -> Result<(), String>;

    /// Sets a gauge.
    ///
    /// # Errors
    /// The rule that was broken.
    fn gauge_set(&self, name: &str, labels: &[(String, String)], value: f64) -> Result<(), String>;

    /// Adds an observation to a histogram.
    ///
    /// # Errors
    /// The rule that was broken.
    fn histogram_observe(&self, name: &str, labels: &[(String, String)], value: f64) -> Result<(), String>;

    /// Counts something that was refused before it came here.
    fn refused(&self);
}

/// Hands on what is of the right form.
fn with(
    state: &GuestState,
    name: &str,
    mut labels: Labels,
    act: impl FnOnce(&dyn Metrics, &[(String, String)]) -> Result<(), String>,
) -> Result<(), String> {
    let metrics = state.grants.metrics.as_deref().ok_or("metrics are not granted to this plugin")?;
    labels.sort();
    check(name, &labels).inspect_err(|_rule| metrics.refused())?;
    act(metrics, &labels)
}

fn check(name: &str, labels: &[(String, String)]) -> Result<(), String> {
    check_name("the metric's name", name)?;
    if labels.len() > MAX_LABELS {
        return Err(format!("{} labels; a metric may have {MAX_LABELS}", labels.len()));
    }
    for (label, value) in labels {
        check_name("a label's name", label)?;
        if RESERVED.contains(&label.as_str()) || label.starts_with("__") {
            return Err(format!("the label `{label}` is the host's own"));
        }
        if value.len() > MAX_LABEL_VALUE {
            let length = value.len();
            return Err(format!("the value of `{label}` has {length} bytes; it may have {MAX_LABEL_VALUE}"));
        }
    }
    let mut pairs = labels.iter().zip(labels.iter().skip(1));
    match pairs.find(|((one, _), (other, _))| one == other) {
        Some(((label, _), _)) => Err(format!("the label `{label}` is there twice")),
        None => Ok(()),
    }
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let sound = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with(|c: char| c.is_ascii_digit());
    let shown: String = name.chars().take(MAX_NAME).filter(|c| !c.is_control()).collect();
    let rule = "1 to 64 of a-z A-Z 0-9 _, not beginning with a digit";
    if sound { Ok(()) } else { Err(format!("{what} is `{shown}`; it must be {rule}")) }
}

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(METRICS_INTERFACE)?;
    interface.func_wrap(
        "counter-add",
        |store: Store<'_>, (name, labels, value): (String, Labels, u64)| {
            let act = |metrics: &dyn Metrics, labels: &[_]| metrics.counter_add(&name, labels, value);
            Ok((with(store.data(), &name, labels, act),))
        },
    )?;
    interface.func_wrap("gauge-set", |store: Store<'_>, (name, labels, value): (String, Labels, f64)| {
        let act = |metrics: &dyn Metrics, labels: &[_]| metrics.gauge_set(&name, labels, value);
        Ok((with(store.data(), &name, labels, act),))
    })?;
    interface.func_wrap(
        "histogram-observe",
        |store: Store<'_>, (name, labels, value): (String, Labels, f64)| {
            let act = |metrics: &dyn Metrics, labels: &[_]| metrics.histogram_observe(&name, labels, value);
            Ok((with(store.data(), &name, labels, act),))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn names_and_labels_are_of_the_form_that_prometheus_reads() {
        assert_eq!(check("orders_paid", &labels(&[("currency", "EUR"), ("shop", "ä")])), Ok(()));
        for name in ["", "9lives", "a-b", "a\nb", &"x".repeat(65)] {
            assert!(check(name, &[]).unwrap_err().contains("1 to 64"), "{name}");
        }
        assert!(check("n", &labels(&[("a b", "")])).unwrap_err().contains("`a b`"));
        assert!(check("n", &labels(&[("plugin", "")])).unwrap_err().contains("host's own"));
        assert!(check("n", &labels(&[("a", "1"), ("a", "2")])).unwrap_err().contains("twice"));
        let long = "x".repeat(129);
        assert!(check("n", &labels(&[("a", &long)])).unwrap_err().contains("129 bytes"));
        let many: Labels = (0..17).map(|n| (format!("l{n:02}"), String::new())).collect();
        assert!(check("n", &many).unwrap_err().contains("17 labels"));
    }
}
