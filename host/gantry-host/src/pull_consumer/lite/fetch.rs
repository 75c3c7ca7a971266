//! Reading ahead of one queue (RocketMQ: PullTaskImpl).

use std::sync::Arc;
use std::time::Duration;

use gantry_protocol::MessageQueue;

use super::queue::{Generation, Step};
use super::shared::Shared;
use super::table::{Added, Signals};
use crate::client_instance::PullStatus;
use crate::pull_consumer::error::PullConsumerError;
use crate::pull_consumer::puller::Wanted;

/// How long a queue rests after a pull that failed (RocketMQ: pullTimeDelayMillsWhenException).
const REST: Duration = Duration::from_secs(1);
/// How long it rests when a broker had nothing and did not wait for something.
const SHORT_REST: Duration = Duration::from_millis(50);

/// Reads ahead until the queue is given up or the consumer ends.
pub(super) async fn fetch(shared: Arc<Shared>, Added { mq, signals, stop }: Added) {
    let ended = shared.tasks.token();
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = ended.cancelled() => {}
        () = steps(&shared, &mq, &signals) => {}
    }
}

async fn steps(shared: &Shared, mq: &MessageQueue, signals: &Signals) {
    let mut told = false;
    loop {
        let step = shared.table().step(mq, &shared.config);
        let done = match step {
            None => return,
            Some(Step::Wait) => {
                signals.room.notified().await;
                continue;
            }
            Some(Step::Locate(generation)) => {
                tokio::select! {
                    () = signals.moved.notified() => continue,
                    located = locate(shared, mq, generation) => located,
                }
            }
            Some(Step::Pull(generation, offset)) => {
                tokio::select! {
                    () = signals.moved.notified() => continue,
                    pulled = pull(shared, mq, generation, offset) => pulled,
                }
            }
        };
        let rest = match done {
            Ok(rest) => {
                told = false;
                rest
            }
            Err(error) => {
                tell(shared, mq, &error, told);
                told = true;
                Some(REST)
            }
        };
        if let Some(rest) = rest {
            tokio::select! {
                () = signals.moved.notified() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }
}

/// The first failure of a row is for the operator.
fn tell(shared: &Shared, mq: &MessageQueue, error: &PullConsumerError, told: bool) {
    let group = shared.group();
    if told {
        tracing::debug!(group, queue = %mq, %error, "no pull");
    } else {
        tracing::warn!(group, queue = %mq, "{error}; it is tried again every second");
    }
}

async fn locate(
    shared: &Shared,
    mq: &MessageQueue,
    generation: Generation,
) -> Result<Option<Duration>, PullConsumerError> {
    let offset = shared.locate(mq).await?;
    shared.table().located(mq, generation, offset);
    Ok(None)
}

/// One pull; how long to rest after it.
async fn pull(
    shared: &Shared,
    mq: &MessageQueue,
    generation: Generation,
    offset: i64,
) -> Result<Option<Duration>, PullConsumerError> {
    let filter = shared.filter(&mq.topic)?;
    let wanted = Wanted {
        mq,
        filter: &filter,
        offset,
        max: shared.config.pull_batch_size,
        hold: Some(shared.config.broker_suspend_max_time),
        timeout: shared.config.consumer_timeout_when_suspend,
    };
    let result = shared.puller.pull(wanted).await?;
    let (status, next) = (result.status, result.next_begin_offset);
    if status == PullStatus::OffsetIllegal {
        tracing::warn!(group = shared.group(), queue = %mq, offset, next, "the broker does not have this offset");
    }
    if shared.table().pulled(mq, generation, result) {
        shared.arrived.notify_one();
    }
    Ok((status != PullStatus::Found && next == offset).then_some(SHORT_REST))
}
