//! The group's ear at the client instance: what brokers tell it and ask of it, on its way to the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_protocol::body::{ConsumeMessageDirectlyResult, ConsumerRunningInfo, QueueMap};
use gantry_protocol::{MessageExt, MessageQueue};
use tokio::sync::{Notify, mpsc, oneshot};

use super::answers::Question;
use super::clash::Clashes;
use super::input::Input;
use crate::client_instance::{Answering, GroupListener, Unanswered};

/// What brokers say to one group.
#[derive(Debug)]
pub(super) struct Notice {
    changed: Notify,
    registered: AtomicBool,
    inputs: mpsc::Sender<Input>,
    clashes: Arc<Clashes>,
}

impl Notice {
    pub(super) fn new(inputs: mpsc::Sender<Input>, clashes: Arc<Clashes>) -> Self {
        Self { changed: Notify::new(), registered: AtomicBool::new(false), inputs, clashes }
    }

    /// Resolves when a broker has said that the group's members changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Sets whether the group is registered, and returns whether it was.
    pub(super) fn register(&self, registered: bool) -> bool {
        self.registered.swap(registered, Ordering::Relaxed)
    }

    /// Asks the driver. A group that has ended answers nothing.
    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, Unanswered>>) -> Question,
    ) -> Result<T, Unanswered> {
        let (reply, answer) = oneshot::channel();
        let asked = self.inputs.send(Input::Asked(question(reply))).await;
        asked.map_err(|_ended| Unanswered::Gone)?;
        answer.await.map_err(|_ended| Unanswered::Gone)?
    }
}

impl GroupListener for Notice {
    fn members_changed(&self) {
        self.changed.notify_one();
        self.clashes.look();
    }

    fn reset_offsets(&self, offsets: Vec<(MessageQueue, i64)>) -> Answering<'_, ()> {
        Box::pin(self.ask(|reply| Question::Reset { offsets, reply }))
    }

    fn consumer_status(&self, topic: String) -> Answering<'_, QueueMap<i64>> {
        Box::pin(self.ask(|reply| Question::Status { topic, reply }))
    }

    fn running_info(&self, jstack: bool) -> Answering<'_, ConsumerRunningInfo> {
        Box::pin(self.ask(move |reply| Question::RunningInfo { jstack, reply }))
    }

    fn consume_directly(
        &self,
        broker_name: Arc<str>,
        message: MessageExt,
    ) -> Answering<'_, ConsumeMessageDirectlyResult> {
        Box::pin(self.ask(|reply| Question::Consume { broker_name, message, reply }))
    }
}
