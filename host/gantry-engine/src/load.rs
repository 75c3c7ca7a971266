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
    instance::{GuestError, Live, Missing, Role, Template},
    lifecycle::Lifecycle,
    listener::{Guest, ListenerRole},
    module::ListenerModule,
    selector::{SelectorModule, SelectorRole},
    state::PluginState,
    strategy::{StrategyModule, StrategyRole},
    wit::{
        LEAN_LISTENER_INTERFACE, LIFECYCLE_INTERFACE, LISTENER_INTERFACE, ListenerDescription,
        MESSAGING_HANDLER_INTERFACE, PACKED_LISTENER_INTERFACE, SELECTOR_INTERFACE, STRATEGY_INTERFACE,
    },
};

use crate::failure::{bounded_text, short};

/// Largest component taken, in bytes: StarlingMonkey's and CPython's are 12 to 18 MB.
pub const MAX_COMPONENT_BYTES: usize = 128 << 20;

/// The package of the worlds this host runs, and its version.
const PACKAGE: &str = "gantry:rocketmq";
const PACKAGE_VERSION: &str = "0.1.0";

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
    /// It exports an interface of this host's package in another version than the host's.
    #[error(
        "the component exports {export}, and this host runs {PACKAGE}@{PACKAGE_VERSION}; build it against the WIT of this \
         host, or give it to a host of its own version"
    )]
    OtherVersion {
        /// What it exports.
        export: String,
    },
    /// The compiler refuses it.
    #[error("the component is not valid: {reason}")]
    Invalid {
        /// What the compiler says.
        reason: String,
    },
    /// It exports no world this host knows.
    #[error(
        "the component exports no interface this host knows: it exports {}; a listener exports \
         {LISTENER_INTERFACE} (world gantry:rocketmq/message-listener) or {LEAN_LISTENER_INTERFACE} (world \
         gantry:rocketmq/message-listener-lean) or {PACKED_LISTENER_INTERFACE} (world \
         gantry:rocketmq/message-listener-packed) or {MESSAGING_HANDLER_INTERFACE}, a strategy {STRATEGY_INTERFACE} (world \
         gantry:rocketmq/allocate-message-queue-strategy), a selector {SELECTOR_INTERFACE} (world \
         gantry:rocketmq/message-queue-selector)",
        listed(exports)
    )]
    UnknownWorld {
        /// What it does export.
        exports: Vec<String>,
    },
    /// Something else where a listener is wanted.
    #[error(
        "the component is no message listener: it exports none of {LISTENER_INTERFACE}, {LEAN_LISTENER_INTERFACE}, \
         {PACKED_LISTENER_INTERFACE} and {MESSAGING_HANDLER_INTERFACE}"
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
            LoadError::OtherVersion { .. } => "other-version",
            LoadError::NoListener => "no-listener",
            LoadError::UngrantedImport(_) => "ungranted-import",
            LoadError::WrongTypes { .. } => "wrong-types",
            LoadError::Instantiate(_) => "instantiate",
            LoadError::DescribeFailed(_) => "describe-failed",
            LoadError::UnsoundDescription(_) => "unsound-description",
        }
    }
}

/// Most names of a file's own that one error gives.
const MAX_NAMES: usize = 8;

fn listed(names: &[String]) -> String {
    // Interfaces first: they are what worlds are made of.
    let (mut names, types): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| name.contains('/'));
    names.extend(types);
    if names.is_empty() { "nothing".to_owned() } else { few(&names, |name| short(name), ", ") }
}

fn lines(refused: &[RefusedImport]) -> String {
    few(refused, |refused| shortened(refused).to_string(), "; ")
}

/// With names that anybody can read, and no more of its functions than that.
fn shortened(refused: &RefusedImport) -> RefusedImport {
    let functions = vec![few(&refused.functions, |name| short(name), ", ")];
    RefusedImport { import: short(&refused.import), functions, ..refused.clone() }
}

/// The first of them, and how many more there are.
fn few<T>(items: &[T], shown: impl FnMut(&T) -> String, separator: &str) -> String {
    let first: Vec<String> = items.iter().take(MAX_NAMES).map(shown).collect();
    let more = match items.len().saturating_sub(MAX_NAMES) {
        0 => String::new(),
        more => format!("{separator}and {more} more"),
    };
    first.join(separator) + &more
}

