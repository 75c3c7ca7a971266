//! The embedded broker alone, for tests that kill it and for measuring: `broker DIR|memory [os|every-commit] [ADDRESS [PULL]]`,
//! PULL being the most messages of a pull.
//! Prints its address, then serves until its standard input ends.
#![allow(clippy::print_stdout, reason = "the address is the program's output")]

use std::io::Read as _;

use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Storage};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned());
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().ok_or("name a data directory, or say memory")?;
    let fsync = match arguments.next().as_deref() {
        None | Some("os") => FsyncPolicy::Os,
        Some("every-commit") => FsyncPolicy::EveryCommit,
        Some(other) => return Err(format!("{other} is neither os nor every-commit").into()),
    };
    let storage = match place.as_str() {
        "memory" => Storage::InMemory,
        path => Storage::Directory { path: path.into(), fsync },
    };
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse()?;
    let defaults = BrokerConfig::default();
    let (max_pull_count, max_pull_bytes) = match arguments.next() {
        Some(most) => (most.parse()?, 4 << 20),
        None => (defaults.max_pull_count, defaults.max_pull_bytes),
    };
    let config = BrokerConfig { listen, storage, max_pull_count, max_pull_bytes, ..defaults };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let broker = Broker::start(config).await?;
        println!("{}", broker.local_addr());
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        broker.stop().await;
        Ok(())
    })
}
