//! `gantry plugin check`: what a plugin file is, without a broker.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use gantry_engine::{Engine, EngineConfig, FilterExpression, Grants, ListenerDescription, Plugin};
use serde_json::json;

use crate::commands::print_json;

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

pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display().to_string();
    let grants = Grants::from_names(&args.grant)?;
    let bytes = std::fs::read(&args.file).with_context(|| format!("cannot read {file}"))?;
    let engine = Engine::new(EngineConfig::default())?;
    match engine.load_plugin(&bytes, &grants, &mut |_| ()) {
        Ok(plugin) => {
            let listener = plugin.listener.as_ref().map(|module| module.description());
            let strategy = plugin.strategy.as_ref().map(|module| module.description());
            if args.json {
                let (hash, roles) = (plugin.hash.to_string(), plugin.roles());
                print_json(
                    &json!({ "file": file, "loads": true, "bytes": bytes.len(), "hash": hash, "roles": roles, "description": listener, "strategy": strategy }),
                )?;
            } else {
                println!("{file}: {}, {} bytes, content hash {}", what(&plugin), bytes.len(), plugin.hash);
                if let Some(description) = listener {
                    print(description);
                }
                if let Some(description) = strategy {
                    println!("  strategy        {}", description.name);
                    println!("  version         {}", description.version);
                    println!("  chosen by       allocate-message-queue-strategy = \"plugin:{}\"", stem(args));
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            if args.json {
                print_json(&json!({ "file": file, "loads": false, "reason": error.to_string() }))?;
            } else {
                println!("{file}: would be rejected\n{error}");
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

fn what(plugin: &Plugin) -> String {
    let listener = plugin.listener.as_ref().map(|_| "a message listener");
    let strategy = plugin.strategy.as_ref().map(|_| "an allocation strategy");
    let selector = plugin.selector.as_ref().map(|_| "a queue selector");
    [listener, strategy, selector].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

/// What the host would call the plugin.
fn stem(args: &CheckArgs) -> String {
    args.file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn print(description: &ListenerDescription) {
    println!("  name            {}", description.name);
    println!("  version         {}", description.version);
    println!("  consumer group  {}", description.consumer_group);
    for subscription in &description.subscriptions {
        let (kind, text) = match &subscription.expression {
            FilterExpression::Tag(text) => ("tags", text),
            FilterExpression::Sql92(text) => ("SQL92", text),
        };
        println!("  subscribes to   {}, {kind} {text}", subscription.topic);
    }
    let batch = description.consume_message_batch_max_size.unwrap_or(1);
    println!("  batch           up to {batch} messages a call");
    let retries = description.max_reconsume_times.unwrap_or(16);
    println!("  retries         {retries}, then the dead-letter topic");
    match description.consume_timeout {
        Some(ms) => println!("  deadline        {ms} ms a call"),
        None => println!("  deadline        the host's default"),
    }
}
