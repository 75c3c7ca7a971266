//! The command line: what can be said, and the help that teaches it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gantry_protocol::Namespace;

/// WebAssembly components as message listeners of Apache RocketMQ.
///
/// Drop a .wasm file into the plugins directory and messages flow through it; overwrite it and the new logic takes
/// over, without a restart and with nothing lost.
#[derive(Debug, Parser)]
#[command(name = "gantry", version, propagate_version = true, after_help = crate::commands::exit::HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log, such as `info`, `debug` or `gantry_host=debug,warn`. The environment variable GANTRY_LOG does the same.
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the host: consume messages of a RocketMQ cluster through the plugins of a directory.
    Run(RunArgs),
    /// Run the embedded name server and broker alone, for RocketMQ clients of any language.
    Broker(BrokerArgs),
    /// See it all at work: embedded broker, host, sample plugins and a stream of messages in one process.
    Demo(DemoArgs),
    /// Send messages to a topic.
    Send(crate::commands::send::SendArgs),
    /// Read messages of a topic, without joining a group: every queue to its end, or on and on.
    Pull(crate::commands::pull::PullArgs),
    /// Measure on this machine what a host costs, beside what it is meant to cost.
    Bench(BenchArgs),
    /// Make, list, describe and delete topics.
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Check plugin files, and drive the plugins of a running host.
    #[command(subcommand)]
    Plugin(crate::commands::plugin::PluginCommand),
    /// Show a running host: plugins, groups and queues.
    Status(crate::commands::status::StatusArgs),
    /// Look at consumer groups, and move their offsets.
    #[command(subcommand)]
    Group(crate::commands::group::GroupCommand),
    /// Look at dead letters, export them, and send them again.
    #[command(subcommand)]
    Dlq(crate::commands::dlq::DlqCommand),
    /// Find messages by id and by key.
    #[command(subcommand)]
    Message(crate::commands::message::MessageCommand),
    /// Write the completions of a shell to standard output.
    Completions(crate::commands::completions::CompletionsArgs),
    /// Write the manual page to standard output.
    Man(crate::commands::completions::ManArgs),
}

/// Where the cluster is.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Name servers, `host:port`, several joined by `;`, or the `http://` URL of an address server. Overrides the file. [default: 127.0.0.1:9876]
    #[arg(short, long, value_name = "HOST:PORT", env = "GANTRY_NAME_SERVER")]
    pub(crate) name_server: Option<String>,
    /// A gantry.toml whose `name-server` and `[client]` (TLS, account, namespace) are taken. The account may also come from
    /// GANTRY_ACCESS_KEY and GANTRY_SECRET_KEY.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The `[clusters.NAME]` of that file to take in place of `name-server` and `[client]`.
    #[arg(long, value_name = "NAME", requires = "config")]
    pub(crate) cluster: Option<String>,
    /// The namespace topics and groups are in: `orders` is `NAMESPACE%orders` at the brokers. Lists show what is in it. Overrides
    /// the file. [default: none]
    #[arg(long, value_name = "NAMESPACE", value_parser = Namespace::new)]
    pub(crate) namespace: Option<Namespace>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry run --name-server 127.0.0.1:9876 --plugins plugins/
  gantry run --config gantry.toml

