//! `gantry pull`: reads a topic as RocketMQ's pull consumer example does, beside whoever else consumes it.

mod args;
mod read;
mod show;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use gantry_host::client_instance::ClientInstance;
use gantry_host::pull_consumer::{OffsetStore, PullConsumer, PullConsumerConfig};
use gantry_protocol::MessageQueue;
use gantry_protocol::tag::TagExpression;

use super::cluster::client;
use crate::signals::asked_to_stop;
use read::Reading;
use show::Show;

pub(crate) use args::{DEFAULT_GROUP, PullArgs};

pub(crate) async fn run(args: PullArgs) -> anyhow::Result<ExitCode> {
    let client = client(&args.cluster).await?;
    let ended = pull(&client, &args).await;
    client.close().await;
    match ended {
        // `gantry pull orders | head` has read what it wanted.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        ended => ended,
    }
}

async fn pull(client: &ClientInstance, args: &PullArgs) -> anyhow::Result<ExitCode> {
    TagExpression::parse(&args.tags)?;
    let store = args.offsets.clone().map_or(OffsetStore::Broker, OffsetStore::File);
    let config = PullConsumerConfig {
        offset_store: store,
        join_group: false,
        ..PullConsumerConfig::new(args.group.clone())
    };
    let consumer = Arc::new(PullConsumer::start(client.clone(), config).await?);
    let read = read(&consumer, args).await;
    let kept = consumer.shutdown().await;
    let code = read?;
    kept?;
    Ok(code)
}

async fn read(consumer: &Arc<PullConsumer>, args: &PullArgs) -> anyhow::Result<ExitCode> {
    let queues = queues(consumer, args).await?;
    let show = Show { json: args.json };
    let mut reading = Reading::new(args, consumer, show);
    tokio::select! {
        read = async {
            match args.follow {
                true => reading.follow(&queues).await,
                false => reading.walk(&queues).await,
            }
        } => read?,
        asked = asked_to_stop() => asked?,
    }
    show.end(reading.read, &reading.next)?;
    Ok(if reading.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The queues that are to be read.
async fn queues(consumer: &PullConsumer, args: &PullArgs) -> anyhow::Result<Vec<MessageQueue>> {
    let all = consumer.fetch_subscribe_message_queues(&args.topic).await?;
    for name in &args.queue {
        let known = || all.iter().map(|mq| format!("{}:{}", mq.broker_name, mq.queue_id)).collect::<Vec<_>>();
        all.iter().find(|mq| name.is(mq)).with_context(|| {
            format!("topic {} has no queue {name}, it has {}", args.topic, known().join(", "))
        })?;
    }
    anyhow::ensure!(
        !all.is_empty(),
        "topic {} has no queue that may be read; its permission forbids it at every broker",
        args.topic
    );
    let wanted = |mq: &MessageQueue| args.queue.is_empty() || args.queue.iter().any(|name| name.is(mq));
    Ok(all.into_iter().filter(wanted).collect())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
