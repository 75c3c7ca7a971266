//! What `cargo xtask bindings` writes from `wit/`: a file for each world.

#[cfg(target_arch = "wasm32")]
pub(crate) mod config;
#[cfg(target_arch = "wasm32")]
pub(crate) mod granted;
#[cfg(target_arch = "wasm32")]
pub(crate) mod keyvalue;
pub mod lean;
pub mod lifecycle;
pub mod listener;
#[cfg(target_arch = "wasm32")]
pub(crate) mod logging;
pub mod packed;
pub mod selector;
pub mod strategy;
