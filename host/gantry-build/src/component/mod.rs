//! From a core module to a component: the world goes in, and WASI preview 1 where the module asks for it.

use std::path::Path;

use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::error::{BuildError, at, step};

/// The module that compilers for WASI preview 1 import.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Makes a component of a core module that exports `world`.
pub(crate) fn of_module(core: &Path, resolve: &Resolve, world: WorldId) -> Result<Vec<u8>, BuildError> {
    let mut module = std::fs::read(core).map_err(at(core))?;
    const STEP: &str = "making a component of the core module";
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8)
        .map_err(|error| step(STEP, error))?;
    let adapter = adapter()?;
    let encode =
        || ComponentEncoder::default().validate(true).module(&module)?.adapter(PREVIEW1, &adapter)?.encode();
    encode().map_err(|error| step(STEP, error))
}

/// WASI preview 1 as `wasi.wat` tells it.
fn adapter() -> Result<Vec<u8>, BuildError> {
    const STEP: &str = "making the WASI adapter";
    let mut module = wat::parse_str(include_str!("wasi.wat")).map_err(|error| step(STEP, error))?;
    let mut resolve = Resolve::default();
    let package =
        resolve.push_str("wasi.wit", include_str!("wasi.wit")).map_err(|error| step(STEP, error))?;
    let world = resolve.select_world(&[package], Some("needs")).map_err(|error| step(STEP, error))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| step(STEP, error))?;
    Ok(module)
}
