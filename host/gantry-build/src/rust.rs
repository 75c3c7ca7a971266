//! Rust: cargo makes a core module for wasm32-unknown-unknown, `wit-component` a component of it.

use crate::error::{BuildError, step};
use crate::plugin::Plugin;

pub(crate) fn build(_plugin: &Plugin) -> Result<Vec<u8>, BuildError> {
    Err(step("building", "soon"))
}
