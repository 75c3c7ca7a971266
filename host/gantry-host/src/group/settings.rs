//! From the operator's settings to the machine's.

use std::time::Duration;

use gantry_core::{ConsumerGroup, GroupConfig, RebalanceMode};

use crate::config::{ClientSettings, GantryConfig, Rebalance, StrategySetting};
use crate::plugins::ListenerPlan;

/// Calls of a quick listener that are handed over together.
const CALLS_TOGETHER: u32 = 32;

/// The configuration of the group that `plan` founds, which the machine knows as brokers do.
pub(super) fn group_config(plan: &ListenerPlan, config: &GantryConfig) -> GroupConfig {
    const MIB: u64 = 1 << 20;
    let given = config.group_settings(&plan.group);
    let client = client_settings(plan, config);
    let mut group = GroupConfig::new(client.namespace.wrap(&plan.consumer_group).into_owned());
    let mib = |bytes: u64| u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX);
    let set = |target: &mut u32, value: Option<u32>| *target = value.unwrap_or(*target);
    group.consume_from_where = plan.consume_from_where;
    group.message_model = plan.message_model;
    group.consume_mode = plan.consume_mode;
    group.rebalance = match given.rebalance {
        None | Some(Rebalance::Auto) => RebalanceMode::Auto,
        Some(Rebalance::Eager) => RebalanceMode::Eager,
        Some(Rebalance::Cooperative) => RebalanceMode::Cooperative,
    };
    set(&mut group.ramp_up_rate, given.ramp_up_rate);
    group.max_backward_jump = match given.max_backward_jump {
        None => group.max_backward_jump,
        Some(0) => None,
        most => most,
    };
    if given.settled_journal == Some(false) {
        group.journal_interval = None;
    }
    set(&mut group.consume_thread_max, given.consume_thread_max);
    group.consume_thread_min = group.consume_thread_min.min(group.consume_thread_max);
    // Calls of one batch may run on all threads of their listener, which must be no more than calls are allowed at once.
    if config.engine.threads() <= group.consume_thread_max as usize {
        group.calls_together = CALLS_TOGETHER;
    }
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
    group.poll_name_server_interval = client.poll_name_server_interval.duration();
    group.heartbeat_broker_interval = client.heartbeat_broker_interval.duration();
    let time = |target: &mut Duration, value: Option<crate::config::Millis>| {
        *target = value.map_or(*target, |millis| millis.duration());
    };
    time(&mut group.persist_consumer_offset_interval, given.persist_consumer_offset_interval);
    time(&mut group.drain_timeout, given.drain_timeout);
    time(&mut group.ramp_up_duration, given.ramp_up_duration);
    time(&mut group.suspend_current_queue_time, given.suspend_current_queue_time);
    time(&mut group.stuck_timeout, given.stuck_timeout);
    time(&mut group.pop_invisible_time, given.pop_invisible_time);
    set(&mut group.pop_batch_nums, given.pop_batch_nums);
    set(&mut group.pop_threshold_for_queue, given.pop_threshold_for_queue);
    group
}

/// The client of the cluster that `plan` is for.
pub(super) fn client_settings<'c>(plan: &ListenerPlan, config: &'c GantryConfig) -> &'c ClientSettings {
    config.cluster_settings(plan.cluster.as_deref()).unwrap_or(&config.client)
}

/// The machine of the group that `plan` founds, with the allocation strategy that is set for it, if one is.
pub(super) fn with_strategy(
    machine: ConsumerGroup,
    plan: &ListenerPlan,
    config: &GantryConfig,
) -> ConsumerGroup {
    let given = config.group_settings(&plan.group).allocate_message_queue_strategy;
    if let Some(name) = given.as_ref().and_then(StrategySetting::plugin) {
        return machine.with_asked_strategy(name);
    }
    match given.and_then(|given| given.strategy(&client_settings(plan, config).namespace)) {
        Some(strategy) => machine.with_strategy(strategy),
        None => machine,
    }
}
