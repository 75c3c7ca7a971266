//! Gantry's host as a library, in a process of its own: with a listener that is Rust code instead of a component, or with an
//! observer that looks at each message's time.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use gantry_host::config::GantryConfig;
use gantry_host::{
    ConsumeContext, ConsumeResult, Host, ListenerDescription, MessageBatch, NativeListener, Observer,
    Settled, Unobserved,
};

use crate::tally::Tally;

/// How to consume.
#[derive(Debug, clap::Args)]
pub(crate) struct Library {
    /// A gantry.toml, which the listener is named in.
    #[arg(long)]
    config: PathBuf,
    /// Messages that are expected.
    #[arg(long)]
    count: u64,
    /// The name of a listener that is part of this program.
    #[arg(long)]
    native: Option<String>,
    /// Bodies begin with the time they were sent.
    #[arg(long)]
    latency: bool,
}

/// Runs the host until standard input ends.
pub(crate) fn run(library: Library) -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("warn").init();
    let config = GantryConfig::from_file(&library.config)?;
    let tally = Arc::new(Tally::new(library.count));
    gantry_host::runtime()?.block_on(async {
        let host = match library.latency {
            true => Host::start(config, Arc::new(Timed(Arc::clone(&tally)))).await,
            false => Host::start(config, Arc::new(Unobserved)).await,
        };
        let host = host.context("the host cannot start")?;
        if let Some(name) = library.native {
            let counts = (!library.latency).then(|| Arc::clone(&tally));
            host.add_native(Greetings { name, counts }).await?;
        }
        tokio::task::spawn_blocking(|| std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new()))
            .await??;
        anyhow::ensure!(host.stop().await.graceful, "the host did not stop in time");
        tally.stopped();
        Ok(())
    })
}

/// Takes the time when a message is settled.
struct Timed(Arc<Tally>);

impl Observer for Timed {
    fn settled(&self, settled: &Settled<'_>) {
        if let Ok(body) = settled.message.body() {
            self.0.time(&body);
        }
    }
}

/// The sample plugin `minimal` as part of this program. Group and topic are those of the configuration.
struct Greetings {
    name: String,
    counts: Option<Arc<Tally>>,
}

impl NativeListener for Greetings {
    fn describe(&self) -> ListenerDescription {
        ListenerDescription::new(&self.name, "greetings-group", "greetings")
    }

    fn consume(&self, _: &ConsumeContext<'_>, batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
        let answer = |index| match batch.body(index).is_empty() {
            true => ConsumeResult::DeadLetter("a greeting without words".into()),
            false => ConsumeResult::Success,
        };
        let answers = (0..batch.len()).map(answer).collect();
        if let Some(tally) = &self.counts {
            tally.add(batch.len() as u64);
        }
        answers
    }
}
