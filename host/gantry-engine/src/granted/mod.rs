//! What a plugin may touch beyond the messages it is lent, and only where it was granted: one file for each import.
//!
//! A grant is a service of the host ([`Producer`], [`KeyValue`], [`Metrics`], [`PluginLog`], [`HttpGrant`]) that is kept
//! beside every instance of the plugin. What is not granted is refused before anything is compiled (see `imports`); the
//! functions here are linked for everyone and find nothing to act on without it.
//!
//! What a guest passes in is bounded before it is acted on, and nothing it passes makes a function trap: results are
//! values.

mod config;
mod files;
mod grants;
mod http;
mod keyvalue;
mod line_limit;
mod logging;
mod metrics;
mod producer;
mod without_effects;

use std::ops::Deref;

use wasmtime::{StoreContextMut, component::Linker};

pub use grants::{Directory, Grant, Grants, UnknownGrant};
pub(crate) use http::GuestHttp;
pub use http::{HttpGrant, HttpHost, UnsoundHost};
pub use keyvalue::{Change, KeyValue, KeyValueError, KeysFrom, Versioned};
pub(crate) use line_limit::{LineLimit, Verdict};
pub use logging::PluginLog;
pub use metrics::{MAX_LABEL_VALUE, Metrics};
pub use producer::{MessageQueueSelector, Producer, SendError, SendReceipt, SendStatus};
pub use without_effects::Suppressed;

use crate::guest::GuestState;

/// Lines a second in the log of what a version writes to standard output and error.
const OUTPUT_LINES: u32 = 100;

/// What all instances of a version hold in common.
#[derive(Debug)]
pub(crate) struct Held {
    grants: Grants,
    /// Bounds what standard output and error bring into the log, which needs no grant.
    pub(crate) output: LineLimit,
}

impl Held {
    pub(crate) fn new(grants: &Grants) -> Self {
        Self { grants: grants.clone(), output: LineLimit::new(OUTPUT_LINES) }
    }
}

impl Deref for Held {
    type Target = Grants;

    fn deref(&self) -> &Grants {
        &self.grants
    }
}

type Store<'a> = StoreContextMut<'a, GuestState>;

/// Offers every interface to components, after `wasi` has linked what everyone has.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    producer::add_to_linker(linker)?;
    config::add_to_linker(linker)?;
    keyvalue::add_to_linker(linker)?;
    logging::add_to_linker(linker)?;
    metrics::add_to_linker(linker)?;
    http::add_to_linker(linker)?;
    files::look_before_opening(linker)
}
