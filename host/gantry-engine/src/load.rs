//! From a file's bytes to a plugin that may serve: every check in order, each with its own error.

use std::{sync::Arc, time::Instant};

use thiserror::Error;
use wasmtime::component::{Component, InstancePre};

use crate::{
    description::{self, UnsoundDescription},
    engine::{Engine, EngineInner},
    failure::{GuestFailure, InstantiateError},
    granted::{Grants, Held},
    guest::GuestState,
    hash::ContentHash,
    imports::{self, RefusedImport, Surface},
    instance::{GuestError, Live, Role, Template},
    listener::{Guest, ListenerRole},
    module::ListenerModule,
    state::PluginState,
    strategy::{StrategyModule, StrategyRole},
    wit::{LISTENER_INTERFACE, ListenerDescription, STRATEGY_INTERFACE},
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
         {LISTENER_INTERFACE} (world gantry:rocketmq/message-listener), a strategy {STRATEGY_INTERFACE} \
         (world gantry:rocketmq/allocate-message-queue-strategy)",
        listed(exports)
    )]
    UnknownWorld {
        /// What it does export.
        exports: Vec<String>,
    },
    /// A strategy where a listener is wanted.
    #[error(
        "the component is an allocation strategy and no message listener: it does not export {LISTENER_INTERFACE}"
    )]
    NoListener,
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
            LoadError::NoListener => "no-listener",
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

/// What a component is to the host: one of these or both.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// What identifies this version: the hash of the file's content.
    pub hash: ContentHash,
    /// The message listener (world `message-listener`).
    pub listener: Option<ListenerModule>,
    /// The allocation strategy (world `allocate-message-queue-strategy`).
    pub strategy: Option<StrategyModule>,
}

impl Plugin {
    /// The plugin's own version, for people; the listener's where it is both.
    #[must_use]
    pub fn version(&self) -> &str {
        let listener = self.listener.as_ref().map(|module| &module.description().version);
        let strategy = || self.strategy.as_ref().map(|module| &module.description().version);
        listener.or_else(strategy).map(String::as_str).unwrap_or_default()
    }

    /// The roles it plays, by name: `listener`, `strategy`.
    #[must_use]
    pub fn roles(&self) -> Vec<&'static str> {
        let listener = self.listener.is_some().then_some("listener");
        listener.into_iter().chain(self.strategy.is_some().then_some("strategy")).collect()
    }
}

impl Engine {
    /// Checks, compiles and describes a component as a message listener, and readies its first instance. As
    /// [`Engine::load_plugin`], for whoever has no use for anything else.
    ///
    /// # Errors
    /// As [`Engine::load_plugin`]; and a component that is no listener.
    pub fn load(&self, bytes: &[u8], grants: &Grants) -> Result<ListenerModule, LoadError> {
        self.load_plugin(bytes, grants, &mut |_| ())?.listener.ok_or(LoadError::NoListener)
    }

    /// Checks, compiles and describes a component in every role it plays, readies a listener's first instance, and tells of
    /// each state that is reached: validated, compiled, warmed.
    ///
    /// Takes as long as compiling does, seconds for a large one without a cache: call it on a thread that may block,
    /// and not on one that drives asynchronous tasks.
    ///
    /// # Errors
    /// See [`LoadError`]. Nothing is left behind but, perhaps, an entry of the compiled-code cache.
    pub fn load_plugin(
        &self,
        bytes: &[u8],
        grants: &Grants,
        reached: &mut dyn FnMut(PluginState),
    ) -> Result<Plugin, LoadError> {
        check_bytes(bytes)?;
        let exports = check_surface(bytes, grants)?;
        let plays = |interface: &str| exports.iter().any(|name| name == interface);
        reached(PluginState::Validated);
        let hash = ContentHash::of(bytes);
        let (component, from_cache, took) = self.0.compile(bytes, &hash)?;
        let listener = plays(LISTENER_INTERFACE).then(|| find::<ListenerRole>(&component)).transpose()?;
        let strategy = plays(STRATEGY_INTERFACE).then(|| find::<StrategyRole>(&component)).transpose()?;
        reached(PluginState::Compiled { from_cache, took });
        let pre = self.0.linker.instantiate_pre(&component).map_err(|error| wrong_types(&error))?;
        let grants = Arc::new(Held::new(grants));
        let listener =
            listener.map(|role| listener_of(self.template(&pre, role, &hash, &grants), hash)).transpose()?;
        let strategy =
            strategy.map(|role| strategy_of(self.template(&pre, role, &hash, &grants), hash)).transpose()?;
        reached(PluginState::Warmed { instances: usize::from(listener.is_some()) });
        Ok(Plugin { hash, listener, strategy })
    }

    fn template<R>(
        &self,
        pre: &InstancePre<GuestState>,
        role: R,
        hash: &ContentHash,
        grants: &Arc<Held>,
    ) -> Template<R> {
        let (engine, grants) = (Arc::clone(&self.0), Arc::clone(grants));
        Template { engine, pre: pre.clone(), role, plugin: hash.short().into(), grants }
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

/// What it exports, of which at least one interface is known; it imports only what it may.
fn check_surface(bytes: &[u8], grants: &Grants) -> Result<Vec<String>, LoadError> {
    let Surface { imports, exports } =
        Surface::read(bytes).map_err(|error| LoadError::Invalid { reason: error.to_string() })?;
    if !exports.iter().any(|name| [LISTENER_INTERFACE, STRATEGY_INTERFACE].contains(&&**name)) {
        return Err(LoadError::UnknownWorld { exports });
    }
    let refused = imports::refused(&imports, grants);
    if refused.is_empty() { Ok(exports) } else { Err(LoadError::UngrantedImport(refused)) }
}

fn find<R: Role>(component: &Component) -> Result<R, LoadError> {
    let missing = |name| LoadError::WrongTypes {
        reason: format!("`{name}` is not among the functions of {}", R::INTERFACE),
    };
    R::find(component).map_err(missing)
}

/// Asks a listener for its description, checks it, and readies the first instance under the listener's own name.
fn listener_of(mut template: Template<ListenerRole>, hash: ContentHash) -> Result<ListenerModule, LoadError> {
    let deadline = template.engine.config.describe_deadline;
    let description: ListenerDescription =
        instantiate(&template)?.describe(deadline).map_err(LoadError::DescribeFailed)?;
    description::check(&description)?;
    template.plugin = description.name.as_str().into();
    let first: Guest = instantiate(&template)?;
    Ok(ListenerModule::new(template, description, hash, first))
}

/// Asks a strategy for its description and checks it.
fn strategy_of(mut template: Template<StrategyRole>, hash: ContentHash) -> Result<StrategyModule, LoadError> {
    let deadline = template.engine.config.describe_deadline;
    let description =
        instantiate(&template)?.describe_strategy(deadline).map_err(LoadError::DescribeFailed)?;
    description::check_strategy(&description)?;
    template.plugin = description.name.as_str().into();
    Ok(StrategyModule::new(template, description, hash))
}

fn instantiate<R: Role>(template: &Template<R>) -> Result<Live<R::Functions>, LoadError> {
    template.instantiate().map_err(|error| match error {
        GuestError::Instantiate(error) => LoadError::Instantiate(error),
        GuestError::Types(reason) => LoadError::WrongTypes { reason },
    })
}
