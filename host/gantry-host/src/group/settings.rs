//! From the operator's settings to the machine's.

use gantry_core::{ConsumerGroup, GroupConfig};

use crate::config::{GantryConfig, StrategyName};
use crate::plugins::ListenerPlan;

/// The configuration of the group that `plan` founds.
pub(super) fn group_config(plan: &ListenerPlan, config: &GantryConfig) -> GroupConfig {
    const MIB: u64 = 1 << 20;
    let given = config.group_settings(&plan.group);
    let mut group = GroupConfig::new(plan.group.clone());
    let mib = |bytes: u64| u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX);
    let set = |target: &mut u32, value: Option<u32>| *target = value.unwrap_or(*target);
    group.consume_from_where = plan.consume_from_where;
    set(&mut group.consume_thread_max, given.consume_thread_max);
    group.consume_thread_min = group.consume_thread_min.min(group.consume_thread_max);
    set(&mut group.pull_threshold_for_queue, given.pull_threshold_for_queue);
    set(
        &mut group.pull_threshold_size_for_queue,
        given.pull_threshold_size_for_queue.map(|size| mib(size.0)),
    );
    group.pull_threshold_for_topic = given.pull_threshold_for_topic;
    group.pull_threshold_size_for_topic = given.pull_threshold_size_for_topic.map(|size| mib(size.0));
    set(&mut group.consume_concurrently_max_span, given.consume_concurrently_max_span);
    set(&mut group.pull_batch_size, given.pull_batch_size);
    let bytes = given.pull_batch_size_in_bytes.and_then(|size| u32::try_from(size.0).ok());
    set(&mut group.pull_batch_size_in_bytes, bytes);
    set(&mut group.pull_interval, given.pull_interval.and_then(|pause| u32::try_from(pause.0).ok()));
    group.poll_name_server_interval = config.client.poll_name_server_interval.duration();
    group.heartbeat_broker_interval = config.client.heartbeat_broker_interval.duration();
    if let Some(interval) = given.persist_consumer_offset_interval {
        group.persist_consumer_offset_interval = interval.duration();
    }
    if let Some(timeout) = given.drain_timeout {
        group.drain_timeout = timeout.duration();
    }
    group
}

/// The machine of `group` with the allocation strategy that is set for it, if one is.
pub(super) fn with_strategy(machine: ConsumerGroup, group: &str, config: &GantryConfig) -> ConsumerGroup {
    let given = config.group_settings(group).allocate_message_queue_strategy;
    match given.and_then(StrategyName::strategy) {
        Some(strategy) => machine.with_strategy(strategy),
        None => machine,
    }
}
