//! `gantry topic`: make and list topics.

use std::process::ExitCode;

use anyhow::Context as _;
use gantry_host::client_instance::TopicSettings;
use gantry_protocol::names;
use serde_json::json;

use super::cluster::client;
use super::print_json;
use crate::cli::{TopicCreateArgs, TopicListArgs};

pub(crate) async fn create(args: TopicCreateArgs) -> anyhow::Result<ExitCode> {
    names::check_topic(&args.topic)?;
    let client = client(&args.cluster).await?;
    let queues = i32::try_from(args.queues)?;
    let settings =
        TopicSettings { read_queue_nums: queues, write_queue_nums: queues, ..TopicSettings::default() };
    let made = client.create_topic(&args.topic, &settings).await;
    client.close().await;
    let brokers = made.with_context(|| format!("topic {} was not made", args.topic))?;
    let brokers: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    if args.json {
        print_json(&json!({ "topic": args.topic, "queues": args.queues, "brokers": brokers }))?;
    } else {
        println!("topic {} has {} queues at {}", args.topic, args.queues, brokers.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn list(args: TopicListArgs) -> anyhow::Result<ExitCode> {
    let client = client(&args.cluster).await?;
    let listed = client.topic_list().await;
    client.close().await;
    let mut topics = listed?;
    topics.retain(|topic| args.all || is_users(topic));
    if args.json {
        print_json(&topics)?;
    } else {
        for topic in topics {
            println!("{topic}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn is_users(topic: &str) -> bool {
    !(names::is_retry(topic) || names::is_dlq(topic) || names::is_system_topic(topic))
}
