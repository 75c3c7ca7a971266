//! The embedded broker in a process of its own, to be killed: `suite-broker DIR ADDRESS`. Prints its address, and ends
//! when its standard input does.

#![allow(clippy::print_stdout, reason = "the address is the program's output")]

use std::io::Read as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Storage};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("name a data directory")?.into();
    let listen: SocketAddr = arguments.next().context("name an address")?.parse()?;
    let storage = Storage::Directory { path, fsync: FsyncPolicy::Os };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let broker = Broker::start(BrokerConfig { listen, storage, ..BrokerConfig::default() }).await?;
        println!("{}", broker.local_addr());
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        broker.stop().await;
        Ok(())
    })
}
