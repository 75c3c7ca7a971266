//! Each consumer group and its queues on this host.

use std::fmt;

use super::writer::{Labels, Writer};
use crate::status::{GroupCounts, GroupStatus, QueueLine};

/// A counter of a group: its name, what it is, and where it is kept.
type Count = (&'static str, &'static str, fn(&GroupCounts) -> u64);

const COUNTS: [Count; 11] = [
    ("group_pulled", "Messages pulled", |counts| counts.pulled),
    ("group_delivered", "Messages handed to listeners", |counts| counts.delivered),
    ("group_skipped", "Messages an earlier life of this host had settled", |counts| counts.skipped),
    ("group_retried_in_place", "Times a message was kept in an orderly queue", |counts| {
        counts.retried_in_place
    }),
    ("group_late_results", "Results that came after their queue was let go", |counts| counts.late_results),
    ("group_queues_assigned", "Queues taken", |counts| counts.queues_assigned),
    ("group_queues_released", "Queues let go", |counts| counts.queues_released),
    ("group_locks_lost", "Locks another member got before this one let go", |counts| counts.locks_lost),
    ("group_stuck_alarms", "Alarms of queues without progress", |counts| counts.stuck_alarms),
    ("group_expired", "Popped messages not settled within their invisible time", |counts| counts.expired),
    ("group_lengthened", "Times a popped message's invisible time was lengthened", |counts| {
        counts.lengthened
    }),
];

pub(super) fn write(writer: &mut Writer<'_>, groups: &[GroupStatus]) -> fmt::Result {
    for (metric, help, figure) in COUNTS {
        let values = groups.iter().map(|group| (of(group), figure(&group.counts)));
        writer.counters(metric, help, values)?;
    }
    let divided = groups.iter().map(|group| (of(group), group.strategy_fallbacks));
    let help = "Divisions the fallback made because the strategy plugin gave no usable one";
    writer.counters("group_strategy_fallbacks", help, divided)?;
    let queues = groups.iter().map(|group| (of(group), group.queues.len() as u64));
    writer.gauges("group_queues", "Queues this host owns", queues)?;
    queue(writer, groups, "queue_lag_messages", "Messages from the commit offset to the end", |queue| {
        let (end, commit) = (queue.max_offset?, queue.commit_offset?);
        Some(end.saturating_sub(commit).max(0).unsigned_abs())
    })?;
    queue(writer, groups, "queue_commit_offset", "Everything before it is settled", |queue| {
        offset(queue.commit_offset)
    })?;
    queue(writer, groups, "queue_max_offset", "The end of the queue as the broker last told it", |queue| {
        offset(queue.max_offset)
    })?;
    queue(writer, groups, "queue_window_messages", "Messages pulled and not yet settled", |queue| {
        Some(queue.cached_messages as u64)
    })?;
    queue(writer, groups, "queue_window_bytes", "Bytes of these", |queue| Some(queue.cached_bytes))?;
    queue(writer, groups, "queue_window_span", "Newest offset of these less the oldest", |queue| {
        Some(queue.span)
    })?;
    queue(writer, groups, "queue_stuck", "Whether the queue was an alarm for making no progress", |queue| {
        Some(u64::from(queue.stuck_ms.is_some()))
    })
}

fn of(group: &GroupStatus) -> Labels<'_> {
    let mut labels = vec![("group", group.group.as_str())];
    labels.extend(group.cluster.as_deref().map(|cluster| ("cluster", cluster)));
    labels
}

fn offset(offset: Option<i64>) -> Option<u64> {
    offset.map(|offset| offset.max(0).unsigned_abs())
}

fn queue(
    writer: &mut Writer<'_>,
    groups: &[GroupStatus],
    metric: &str,
    help: &str,
    figure: fn(&QueueLine) -> Option<u64>,
) -> fmt::Result {
    let lines = groups.iter().flat_map(|group| group.queues.iter().map(move |queue| (group, queue)));
    let ids: Vec<_> = lines.map(|(group, queue)| (group, queue, queue.queue_id.to_string())).collect();
    let values = ids.iter().filter_map(|(group, queue, id)| {
        let mut labels = of(group);
        labels.extend([
            ("topic", queue.topic.as_str()),
            ("broker", queue.broker_name.as_str()),
            ("queue", id.as_str()),
        ]);
        Some((labels, figure(queue)?))
    });
    writer.gauges(metric, help, values)
}
