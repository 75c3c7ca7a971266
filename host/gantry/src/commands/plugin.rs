//! `gantry plugin`: what a plugin file is, without a broker.

use std::process::ExitCode;

use anyhow::Context as _;
use gantry_engine::{Engine, EngineConfig, FilterExpression, Grants, ListenerDescription};
use serde_json::json;

use super::print_json;
use crate::cli::PluginCheckArgs;

pub(crate) fn check(args: &PluginCheckArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display().to_string();
    let grants = Grants::from_names(&args.grant)?;
    let bytes = std::fs::read(&args.file).with_context(|| format!("cannot read {file}"))?;
    let engine = Engine::new(EngineConfig::default())?;
    match engine.load(&bytes, &grants) {
        Ok(module) => {
            let description = module.description();
            if args.json {
                let hash = module.hash().to_string();
                print_json(
                    &json!({ "file": file, "loads": true, "bytes": bytes.len(), "hash": hash, "description": description }),
                )?;
            } else {
                println!("{file}: a message listener, {} bytes, content hash {}", bytes.len(), module.hash());
                print(description);
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
