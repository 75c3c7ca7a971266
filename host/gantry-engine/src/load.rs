//! From a file's bytes to a listener that may serve: every check in order, each with its own error.

use std::{sync::Arc, time::Instant};

use thiserror::Error;
use wasmtime::component::Component;

use crate::{
    config::Grants,
    description::{self, UnsoundDescription},
    engine::{Engine, EngineInner},
    failure::{GuestFailure, InstantiateError},
    hash::ContentHash,
    imports::{self, RefusedImport, Surface},
    instance::{Guest, GuestError, ListenerExports, Template},
    module::ListenerModule,
    state::PluginState,
    wit::{LISTENER_INTERFACE, ListenerDescription},
};

/// Largest component taken, in bytes: StarlingMonkey's and CPython's are 12 to 18 MB.
pub const MAX_COMPONENT_BYTES: usize = 128 << 20;

/// Why a file is not taken.
#[derive(Debug, Error)]
pub enum LoadError {
    /// No bytes at all.
    #[error("the file is empty; write it under another name and rename it into place when it is whole")]
    Empty,
    /// More than [`MAX_COMPONENT_BYTES`].
    #[error("the file has {bytes} bytes; a component may have {MAX_COMPONENT_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Something else altogether.
    #[error(
        "this is not WebAssembly: it does not begin with the bytes `\\0asm`; a plugin is a component, a .wasm file"
    )]
    NotWasm,
    /// Machine code that wasmtime compiled earlier.
    #[error(
        "this is precompiled machine code (.cwasm), which is never loaded from a plugin file; \
         give the component it was made from"
    )]
    Precompiled,
    /// A core module.
    #[error(
        "this is a core module, not a component; build it for the target wasm32-wasip2, \
         or run it through `wasm-tools component new`"
    )]
    CoreModule,
    /// The compiler refuses it.
    #[error("the component is not valid: {reason}")]
    Invalid {
        /// What the compiler says.
        reason: String,
    },
    /// It exports no world this host knows.
    #[error(
        "the component exports no interface this host knows: it exports {}; a listener exports \
         {LISTENER_INTERFACE} (world gantry:rocketmq/message-listener)",
        listed(exports)
    )]
    UnknownWorld {
        /// What it does export.
        exports: Vec<String>,
    },
    /// It imports what it may not have.
    #[error("{}", lines(.0))]
    UngrantedImport(Vec<RefusedImport>),
    /// The names are right and the types are not.
    #[error(
        "the component was built against other definitions of gantry:rocketmq@0.1.0: {reason}; \
         build it against the WIT files of this host"
    )]
    WrongTypes {
        /// Where they differ.
        reason: String,
    },
    /// No instance can be made.
    #[error(transparent)]
    Instantiate(#[from] InstantiateError),
    /// `describe` trapped, ran past its deadline, or out of memory.
    #[error("`describe` gave no answer: {0}")]
    DescribeFailed(GuestFailure),
    /// `describe` breaks a rule.
    #[error(transparent)]
    UnsoundDescription(#[from] UnsoundDescription),
}

impl LoadError {
    /// A short name for metrics and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            LoadError::Empty => "empty",
            LoadError::TooLarge { .. } => "too-large",
            LoadError::NotWasm => "not-wasm",
            LoadError::Precompiled => "precompiled",
            LoadError::CoreModule => "core-module",
            LoadError::Invalid { .. } => "invalid",
            LoadError::UnknownWorld { .. } => "unknown-world",
            LoadError::UngrantedImport(_) => "ungranted-import",
            LoadError::WrongTypes { .. } => "wrong-types",
            LoadError::Instantiate(_) => "instantiate",
            LoadError::DescribeFailed(_) => "describe-failed",
            LoadError::UnsoundDescription(_) => "unsound-description",
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn lines(refused: &[RefusedImport]) -> String {
    refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Engine {
    /// Checks, compiles and describes a component, and readies its first instance.
    ///
    /// Takes as long as compiling does, seconds for a large one without a cache: call it on a thread that may block,
    /// and not on one that drives asynchronous tasks.
    ///
    /// # Errors
    /// See [`LoadError`]. Nothing is left behind but, perhaps, an entry of the compiled-code cache.
    pub fn load(&self, bytes: &[u8], grants: &Grants) -> Result<ListenerModule, LoadError> {
        self.load_observed(bytes, grants, &mut |_| ())
    }

    /// As [`Engine::load`], telling of each state that is reached: validated, compiled, warmed.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn load_observed(
        &self,
        bytes: &[u8],
        grants: &Grants,
        reached: &mut dyn FnMut(PluginState),
    ) -> Result<ListenerModule, LoadError> {
        check_bytes(bytes)?;
        check_surface(bytes, grants)?;
        reached(PluginState::Validated);
        let hash = ContentHash::of(bytes);
        let (component, from_cache, took) = self.0.compile(bytes, &hash)?;
        let exports = ListenerExports::find(&component).map_err(missing)?;
        reached(PluginState::Compiled { from_cache, took });
        let pre = self.0.linker.instantiate_pre(&component).map_err(|error| wrong_types(&error))?;
        let plugin: Arc<str> = hash.short().into();
        let template = Template { engine: Arc::clone(&self.0), pre, exports, plugin };
        let (description, guest, template) = describe(template)?;
        reached(PluginState::Warmed { instances: 1 });
        Ok(ListenerModule::new(template, description, hash, guest))
    }
}

impl EngineInner {
    fn compile(
        &self,
        bytes: &[u8],
        hash: &ContentHash,
    ) -> Result<(Component, bool, std::time::Duration), LoadError> {
        let began = Instant::now();
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.load(&self.wasmtime, hash)) {
            return Ok((component, true, began.elapsed()));
        }
        let component = Component::from_binary(&self.wasmtime, bytes)
            .map_err(|error| LoadError::Invalid { reason: format!("{error:#}") })?;
        if let Some(cache) = &self.cache {
            cache.store(hash, &component);
        }
        Ok((component, false, began.elapsed()))
    }
}

fn wrong_types(error: &wasmtime::Error) -> LoadError {
    LoadError::WrongTypes { reason: format!("{error:#}") }
}

/// What can be told from the first bytes.
fn check_bytes(bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.is_empty() {
        return Err(LoadError::Empty);
    }
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(LoadError::TooLarge { bytes: bytes.len() });
    }
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(LoadError::Precompiled);
    }
    match bytes.split_at_checked(8) {
        Some((b"\0asm\x01\0\0\0", _)) => Err(LoadError::CoreModule),
        Some((header, _)) if header.starts_with(b"\0asm") => Ok(()),
        _ => Err(LoadError::NotWasm),
    }
}

