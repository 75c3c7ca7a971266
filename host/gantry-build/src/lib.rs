//! How a plugin's sources become a component.
//!
//! A plugin's directory has a manifest, `gantry-plugin.toml`, that says its name, its language and its roles.
//! [`build`] finds the language's toolchain or fetches it at a version that is known to work, writes the SDK and the WIT
//! beside the sources (in `.gantry/`, where editors find them), and makes the component. [`create`] makes such a directory.
//!
//! It knows nothing of what the host does with components: no engine is among its dependencies.

#![forbid(unsafe_code)]

mod c;
mod command;
mod component;
mod create;
mod embedded;
mod error;
mod go;
mod javascript;
mod manifest;
mod plugin;
mod python;
mod rust;
mod sources;
mod toolchains;
mod world;

pub use create::{New, create};
pub use error::BuildError;
pub use manifest::{Import, Language, MANIFEST, Manifest, Role};
pub use plugin::{Built, Plugin, build};
pub use toolchains::Toolchains;
