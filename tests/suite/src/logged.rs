//! The log: to the test's output, filtered by `GANTRY_LOG`, and its warnings and errors kept to be looked at.

use std::io::{self, Write};
use std::sync::{Mutex, Once};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Bytes of warnings kept; those of a process that says more are not kept any longer.
const KEPT: usize = 16 << 20;

static WARNINGS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The first warning or error with both texts, such as a group's name and a rule, if there was one.
pub fn warned(one: &str, other: &str) -> Option<String> {
    let warnings = String::from_utf8_lossy(&WARNINGS.lock().unwrap()).into_owned();
    warnings.lines().find(|line| line.contains(one) && line.contains(other)).map(str::to_owned)
}

pub(crate) fn log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = std::env::var("GANTRY_LOG").unwrap_or_else(|_| "info".to_owned());
        let told = layer().with_test_writer().with_ansi(false).with_filter(EnvFilter::new(filter));
        let kept = layer().with_writer(|| Keeper).with_ansi(false).with_filter(LevelFilter::WARN);
        tracing_subscriber::registry().with(told).with(kept).init();
    });
}

struct Keeper;

impl Write for Keeper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = WARNINGS.lock().unwrap();
        if kept.len() < KEPT {
            kept.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
