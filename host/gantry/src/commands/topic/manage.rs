//! Making, listing and deleting topics.

use std::process::ExitCode;

use anyhow::Context as _;
use gantry_host::client_instance::TopicSettings;
use gantry_protocol::names;
use serde_json::json;

use super::DeleteArgs;
use crate::cli::{TopicCreateArgs, TopicListArgs};
use crate::commands::cluster::{client, with_client};
use crate::commands::print_json;

pub(crate) async fn create(args: TopicCreateArgs) -> anyhow::Result<ExitCode> {
    let client = client(&args.cluster).await?;
    let topic = client.namespace().wrap(&args.topic);
    names::check_topic(&topic)?;
    let queues = i32::try_from(args.queues)?;
    let settings =
        TopicSettings { read_queue_nums: queues, write_queue_nums: queues, ..TopicSettings::default() };
    let made = client.create_topic(&topic, &settings).await;
    client.close().await;
    let brokers = made.with_context(|| format!("topic {} was not made", args.topic))?;
    let brokers: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    if args.json {
        print_json(&json!({ "topic": args.topic, "queues": args.queues, "brokers": brokers }))?;
    } else {
        say!("topic {} has {} queues at {}", args.topic, args.queues, brokers.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn list(args: TopicListArgs) -> anyhow::Result<ExitCode> {
    let client = client(&args.cluster).await?;
    let listed = if args.all { client.topic_list().await } else { client.user_topics().await };
    client.close().await;
    let (namespace, mut topics) = (client.namespace(), listed?);
    topics.retain(|topic| namespace.contains(topic));
    let topics: Vec<_> = topics.iter().map(|topic| namespace.unwrap(topic)).collect();
    if args.json {
        print_json(&topics)?;
    } else if topics.is_empty() {
        say!("there are no topics; `gantry topic create TOPIC` makes one");
    } else {
        topics.iter().for_each(|topic| say!("{topic}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Deletes with `--yes`, and says what would be lost without.
pub(crate) async fn delete(args: DeleteArgs) -> anyhow::Result<ExitCode> {
    let topic = &args.topic;
    if names::is_system_topic(topic) {
        anyhow::bail!("topic {topic} is the brokers' own and cannot be deleted");
    }
    let (messages, groups) = with_client(&args.cluster, async |client| {
        let topic = &*client.namespace().wrap(topic);
        let stats = client.topic_stats(topic).await?;
        let messages: i64 =
            stats.offset_table.values().map(|queue| queue.max_offset - queue.min_offset).sum();
        let groups = client.groups_of_topic(topic).await?;
        let groups: Vec<_> =
            groups.iter().map(|group| client.namespace().unwrap(group).into_owned()).collect();
        if args.yes {
            client.delete_topic(topic).await?;
        }
        Ok((messages, groups))
    })
    .await?;
    if args.json {
        print_json(&json!({ "topic": topic, "deleted": args.yes, "messages": messages, "groups": groups }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let done = if args.yes { "deleted" } else { "would be deleted" };
    say!("topic {topic} {done}, with {messages} messages");
    if !groups.is_empty() {
        say!("groups that consume it: {}", groups.join(", "));
    }
    if !args.yes {
        say!("dry run: nothing was changed; add --yes to delete it");
    }
    Ok(ExitCode::SUCCESS)
}
