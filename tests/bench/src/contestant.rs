//! Who is measured, and at which settings.

use serde::Serialize;

use crate::brokers::{PULL, PULL_BYTES};

/// A consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contestant {
    /// A listener in Rust that is part of the host's program.
    Native,
    /// `gantry run` with the sample plugin `minimal`, which takes bytes.
    Rust,
    /// The same plugin, which takes records.
    Records,
    C,
    Js,
    Go,
    Python,
    /// Apache's Java client.
    JavaClient,
    /// rocketmq-client-go.
    GoClient,
    /// rocketmq-client-rust.
    RustClient,
    /// Raw pulls, of which only sizes are looked at; raw sends.
    Bare,
}

impl Contestant {
    /// All of them, in the order of tables.
    pub(crate) const ALL: [Self; 11] = [
        Self::Native,
        Self::Rust,
        Self::Records,
        Self::C,
        Self::Js,
        Self::Go,
        Self::Python,
        Self::JavaClient,
        Self::GoClient,
        Self::RustClient,
        Self::Bare,
    ];
    /// Other clients.
    pub(crate) const PEERS: [Self; 3] = [Self::JavaClient, Self::GoClient, Self::RustClient];

    /// The component's file without `.wasm`, of those that run one.
    pub(crate) const fn component(self) -> Option<&'static str> {
        match self {
            Self::Rust => Some("minimal"),
            Self::Records => Some("minimal-records"),
            Self::C => Some("greetings-c"),
            Self::Js => Some("greetings-js"),
            Self::Go => Some("greetings-go"),
            Self::Python => Some("greetings-python"),
            _ => None,
        }
    }
}

impl std::fmt::Display for Contestant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native => "Gantry, native listener",
            Self::Rust => "Gantry, Rust",
            Self::Records => "Gantry, Rust, records",
            Self::C => "Gantry, C",
            Self::Js => "Gantry, JavaScript",
            Self::Go => "Gantry, Go",
            Self::Python => "Gantry, Python",
            Self::JavaClient => "Java client",
            Self::GoClient => "Go client",
            Self::RustClient => "Rust client",
            Self::Bare => "bare drain",
        })
    }
}

/// How a consumer is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Setting {
    /// As it comes: in all of them 32 messages a pull, one a call, 20 threads or as many cores as there are.
    Defaults,
    /// Large pulls, 32 messages a call, 4 threads.
    By32,
    /// Large pulls, 1,024 messages a call, 4 threads.
    By1024,
}

/// What a setting sets, by the names of Java's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuning {
    /// pullBatchSize
    pub(crate) pull: usize,
    /// pullBatchSizeInBytes
    pub(crate) bytes: usize,
    /// consumeMessageBatchMaxSize
    pub(crate) batch: usize,
    /// pullThresholdForQueue
    pub(crate) threshold: usize,
    /// consumeConcurrentlyMaxSpan
    pub(crate) span: usize,
    /// consumeThreadMin and consumeThreadMax
    pub(crate) threads: usize,
}

impl Setting {
    /// What it changes; nothing at the defaults.
    pub(crate) const fn tuning(self) -> Option<Tuning> {
        let batch = match self {
            Self::Defaults => return None,
            Self::By32 => 32,
            Self::By1024 => 1024,
        };
        Some(Tuning { pull: PULL, bytes: PULL_BYTES, batch, threshold: 10_000, span: 65_535, threads: 4 })
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Defaults => "defaults",
            Self::By32 => "pull 1,024, batch 32",
            Self::By1024 => "pull 1,024, batch 1,024",
        })
    }
}
