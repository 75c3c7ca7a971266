//! Reading the queues: one after the other to their end, or all at once for as long as it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use gantry_host::FilterExpression;
use gantry_host::client_instance::PullStatus;
use gantry_host::pull_consumer::{PullConsumer, PullConsumerError, PullResult};
use gantry_protocol::MessageQueue;
use tokio::task::JoinSet;

use super::args::PullArgs;
use super::show::Show;
use crate::commands::moment::Place;

/// Messages one pull asks for; a stock broker gives no more.
const AT_ONCE: u64 = 32;
/// How long a followed queue rests after an error.
const REST: Duration = Duration::from_secs(1);
/// How long it rests where a broker had nothing and did not wait.
const SHORT_REST: Duration = Duration::from_millis(50);

/// What was read so far.
pub(super) struct Reading<'a> {
    args: &'a PullArgs,
    consumer: &'a Arc<PullConsumer>,
    show: Show,
    expression: Arc<FilterExpression>,
    /// Messages printed.
    pub(super) read: u64,
    /// Where each queue would be read on.
    pub(super) next: BTreeMap<MessageQueue, i64>,
    /// Queues whose last status said that there is nothing new.
    idle: BTreeSet<MessageQueue>,
    /// Whether a queue could not be read.
    pub(super) failed: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(args: &'a PullArgs, consumer: &'a Arc<PullConsumer>, show: Show) -> Self {
        let expression = Arc::new(args.expression());
        let (next, idle) = (BTreeMap::new(), BTreeSet::new());
        Self { args, consumer, show, expression, read: 0, next, idle, failed: false }
    }

    /// Reads every queue to the end it has now.
    pub(super) async fn walk(&mut self, queues: &[MessageQueue]) -> anyhow::Result<()> {
        for mq in queues {
            match self.walk_queue(mq).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(Failure::Pull(error)) => {
                    self.failed = true;
                    self.show.failure(mq, &error)?;
                }
                Err(Failure::Print(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads one queue until nothing is new, or past the end it had: a busy producer would have it go on for ever.
    async fn walk_queue(&mut self, mq: &MessageQueue) -> Result<ControlFlow<()>, Failure> {
        let end = self.consumer.max_offset(mq).await?;
        let mut offset = self.begin(mq).await?;
        loop {
            let most = u32::try_from(self.left().min(AT_ONCE)).unwrap_or(1);
            let result = self.consumer.pull(mq, &self.expression, offset, most).await?;
            if self.take(mq, offset, &result)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let next = result.next_begin_offset;
            if result.status == PullStatus::NoNewMsg || next > end || no_progress(&result, offset) {
                return Ok(ControlFlow::Continue(()));
            }
            offset = next;
        }
    }

    /// Reads all queues at once, and waits for more.
    pub(super) async fn follow(&mut self, queues: &[MessageQueue]) -> anyhow::Result<()> {
        let mut pulls = JoinSet::new();
        for mq in queues {
            let offset = self.begin(mq).await?;
            pulls.spawn(self.held_pull(mq.clone(), offset, Duration::ZERO));
        }
        while let Some(pulled) = pulls.join_next().await {
            let (mq, offset, result) = pulled?;
            let (next, rest) = match result {
                Ok(result) => {
                    if self.take(&mq, offset, &result)?.is_break() {
                        return Ok(());
                    }
                    let rest = if no_progress(&result, offset) { SHORT_REST } else { Duration::ZERO };
                    (result.next_begin_offset, rest)
                }
                Err(error) => {
                    self.show.failure(&mq, &error)?;
                    (offset, REST)
                }
            };
            pulls.spawn(self.held_pull(mq, next, rest));
        }
        Ok(())
    }

    fn held_pull(
        &self,
        mq: MessageQueue,
        offset: i64,
        rest: Duration,
    ) -> impl Future<Output = (MessageQueue, i64, Result<PullResult, PullConsumerError>)> + Send + 'static
    {
        let (consumer, expression) = (Arc::clone(self.consumer), Arc::clone(&self.expression));
        let most = u32::try_from(self.left().min(AT_ONCE)).unwrap_or(1);
        async move {
            tokio::time::sleep(rest).await;
            let result = consumer.pull_block_if_not_found(&mq, &expression, offset, most).await;
            (mq, offset, result)
        }
    }

    /// Where a queue is read from.
    async fn begin(&mut self, mq: &MessageQueue) -> Result<i64, PullConsumerError> {
        let consumer = self.consumer;
        let offset = match self.args.from {
            Some(Place::Begin) => consumer.min_offset(mq).await?,
            Some(Place::End) => consumer.max_offset(mq).await?,
            Some(Place::Offset(offset)) => offset,
            Some(Place::Time(moment)) => consumer.search_offset(mq, moment.0).await?,
            None => match self.kept(mq).await? {
                Some(offset) => offset,
                None => consumer.min_offset(mq).await?,
            },
        };
        self.next.insert(mq.clone(), offset);
        Ok(offset)
    }

    async fn kept(&self, mq: &MessageQueue) -> Result<Option<i64>, PullConsumerError> {
        match self.args.offsets {
            Some(_) => self.consumer.fetch_consume_offset(mq).await,
            None => Ok(None),
        }
    }

    fn left(&self) -> u64 {
        self.args.max.map_or(u64::MAX, |max| max.saturating_sub(self.read))
    }

    /// Prints what a pull brought, and keeps the offset behind what was printed. Break when that is all that was wanted.
    fn take(
        &mut self,
        mq: &MessageQueue,
        offset: i64,
        result: &PullResult,
    ) -> std::io::Result<ControlFlow<()>> {
        let news = match result.status {
            PullStatus::NoNewMsg => self.idle.insert(mq.clone()),
            _ => {
                self.idle.remove(mq);
                true
            }
        };
        if news {
            self.show.status(mq, offset, result)?;
        }
        for message in &result.messages {
            if self.left() == 0 {
                return Ok(ControlFlow::Break(()));
            }
            self.show.message(mq, message)?;
            self.read += 1;
            self.keep(mq, message.queue_offset() + 1);
        }
        if self.left() == 0 {
            return Ok(ControlFlow::Break(()));
        }
        self.keep(mq, result.next_begin_offset);
        Ok(ControlFlow::Continue(()))
    }

    fn keep(&mut self, mq: &MessageQueue, offset: i64) {
        if let Some(next) = self.next.get_mut(mq) {
            *next = offset;
        }
        if self.args.offsets.is_some() {
            self.consumer.update_consume_offset(mq, offset);
        }
    }
}

fn no_progress(result: &PullResult, offset: i64) -> bool {
    result.status != PullStatus::Found && result.next_begin_offset == offset
}

/// Why a queue was not read to its end.
enum Failure {
    /// Others may still be.
    Pull(PullConsumerError),
    /// Nobody reads what is printed.
    Print(std::io::Error),
}

impl From<PullConsumerError> for Failure {
    fn from(error: PullConsumerError) -> Self {
        Self::Pull(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Print(error)
    }
}
