//! `gantry run`: the host.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use gantry_host::config::GantryConfig;
use gantry_host::{Host, Observer, PluginChange, SharedObserver, Unobserved};
use serde_json::json;

use super::tell;
use crate::cli::RunArgs;
use crate::signals::{asked_to_stop, stop_or_exit};

const DEFAULT_FILE: &str = "gantry.toml";

pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let config = configuration(&args)?;
    let (name_server, plugins) = (config.name_server.clone(), config.plugins.display().to_string());
    let observer: SharedObserver = if args.json { Arc::new(JsonLines) } else { Arc::new(Unobserved) };
    let host = Host::start(config, observer).await.context("the host cannot start")?;
    let admin = host.admin_address().map(|address| format!("http://{address}"));
    if args.json {
        tell(json!({ "event": "started", "nameServer": name_server, "plugins": plugins, "admin": admin }));
    } else {
        tell(format_args!("gantry runs: name server {name_server}, plugins in {plugins}"));
        match admin {
            Some(admin) => tell(format_args!("admin API: {admin} (GET / lists its paths)")),
            None => tell("admin API: off"),
        }
        tell("Ctrl-C or SIGTERM drains and stops");
    }
    asked_to_stop().await?;
    if !args.json {
        tell("stopping: pulls end, batches finish, offsets are committed");
    }
    let report = stop_or_exit(host.stop()).await?;
    if args.json {
        tell(json!({ "event": "stopped", "graceful": report.graceful }));
    } else if report.graceful {
        tell("stopped");
    } else {
        tell("stopped before everything was finished: what was left is delivered again (see the log)");
    }
    Ok(if report.graceful { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each step of a plugin's life as one JSON object; in text the log tells of them.
struct JsonLines;

impl Observer for JsonLines {
    fn watches_messages(&self) -> bool {
        false
    }

    fn plugin_changed(&self, change: &PluginChange) {
        let PluginChange { plugin, state, version, reason } = change;
        tell(
            json!({ "event": "plugin", "plugin": plugin, "state": state, "version": version, "reason": reason }),
        );
    }
}

/// The file, if there is one, with the command line over it.
fn configuration(args: &RunArgs) -> anyhow::Result<GantryConfig> {
    let mut config = match &args.config {
        Some(file) => GantryConfig::from_file(file)?,
        None if Path::new(DEFAULT_FILE).exists() => GantryConfig::from_file(Path::new(DEFAULT_FILE))?,
        None => GantryConfig::default(),
    };
    if let Some(name_server) = &args.name_server {
        config.name_server = name_server.clone();
    }
    if let Some(plugins) = &args.plugins {
        config.plugins = plugins.clone();
    }
    if let Some(listen) = args.admin_listen {
        config.admin.listen = listen;
    }
    Ok(config)
}