/// Whether it exports a listener and imports only what it may.
fn check_surface(bytes: &[u8], grants: &Grants) -> Result<(), LoadError> {
    let surface = Surface::read(bytes).map_err(|error| LoadError::Invalid { reason: error.to_string() })?;
    if !surface.exports.iter().any(|name| name == LISTENER_INTERFACE) {
        return Err(LoadError::UnknownWorld { exports: surface.exports });
    }
    let refused = imports::refused(&surface.imports, grants);
    if refused.is_empty() { Ok(()) } else { Err(LoadError::UngrantedImport(refused)) }
}

fn missing(name: &str) -> LoadError {
    LoadError::WrongTypes { reason: format!("`{name}` is not among the functions of {LISTENER_INTERFACE}") }
}

/// Asks the listener for its description and checks it. The template comes back under the listener's own name.
fn describe(mut template: Template) -> Result<(ListenerDescription, Guest, Template), LoadError> {
    let description = {
        let mut guest = instantiate(&template)?;
        let config = &template.engine.config;
        guest
            .describe(config.describe_deadline, config.deadline_resolution)
            .map_err(LoadError::DescribeFailed)?
    };
    description::check(&description)?;
    template.plugin = description.name.as_str().into();
    let guest = instantiate(&template)?;
    Ok((description, guest, template))
}

fn instantiate(template: &Template) -> Result<Guest, LoadError> {
    template.instantiate().map_err(|error| match error {
        GuestError::Instantiate(error) => LoadError::Instantiate(error),
        GuestError::Types(reason) => LoadError::WrongTypes { reason },
    })
}
