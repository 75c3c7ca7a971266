//! A host in a process of its own, to be killed: `suite-host CONFIG PLUGINS LEDGER GROUP TOPIC`. Its one listener sleeps
//! over each message and appends it to the ledger before it answers. Prints its client id. It stops as `gantry run` does when
//! it is asked to, and ends at once when its standard input does.

#![allow(clippy::print_stdout, reason = "the client id is the program's output")]

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use gantry_host::config::GantryConfig;
use gantry_host::{Host, Unobserved};
use gantry_suite::{Scribe, Sleeper};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &'static str| arguments.next().with_context(|| format!("name {what}"));
    let mut config = GantryConfig::from_file(&PathBuf::from(next("a configuration")?))?;
    config.plugins = next("a plugins directory")?.into();
    let scribe = Scribe::to_file(&PathBuf::from(next("a ledger")?))?;
    let sleeper = Sleeper::new(&next("a group")?, &next("a topic")?, scribe);
    std::thread::spawn(|| {
        let _ended = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1)
    });
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let host = Host::start(config, Arc::new(Unobserved)).await?;
        host.add_native(sleeper).await?;
        println!("{}", host.status().client_id);
        terminate.recv().await;
        Ok(if host.stop().await.graceful { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}
