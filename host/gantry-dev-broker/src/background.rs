use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use crate::clock::millis;
use crate::core::Core;
use crate::handlers;
use crate::server::CloseReason;

/// Longest the schedule sleeps, so that a jump of the wall clock is noticed.
const SCHEDULE_NAP_MS: i64 = 1000;
/// How long the schedule waits after a failure, such as a full disk.
const SCHEDULE_RETRY: Duration = Duration::from_secs(1);

/// Starts what runs without being asked.
pub(crate) fn start(core: &Arc<Core>) {
    core.tasks.spawn("arrivals", arrivals(Arc::clone(core)));
    core.tasks.spawn("schedule", schedule(Arc::clone(core)));
    core.tasks.spawn("hold sweep", sweep_held(Arc::clone(core)));
    core.tasks.spawn("member sweep", sweep_members(Arc::clone(core)));
    core.tasks.spawn("offset flush", flush_offsets(Arc::clone(core)));
    core.tasks.spawn("pop revive", revive(Arc::clone(core)));
    core.tasks.spawn("transaction check", check_transactions(Arc::clone(core)));
}

/// Answers held pulls and pops as soon as something arrives for them.
async fn arrivals(core: Arc<Core>) {
    let arrivals = &core.store.shared.arrivals;
    loop {
        tokio::select! {
            () = arrivals.changed.notified() => {}
            () = core.tasks.stopping.cancelled() => return,
        }
        handlers::arrived(&core);
    }
}

/// Delivers scheduled messages when they are due (RocketMQ: ScheduleMessageService).
async fn schedule(core: Arc<Core>) {
    let redeliver = handlers::redeliver(Arc::clone(&core));
    let shared = Arc::clone(&core.store.shared);
    loop {
        let now_ms = core.clock.wall_ms();
        let wait_ms = shared.next_due().saturating_sub(now_ms).clamp(0, SCHEDULE_NAP_MS);
        if wait_ms > 0 {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())) => {}
                () = shared.due_changed.notified() => {}
                () = core.tasks.stopping.cancelled() => return,
            }
            continue;
        }
        if core.tasks.stopping.is_cancelled() {
            return;
        }
        if let Err(error) = core.store.deliver_due(now_ms, Arc::clone(&redeliver)).await {
            tracing::warn!(%error, "scheduled messages that are due were not delivered; trying again");
            tokio::select! {
                () = tokio::time::sleep(SCHEDULE_RETRY) => {}
                () = core.tasks.stopping.cancelled() => return,
            }
        }
    }
}

/// Answers held pulls whose time is up, and those that only non-matching messages passed by.
async fn sweep_held(core: Arc<Core>) {
    let mut ticks = ticks(core.config.timing.hold_sweep);
    while ticked(&core, &mut ticks).await {
        handlers::sweep(&core);
    }
}

/// Drops members that have been silent for too long, and locks nobody renews.
async fn sweep_members(core: Arc<Core>) {
    let mut ticks = ticks(core.config.timing.member_sweep);
    let expiry_ms = millis(core.config.timing.member_expiry.as_millis());
    while ticked(&core, &mut ticks).await {
        let now_ms = core.clock.ticks_ms();
        for peer in core.groups.silent_since(now_ms - expiry_ms) {
            peer.close(CloseReason::Silent);
            core.peer_gone(&peer);
        }
        core.producers.sweep(now_ms - expiry_ms);
        core.locks.sweep(now_ms);
    }
}

/// Asks producers about transactions that have been open for too long.
async fn check_transactions(core: Arc<Core>) {
    let mut ticks = ticks(core.config.timing.transaction_check);
    while ticked(&core, &mut ticks).await {
        loop {
            match handlers::check_transactions(&core).await {
                Ok(0) => break,
                Ok(_) if core.tasks.stopping.is_cancelled() => return,
                Ok(_) => {}
                Err(refusal) => {
                    tracing::warn!(
                        reason = refusal.remark,
                        "open transactions were not asked about; trying again"
                    );
                    break;
                }
            }
        }
    }
}

/// Brings popped messages back that were not settled in time.
async fn revive(core: Arc<Core>) {
    let mut ticks = ticks(core.config.timing.pop_revive);
    while ticked(&core, &mut ticks).await {
        loop {
            match handlers::revive(&core).await {
                Ok(0) => break,
                Ok(_) if core.tasks.stopping.is_cancelled() => return,
                Ok(_) => {}
                Err(refusal) => {
                    tracing::warn!(
                        reason = refusal.remark,
                        "popped messages were not brought back; trying again"
                    );
                    break;
                }
            }
        }
    }
}

async fn flush_offsets(core: Arc<Core>) {
    let mut ticks = ticks(core.config.timing.offset_flush);
    while ticked(&core, &mut ticks).await {
        core.flush_offsets().await;
    }
}

fn ticks(every: Duration) -> Interval {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Waits for the next tick; `false` when the broker stops.
async fn ticked(core: &Core, ticks: &mut Interval) -> bool {
    tokio::select! {
        _ = ticks.tick() => true,
        () = core.tasks.stopping.cancelled() => false,
    }
}
