//! `gantry broker`: the embedded name server and broker alone.

use std::process::ExitCode;

use anyhow::Context as _;
use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Storage};
use serde_json::json;

use super::print_json;
use crate::cli::{BrokerArgs, Fsync};
use crate::signals::{asked_to_stop, stop_or_exit};

pub(crate) async fn run(args: BrokerArgs) -> anyhow::Result<ExitCode> {
    let fsync = match args.fsync {
        Fsync::Always => FsyncPolicy::EveryCommit,
        Fsync::Os => FsyncPolicy::Os,
    };
    let (storage, kept) = if args.in_memory {
        (Storage::InMemory, "in memory only".to_owned())
    } else {
        let kept = format!("in {}", args.data.display());
        (Storage::Directory { path: args.data.clone(), fsync }, kept)
    };
    let config = BrokerConfig { listen: args.listen, storage, ..BrokerConfig::default() };
    let broker = Broker::start(config).await.context("the broker cannot start")?;
    let address = broker.local_addr();
    if args.json {
        print_json(&json!({ "event": "started", "nameServer": address, "messages": kept }))?;
    } else {
        println!("name server and broker: {address}, messages kept {kept}");
        println!("Ctrl-C or SIGTERM stops it");
    }
    asked_to_stop().await?;
    stop_or_exit(broker.stop()).await?;
    if args.json {
        print_json(&json!({ "event": "stopped" }))?;
    } else {
        println!("stopped");
    }
    Ok(ExitCode::SUCCESS)
}
