//! `gantry plugin list`: the plugins of a running host.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::commands::admin::{AdminArgs, print_table, segment, text};
use crate::commands::print_json;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry plugin list
  gantry plugin list orders

Exit codes: 0 listed, 1 the host cannot be asked or has no such plugin.")]
pub(crate) struct ListArgs {
    /// One plugin, with the versions that served.
    name: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
    /// JSON, as GET /plugins gives it.
    #[arg(long)]
    json: bool,
}

pub(super) fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let path = match &args.name {
        Some(name) => format!("/plugins/{}", segment(name)),
        None => "/plugins".to_owned(),
    };
    let answer = args.admin.get(&path)?;
    match (args.json, &args.name) {
        (true, _) => print_json(&answer)?,
        (false, None) => print(&answer),
        (false, Some(_)) => {
            print(&Value::Array(vec![answer.clone()]));
            println!();
            print_history(&answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints plugins as a table, and below it what there is to say of each.
pub(crate) fn print(plugins: &Value) {
    let head = ["PLUGIN", "STATE", "VERSION", "HASH", "GROUP", "SUCCEEDED", "RECONSUMED", "DEAD", "FAILED"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut notes = Vec::new();
    for plugin in plugins.as_array().into_iter().flatten() {
        let outcomes = &plugin["outcomes"];
        rows.push(vec![
            text(&plugin["name"]),
            text(&plugin["state"]),
            text(&plugin["version"]),
            short(&plugin["hash"]),
            text(&plugin["consumerGroup"]),
            text(&outcomes["succeeded"]),
            text(&outcomes["reconsumed"]),
            text(&outcomes["deadLettered"]),
            text(&outcomes["failed"]),
        ]);
        notes.extend(notes_of(plugin));
    }
    print_table(&rows);
    for note in notes {
        println!("{note}");
    }
}

fn notes_of(plugin: &Value) -> Vec<String> {
    let name = text(&plugin["name"]);
    let mut notes = Vec::new();
    for (key, what) in [("rejected", "rejected: "), ("held", "")] {
        if let Some(reason) = plugin[key].as_str() {
            notes.push(format!("{name}: {what}{reason}"));
        }
    }
    let candidate = &plugin["candidate"];
    if candidate.is_object() {
        notes.push(format!(
            "{name}: {} of version {} ({}), {}; {} messages ended, {} failed; waits for {}",
            text(&candidate["role"]),
            text(&candidate["version"]),
            short(&candidate["hash"]),
            text(&candidate["share"]),
            text(&candidate["figures"]["messages"]),
            candidate["figures"]["fatal"].as_u64().unwrap_or(0)
                + candidate["figures"]["broken"].as_u64().unwrap_or(0),
            text(&candidate["waitsFor"])
        ));
        let shadow = &candidate["shadow"];
        if shadow.is_object() {
            notes.push(format!(
                "{name}: its results agree for {} messages and differ for {}",
                text(&shadow["agreed"]),
                text(&shadow["differed"])
            ));
        }
    }
    let breaker = &plugin["breaker"];
    if breaker["state"].as_str().is_some_and(|state| state != "closed") {
        notes.push(format!(
            "{name}: breaker {}, its messages wait: {}",
            text(&breaker["state"]),
            text(&breaker["why"])
        ));
    }
    notes
}

fn print_history(plugin: &Value) {
    let mut rows = vec![["HASH", "VERSION", "BYTES", "SERVED", "ENDED BECAUSE"].map(str::to_owned).to_vec()];
    for line in plugin["history"].as_array().into_iter().flatten() {
        let served = line["ended"].as_u64().zip(line["began"].as_u64());
        rows.push(vec![
            short(&line["hash"]),
            text(&line["version"]),
            text(&line["bytes"]),
            served.map_or("serves".to_owned(), |(end, began)| {
                format!("{} s", end.saturating_sub(began) / 1000)
            }),
            text(&line["reason"]),
        ]);
    }
    print_table(&rows);
    for entry in plugin["quarantined"].as_array().into_iter().flatten() {
        println!("in quarantine: {}: {}", short(&entry["hash"]), text(&entry["reason"]));
    }
}

fn short(hash: &Value) -> String {
    text(hash).chars().take(12).collect()
}
