//! `gantry plugin list`: the plugins of a running host.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::commands::admin::{AdminArgs, at, print_table, segment, text};
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
            say!();
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
        let outcomes = at(plugin, "/outcomes");
        rows.push(vec![
            text(at(plugin, "/name")),
            text(at(plugin, "/state")),
            text(at(plugin, "/version")),
            short(at(plugin, "/hash")),
            text(at(plugin, "/consumerGroup")),
            text(at(outcomes, "/succeeded")),
            text(at(outcomes, "/reconsumed")),
            text(at(outcomes, "/deadLettered")),
            text(at(outcomes, "/failed")),
        ]);
        notes.extend(notes_of(plugin));
    }
    print_table(&rows);
    for note in notes {
        say!("{note}");
    }
}

fn notes_of(plugin: &Value) -> Vec<String> {
    let name = text(at(plugin, "/name"));
    let mut notes = Vec::new();
    for (key, what) in [("rejected", "rejected: "), ("held", "")] {
        if let Some(reason) = plugin.get(key).and_then(Value::as_str) {
            notes.push(format!("{name}: {what}{reason}"));
        }
    }
    let candidate = at(plugin, "/candidate");
    if candidate.is_object() {
        notes.push(format!(
            "{name}: {} of version {} ({}), {}; {} messages ended, {} failed; waits for {}",
            text(at(candidate, "/role")),
            text(at(candidate, "/version")),
            short(at(candidate, "/hash")),
            text(at(candidate, "/share")),
            text(at(candidate, "/figures/messages")),
            at(candidate, "/figures/fatal").as_u64().unwrap_or(0)
                + at(candidate, "/figures/broken").as_u64().unwrap_or(0),
            text(at(candidate, "/waitsFor"))
        ));
        let shadow = at(candidate, "/shadow");
        if shadow.is_object() {
            notes.push(format!(
                "{name}: its results agree for {} messages and differ for {}",
                text(at(shadow, "/agreed")),
                text(at(shadow, "/differed"))
            ));
        }
    }
    let breaker = at(plugin, "/breaker");
    if at(breaker, "/state").as_str().is_some_and(|state| state != "closed") {
        notes.push(format!(
            "{name}: breaker {}, its messages wait: {}",
            text(at(breaker, "/state")),
            text(at(breaker, "/why"))
        ));
    }
    notes
}

fn print_history(plugin: &Value) {
    let mut rows = vec![["HASH", "VERSION", "BYTES", "SERVED", "ENDED BECAUSE"].map(str::to_owned).to_vec()];
    for line in at(plugin, "/history").as_array().into_iter().flatten() {
        let served = at(line, "/ended").as_u64().zip(at(line, "/began").as_u64());
        rows.push(vec![
            short(at(line, "/hash")),
            text(at(line, "/version")),
            text(at(line, "/bytes")),
            served.map_or("serves".to_owned(), |(end, began)| {
                format!("{} s", end.saturating_sub(began) / 1000)
            }),
            text(at(line, "/reason")),
        ]);
    }
    print_table(&rows);
    for entry in at(plugin, "/quarantined").as_array().into_iter().flatten() {
        say!("in quarantine: {}: {}", short(at(entry, "/hash")), text(at(entry, "/reason")));
    }
}

fn short(hash: &Value) -> String {
    text(hash).chars().take(12).collect()
}