/// What a component is to the host: at least one of these.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// What identifies this version: the hash of the file's content.
    pub hash: ContentHash,
    /// The message listener (world `message-listener`, `message-listener-lean` or `message-listener-packed`).
    pub listener: Option<ListenerModule>,
    /// The allocation strategy (world `allocate-message-queue-strategy`).
    pub strategy: Option<StrategyModule>,
    /// The queue selector (world `message-queue-selector`).
    pub selector: Option<SelectorModule>,
}

impl Plugin {
    /// The plugin's own version, for people; the listener's where it is one.
    #[must_use]
    pub fn version(&self) -> &str {
        let listener = self.listener.as_ref().map(|module| &module.description().version);
        let strategy = || self.strategy.as_ref().map(|module| &module.description().version);
        let selector = || self.selector.as_ref().map(|module| &module.description().version);
        listener.or_else(strategy).or_else(selector).map(String::as_str).unwrap_or_default()
    }

    /// The roles it plays, by name: `listener`, `strategy`, `selector`.
    #[must_use]
    pub fn roles(&self) -> Vec<&'static str> {
        let listener = self.listener.is_some().then_some("listener");
        let strategy = self.strategy.is_some().then_some("strategy");
        let selector = self.selector.is_some().then_some("selector");
        [listener, strategy, selector].into_iter().flatten().collect()
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

    /// Checks, compiles and describes a component in every role it plays, readies the first instance of a listener and of a selector, and tells of
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
        let exports = check_surface(bytes, grants).map_err(precise)?;
        let plays = |interface: &str| exports.iter().any(|name| name == interface);
        reached(PluginState::Validated);
        let hash = ContentHash::of(bytes);
        let (component, from_cache, took) = self.0.compile(bytes, &hash)?;
        let listener =
            ListenerRole::is_played_by(&exports).then(|| find::<ListenerRole>(&component)).transpose()?;
        let strategy = plays(STRATEGY_INTERFACE).then(|| find::<StrategyRole>(&component)).transpose()?;
        let selector = plays(SELECTOR_INTERFACE).then(|| find::<SelectorRole>(&component)).transpose()?;
        let lifecycle = plays(LIFECYCLE_INTERFACE).then(|| Lifecycle::find(&component)).transpose()?;
        reached(PluginState::Compiled { from_cache, took });
        let pre = self.0.linker.instantiate_pre(&component).map_err(|error| wrong_types(&error))?;
        let grants = Arc::new(Held::new(grants));
        let made = Made { engine: self, pre, lifecycle, grants, hash };
        let listener = listener.map(|role| listener_of(made.template(role), hash)).transpose()?;
        let strategy = strategy.map(|role| strategy_of(made.template(role), hash)).transpose()?;
        let selector = selector.map(|role| selector_of(made.template(role), hash)).transpose()?;
        let instances = usize::from(listener.is_some()) + usize::from(selector.is_some());
        reached(PluginState::Warmed { instances });
        Ok(Plugin { hash, listener, strategy, selector })
    }
}

/// A compiled component with all it imports, whatever its roles.
struct Made<'a> {
    engine: &'a Engine,
    pre: InstancePre<GuestState>,
    lifecycle: Option<Lifecycle>,
    grants: Arc<Held>,
    hash: ContentHash,
}

impl Made<'_> {
    fn template<R>(&self, role: R) -> Template<R> {
        Template {
            engine: Arc::clone(&self.engine.0),
            pre: self.pre.clone(),
            role,
            lifecycle: self.lifecycle,
            plugin: self.hash.short().into(),
            grants: Arc::clone(&self.grants),
        }
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
        let component =
            Component::from_binary(&self.wasmtime, bytes).map_err(|error| invalid(format!("{error:#}")))?;
        if let Some(cache) = &self.cache {
            cache.store(hash, &component);
        }
        Ok((component, false, began.elapsed()))
    }
}

fn wrong_types(error: &wasmtime::Error) -> LoadError {
    LoadError::WrongTypes { reason: bounded_text(format!("{error:#}")) }
}

/// The reason may hold names that the file chose.
fn invalid(reason: String) -> LoadError {
    LoadError::Invalid { reason: bounded_text(reason) }
}

