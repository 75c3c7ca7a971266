//! `gantry plugin check`: what a plugin file is, without a broker.

mod outside;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use gantry_engine::{
    Engine, EngineConfig, FilterExpression, Footprint, Grants, ListenerDescription, Plugin, PluginState,
};
use serde_json::{Value, json};

use crate::commands::print_json;
use outside::Outside;

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 the file would load, 1 it would be rejected.")]
pub(crate) struct CheckArgs {
    /// The .wasm file, a component.
    file: PathBuf,
    /// Grant an import, as `grants` in gantry.toml does. May be given several times.
    #[arg(long, value_name = "NAME")]
    grant: Vec<String>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// A plugin as it was loaded.
struct Loaded {
    plugin: Plugin,
    /// How long the compiler took.
    compiling: Duration,
    /// Whether its instances come from reserved memory, which has bounds for them.
    pooled: bool,
    footprint: Option<Footprint>,
}

pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display().to_string();
    let grants = Grants::from_names(&args.grant)?;
    let bytes = std::fs::read(&args.file).with_context(|| format!("cannot read {file}"))?;
    let engine = Engine::new(EngineConfig::default())?;
    // What a file asks for is told of one that would be rejected too, if it can be read so far.
    let outside = gantry_engine::surface(&bytes).ok().map(|surface| Outside::new(surface, grants.clone()));
    let loaded = load(&engine, &bytes, &grants);
    if args.json {
        print_json(&as_json(&file, bytes.len(), outside.as_ref(), &loaded))?;
    } else {
        match &loaded {
            Ok(loaded) => {
                let what = what(&loaded.plugin);
                say!("{file}: {what}, {} bytes, content hash {}", bytes.len(), loaded.plugin.hash);
                print(args, loaded, engine.config());
            }
            Err(error) => say!("{file}: would be rejected\n{error}"),
        }
        if let Some(outside) = &outside {
            outside.print();
        }
    }
    Ok(if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn load(engine: &Engine, bytes: &[u8], grants: &Grants) -> Result<Loaded, gantry_engine::LoadError> {
    let mut compiling = Duration::ZERO;
    let plugin = engine.load_plugin(bytes, grants, &mut |state| {
        if let PluginState::Compiled { took, .. } = state {
            compiling = took;
        }
    })?;
    let strategy = || plugin.strategy.as_ref().and_then(|module| module.footprint());
    let selector = || plugin.selector.as_ref().and_then(|module| module.footprint());
    let listener = plugin.listener.as_ref().and_then(|module| module.footprint());
    let footprint = listener.or_else(strategy).or_else(selector);
    Ok(Loaded { plugin, compiling, pooled: engine.is_pooled(), footprint })
}

fn as_json(
    file: &str,
    bytes: usize,
    outside: Option<&Outside>,
    loaded: &Result<Loaded, gantry_engine::LoadError>,
) -> Value {
    let mut all = match loaded {
        Err(error) => json!({
            "file": file, "loads": false, "bytes": bytes, "rule": error.name(), "reason": error.to_string()
        }),
        Ok(Loaded { plugin, compiling, pooled, footprint }) => json!({
            "file": file, "loads": true, "bytes": bytes, "hash": plugin.hash.to_string(), "roles": plugin.roles(),
            "description": plugin.listener.as_ref().map(|module| module.description()),
            "strategy": plugin.strategy.as_ref().map(|module| module.description()),
            "selector": plugin.selector.as_ref().map(|module| module.description()),
            "compileMilliseconds": compiling.as_secs_f64() * 1e3, "instance": footprint, "pooled": pooled,
        }),
    };
    if let (Some(all), Some(outside)) = (all.as_object_mut(), outside) {
        all.extend(outside.as_json());
    }
    all
}

fn what(plugin: &Plugin) -> String {
    let roles = [
        (plugin.listener.is_some(), "a message listener"),
        (plugin.strategy.is_some(), "an allocation strategy"),
        (plugin.selector.is_some(), "a queue selector"),
    ];
    let played: Vec<&str> = roles.into_iter().filter_map(|(plays, role)| plays.then_some(role)).collect();
    played.join(" and ")
}

/// What the host would call the plugin.
fn stem(args: &CheckArgs) -> String {
    args.file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn print(args: &CheckArgs, loaded: &Loaded, config: &EngineConfig) {
    let Loaded { plugin, compiling, pooled, footprint } = loaded;
    if let Some(description) = plugin.listener.as_ref().map(|module| module.description()) {
        print_listener(description);
    }
    if let Some(description) = plugin.strategy.as_ref().map(|module| module.description()) {
        say!("  strategy        {}", description.name);
        say!("  version         {}", description.version);
        say!("  chosen by       allocate-message-queue-strategy = \"plugin:{}\"", stem(args));
    }
    if let Some(description) = plugin.selector.as_ref().map(|module| module.description()) {
        say!("  selector        {}", description.name);
        say!("  version         {}", description.version);
        say!("  chosen by       gantry send --selector plugin:{}", args.file.display());
    }
    let debug = if cfg!(debug_assertions) { " (a debug build)" } else { "" };
    say!("  compiled in     {} ms{debug}", compiling.as_millis());
    if let Some(Footprint { memories, memory_bytes, tables, table_elements }) = footprint {
        let (kibibytes, most) = (memory_bytes / 1024, config.memory_max_bytes / 1024);
        let fits =
            if *pooled { "fits the pool" } else { "made on demand: this machine has no room for a pool" };
        say!(
            "  an instance     memories: {memories}, {kibibytes} KiB of {most}; tables: {tables}, {table_elements} elements; {fits}"
        );
    }
    let most = config.max_instances;
    if plugin.listener.is_some() {
        say!("  instances       one for each of `threads` under [engine], of {most} in a host");
    } else if plugin.selector.is_some() {
        say!("  instances       one for each sender at a time, of {most} in a host");
    } else {
        say!("  instances       one for each question, of {most} in a host");
    }
}

fn print_listener(description: &ListenerDescription) {
    say!("  name            {}", description.name);
    say!("  version         {}", description.version);
    say!("  consumer group  {}", description.consumer_group);
    for subscription in &description.subscriptions {
        let (kind, text) = match &subscription.expression {
            FilterExpression::Tag(text) => ("tags", text),
            FilterExpression::Sql92(text) => ("SQL92", text),
        };
        say!("  subscribes to   {}, {kind} {text}", subscription.topic);
    }
    let batch = description.consume_message_batch_max_size.unwrap_or(1);
    say!("  batch           up to {batch} messages a call");
    let retries = description.max_reconsume_times.unwrap_or(16);
    say!("  retries         {retries}, then the dead-letter topic");
    match description.consume_timeout {
        Some(ms) => say!("  deadline        {ms} ms a call"),
        None => say!("  deadline        the host's default"),
    }
}