A plugin needs no configuration: it says itself which group it joins and what it subscribes to; gantry.toml overrides.
SIGTERM or Ctrl-C drains: pulls stop, batches finish, offsets are committed, the host unregisters. A second one exits at once.")]
pub(crate) struct RunArgs {
    /// The configuration file. Without it, `gantry.toml` in this directory is read if it exists.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Name servers, `host:port`, several joined by `;`, or the `http://` URL of an address server. Overrides the file. [default: 127.0.0.1:9876]
    #[arg(short, long, value_name = "HOST:PORT")]
    pub(crate) name_server: Option<String>,
    /// The plugins directory. Overrides the file. [default: plugins]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) plugins: Option<PathBuf>,
    /// Where the admin API listens; port 0 takes a free one, and an address that is not loopback takes a token. Overrides the file. [default: 127.0.0.1:8088]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<SocketAddr>,
    /// One JSON object per line instead of text: the start, each plugin's state, and the report of the stop.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry broker --listen 127.0.0.1:9876 --data broker-data/
  gantry broker --in-memory

Give clients the printed address as their name server; it is the broker's address too.")]
pub(crate) struct BrokerArgs {
    /// Address of the name server and broker; port 0 takes a free one.
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:9876")]
    pub(crate) listen: SocketAddr,
    /// Where messages and offsets are kept. Made if it does not exist.
    #[arg(
        short,
        long,
        value_name = "DIR",
        default_value = "gantry-broker-data",
        conflicts_with = "in_memory"
    )]
    pub(crate) data: PathBuf,
    /// Keep everything in memory: nothing is left when the broker stops.
    #[arg(long)]
    pub(crate) in_memory: bool,
    /// When an acknowledged message is on disk.
    #[arg(long, value_enum, default_value_t = Fsync::Os)]
    pub(crate) fsync: Fsync,
    /// A file with an account a line, access key and secret key separated by a space: only who signs as one of them is
    /// heard. Empty lines and those that begin with `#` are passed over.
    #[arg(long, value_name = "FILE")]
    pub(crate) accounts: Option<PathBuf>,
    /// Speak TLS too, with the certificate in this PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key, a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Ask TLS clients for a certificate of one of the authorities in this PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Turn clients away that do not speak TLS.
    #[arg(long, requires = "tls_cert")]
    pub(crate) tls_only: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// When an acknowledged message is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fsync {
    /// Before the acknowledgement: survives a power cut (RocketMQ: SYNC_FLUSH).
    Always,
    /// When the system writes it: survives a kill of the broker (RocketMQ: ASYNC_FLUSH).
    Os,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry demo --plugins target/guests/components
  gantry demo --plugins target/guests/components --for 20s --json")]
pub(crate) struct DemoArgs {
    /// The directory with the built sample plugins, orders.wasm and orders-v2.wasm.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) plugins: PathBuf,
    /// Where the demo keeps its own plugins directory and broker data; emptied at each start.
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    pub(crate) workspace: PathBuf,
    /// End by itself after this long, such as `20s` or `2m`, and swap the plugin once on the way. Without it: until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) for_: Option<Duration>,
    /// Messages sent per second.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// No live lines; a JSON summary at the end. Exit code 0 only if nothing was lost.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench
  gantry bench --plugins target/guests/components --short

Every round is a host that consumes the whole load from an embedded broker in another process; wasm and native take
turns. Figures of a debug build, or of a machine that does other work, say little.")]
pub(crate) struct BenchArgs {
    /// The directory with the built sample plugin, minimal.wasm.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) plugins: PathBuf,
    /// Where results.json and the measurements' files go.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) workspace: PathBuf,
    /// A tenth of the load and one round: shows that everything works.
    #[arg(long)]
    pub(crate) short: bool,
    /// Messages in each round. [default: 200000, with --short 20000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    pub(crate) messages: Option<u64>,
    /// Rounds of wasm and native. [default: 5, with --short 1]
    #[arg(long, value_name = "N", value_parser = rounds)]
    pub(crate) rounds: Option<usize>,
    /// One JSON object instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Make a topic, or change its number of queues.
    Create(TopicCreateArgs),
    /// List the topics the name server knows.
    List(TopicListArgs),
    /// Show which brokers have a topic, with how many queues, and whether they may be read and written.
    Route(crate::commands::topic::OneTopicArgs),
    /// Show how many messages a topic has, and where each queue begins and ends.
    Stats(crate::commands::topic::OneTopicArgs),
    /// Delete a topic with its messages. Shows what would be lost, and does it with --yes.
    Delete(crate::commands::topic::DeleteArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  gantry topic create orders --queues 8")]
pub(crate) struct TopicCreateArgs {
    /// The topic: up to 127 of `A-Z a-z 0-9 _ - % |`.
    pub(crate) topic: String,
    /// Queues per broker, for reading and for writing.
    #[arg(short, long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) queues: u32,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TopicListArgs {
    /// RocketMQ's own topics too: retry, dead-letter, system.
    #[arg(short, long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// A JSON array instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "s" => 1_000,
        "ms" => 1,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("expected a number with ms, s, m or h, such as 20s".into()),
    };
    let number: u64 =
        number.parse().map_err(|_| "expected a number with ms, s, m or h, such as 20s".to_owned())?;
    number.checked_mul(factor).map(Duration::from_millis).ok_or_else(|| "too long".to_owned())
}

fn rounds(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|rounds| (1..=100).contains(rounds))
        .ok_or_else(|| "expected 1 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_take_units() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("soon").is_err());
    }
}
