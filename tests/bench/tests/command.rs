//! The comparison as a whole, at a small scale: the embedded broker, a native listener, raw pulls.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value;

#[test]
fn every_figure_of_a_short_run_is_there_and_sound() {
    let workspace = tempfile::tempdir().unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_gantry-peers"));
    bench.args(["--short", "--json", "--only", "native,bare", "--brokers", "embedded", "--workspace"]);
    let output = bench.arg(workspace.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();

    let rows = results["rows"].as_array().unwrap();
    let figures = |contestant: &str, figure: &str| -> Vec<f64> {
        let own = rows.iter().filter(|row| row["contestant"] == contestant);
        own.filter_map(|row| row["figures"][figure]["median"].as_f64()).collect()
    };
    for contestant in ["native", "bare"] {
        assert_eq!(figures(contestant, "messagesPerSecond").len(), 2, "at the defaults, and tuned");
        assert!(figures(contestant, "messagesPerSecond").iter().all(|rate| *rate > 0.0));
        assert!(figures(contestant, "startToFirstMs").iter().all(|time| *time > 0.0));
        let (p50, p99) = (figures(contestant, "latencyP50Ms"), figures(contestant, "latencyP99Ms"));
        assert!(p50[0] > 0.0 && p50[0] <= p99[0], "{p50:?}, {p99:?}");
    }
    assert_eq!(figures("native", "duplicates"), [0.0, 0.0]);
    assert_eq!(figures("native", "uncommitted"), [0.0, 0.0]);
    assert!(figures("bare", "sentSinglyPerSecond")[0] > 0.0);
    assert_eq!(results["notes"].as_array().unwrap().len(), 0);

    let page = std::fs::read_to_string(workspace.path().join("benchmarks.md")).unwrap();
    let plots: Vec<&str> =
        page.lines().filter_map(|line| line.split_once("](")?.1.strip_suffix(')')).collect();
    assert!(!plots.is_empty());
    for plot in plots {
        assert!(std::fs::read_to_string(workspace.path().join(plot)).unwrap().contains("<svg"), "{plot}");
    }
}