/// An error about a file's outside, said as precisely and no longer than anybody reads.
fn precise(error: LoadError) -> LoadError {
    match error {
        LoadError::UnknownWorld { exports } => {
            match exports.iter().find(|export| is_of_other_version(export)) {
                Some(export) => LoadError::OtherVersion { export: short(export) },
                None => LoadError::UnknownWorld { exports },
            }
        }
        LoadError::Invalid { reason } => invalid(reason),
        other => other,
    }
}

/// Whether an export is an interface of this host's package in another version.
fn is_of_other_version(export: &str) -> bool {
    let interface = export.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/'));
    interface
        .and_then(|interface| interface.split_once('@'))
        .is_some_and(|(_, version)| version != PACKAGE_VERSION)
}

/// What can be told without reading what is in it.
pub(crate) fn check_bytes(bytes: &[u8]) -> Result<(), LoadError> {
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
        Some((header, _)) if header.starts_with(b"\0asm") => crate::surface::check_nesting(bytes),
        _ => Err(LoadError::NotWasm),
    }
}

/// What it exports, of which at least one interface is known; it imports only what it may.
fn check_surface(bytes: &[u8], grants: &Grants) -> Result<Vec<String>, LoadError> {
    let Surface { imports, exports } =
        Surface::read(bytes).map_err(|error| LoadError::Invalid { reason: error.to_string() })?;
    let other = |name: &String| [STRATEGY_INTERFACE, SELECTOR_INTERFACE].contains(&&**name);
    if !ListenerRole::is_played_by(&exports) && !exports.iter().any(other) {
        return Err(LoadError::UnknownWorld { exports });
    }
    let refused = imports::refused(&imports, grants);
    if refused.is_empty() { Ok(exports) } else { Err(LoadError::UngrantedImport(refused)) }
}

fn find<R: Role>(component: &Component) -> Result<R, LoadError> {
    Ok(R::find(component)?)
}

impl From<Missing> for LoadError {
    fn from(missing: Missing) -> Self {
        LoadError::WrongTypes { reason: missing.to_string() }
    }
}

/// Asks a listener for its description, checks it, and readies the first instance under the listener's own name.
fn listener_of(mut template: Template<ListenerRole>, hash: ContentHash) -> Result<ListenerModule, LoadError> {
    let deadline = template.engine.config.describe_deadline;
    let described = describing(&template)?.describe(deadline).map_err(LoadError::DescribeFailed)?;
    let description = match described {
        Some(description) => {
            description::check(&description)?;
            description
        }
        None => ListenerDescription::unsaid(template.plugin.to_string()),
    };
    template.plugin = description.name.as_str().into();
    let describes_itself = template.role.describes_itself();
    let first: Guest = instantiate(&template)?;
    Ok(ListenerModule::new(template, description, describes_itself, hash, first))
}

/// Asks a strategy for its description and checks it, and whether an instance can begin its life.
fn strategy_of(mut template: Template<StrategyRole>, hash: ContentHash) -> Result<StrategyModule, LoadError> {
    let deadline = template.engine.config.describe_deadline;
    let description =
        describing(&template)?.describe_strategy(deadline).map_err(LoadError::DescribeFailed)?;
    description::check_strategy(&description)?;
    template.plugin = description.name.as_str().into();
    if template.lifecycle.is_some() {
        instantiate(&template)?.retire();
    }
    Ok(StrategyModule::new(template, description, hash))
}

/// Asks a selector for its description, checks it, and readies the first instance.
fn selector_of(mut template: Template<SelectorRole>, hash: ContentHash) -> Result<SelectorModule, LoadError> {
    let deadline = template.engine.config.describe_deadline;
    let description =
        describing(&template)?.describe_selector(deadline).map_err(LoadError::DescribeFailed)?;
    description::check_selector(&description)?;
    template.plugin = description.name.as_str().into();
    let first = instantiate(&template)?;
    Ok(SelectorModule::new(template, description, hash, first))
}

fn instantiate<R: Role>(template: &Template<R>) -> Result<Live<R::Functions>, LoadError> {
    template.instantiate().map_err(no_instance)
}

fn describing<R: Role>(template: &Template<R>) -> Result<Live<R::Functions>, LoadError> {
    template.for_describing().map_err(no_instance)
}

fn no_instance(error: GuestError) -> LoadError {
    match error {
        GuestError::Instantiate(error) => LoadError::Instantiate(error),
        GuestError::Types(reason) => LoadError::WrongTypes { reason },
    }
}
