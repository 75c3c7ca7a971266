//! Getting a message to a broker: the wait for a place, the route, the attempts, one broker after the other.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gantry_core::fault::{self, Attempt, FaultStrategy};
use gantry_protocol::MessageQueue;
use gantry_protocol::header::SendMessageResponseHeader;
use gantry_protocol::names::AUTO_CREATE_TOPIC;
use gantry_remoting::InvokeError;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

use super::prepare::Prepared;
use super::receipt::{SendReceipt, SendStatus};
use super::{Producer, ProducerConfig};
use crate::client_instance::route::TopicRoute;
use crate::client_instance::{CallError, RouteError, SendError};

/// When a send has to have ended, and how long that was at first.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    timeout: Duration,
}

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        Self { at: Instant::now() + timeout, timeout }
    }

    /// Waits for `work`, which belongs to a send to `topic`, until then.
    pub(super) async fn bound<T>(
        self,
        topic: &str,
        waiting: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, SendError> {
        timeout_at(self.at, work).await.map_err(|_elapsed| SendError::NoTime {
            topic: topic.into(),
            waiting,
            timeout: self.timeout,
        })
    }
}

/// What may be under way at once (RocketMQ: semaphoreAsyncSendNum, semaphoreAsyncSendSize).
#[derive(Debug)]
pub(super) struct Room {
    sends: Semaphore,
    bytes: Semaphore,
    all_bytes: u32,
}

/// A send's place among those under way.
type Place<'a> = [Option<SemaphorePermit<'a>>; 2];

impl Room {
    pub(super) fn new(config: &ProducerConfig) -> Self {
        let sends = config.back_pressure_for_async_send_num.clamp(1, Semaphore::MAX_PERMITS);
        let bytes = config.back_pressure_for_async_send_size.clamp(1, Semaphore::MAX_PERMITS);
        let all_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self { sends: Semaphore::new(sends), bytes: Semaphore::new(bytes), all_bytes }
    }

    /// Waits until there is room for one more send of so many bytes. It is given back with the place.
    async fn enter(&self, size: usize) -> Place<'_> {
        let size = u32::try_from(size).unwrap_or(u32::MAX).min(self.all_bytes);
        // They are never closed, so neither fails.
        [self.sends.acquire().await.ok(), self.bytes.acquire_many(size).await.ok()]
    }
}

/// The strategy of producers that pass slow brokers over; none of the others.
pub(super) fn faults(config: &ProducerConfig) -> Option<Mutex<FaultStrategy>> {
    config.send_latency_fault_enable.then(|| Mutex::new(FaultStrategy::new(config.fault_levels.clone())))
}

impl Producer {
    pub(super) async fn enter(
        &self,
        prepared: &Prepared,
        deadline: Deadline,
    ) -> Result<Place<'_>, SendError> {
        let entered = self.0.room.enter(prepared.size());
        let topic = self.0.namespace.unwrap(prepared.topic());
        deadline.bound(&topic, "other sends of this producer", entered).await
    }

    /// Sends to the topic's queues in turn, until a broker has it or no attempt is left.
    pub(super) async fn send_in_turn(
        &self,
        prepared: &Prepared,
        deadline: Deadline,
    ) -> Result<SendReceipt, SendError> {
        let route = self.route_within(prepared.topic(), deadline).await?;
        let topic = &*self.0.namespace.unwrap(prepared.topic());
        let (mut attempts, mut last_broker, mut kept_badly) = (0, None::<Arc<str>>, None);
        loop {
            let Some(queue) = self.pick(&route.publish_queues, last_broker.as_deref()) else {
                return Err(no_queue(topic));
            };
            attempts += 1;
            let again = attempts <= self.0.config.retry_times_when_send_failed;
            let (pause, ended) = match self.attempt(prepared, queue, deadline, again).await {
                Ok(receipt) if self.is_good_enough(&receipt) => return Ok(receipt),
                Ok(receipt) => (Some(Duration::ZERO), Ok(receipt)),
                Err(last) => {
                    let pause = self.is_worth_repeating(&last).then(|| pause(&last));
                    (pause, kept_badly.take().ok_or(SendError::Failed { attempts, last }))
                }
            };
            let Some(pause) = pause.filter(|pause| again && Instant::now() + *pause < deadline.at) else {
                return ended;
            };
            let error = ended.as_ref().err().map(tracing::field::display);
            tracing::debug!(topic, broker = %queue.broker_name, error, "a send is repeated");
            let elsewhere = route.publish_queues.iter().any(|other| other.broker_name != queue.broker_name);
            if !elsewhere {
                sleep(pause).await;
            }
            kept_badly = ended.ok();
            last_broker = Some(Arc::clone(&queue.broker_name));
        }
    }

    /// Sends to one queue, once. `again`: whether another attempt may follow.
    pub(super) async fn attempt(
        &self,
        prepared: &Prepared,
        queue: &MessageQueue,
        deadline: Deadline,
        again: bool,
    ) -> Result<SendReceipt, CallError> {
        let began = Instant::now();
        let left = deadline.at.saturating_duration_since(began);
        let most = self.0.config.send_timeout_per_request.filter(|_| again).unwrap_or(left);
        let ended = self.send_once(prepared, queue, left.min(most)).await;
        if let Some(faults) = &self.0.faults {
            let now = Instant::now();
            let latency = now.saturating_duration_since(began);
            lock(faults).attempted(&queue.broker_name, judged(&ended), latency, now.into_std());
        }
        ended
    }

    async fn send_once(
        &self,
        prepared: &Prepared,
        queue: &MessageQueue,
        timeout: Duration,
    ) -> Result<SendReceipt, CallError> {
        let instance = &self.0.instance;
        let addr = instance.master(&queue.topic, &queue.broker_name).await?;
        let answer = instance.ask(&addr, prepared.request(queue), timeout).await?;
        let Some(status) = SendStatus::of(answer.code()) else { return Err(answer.refusal()) };
        let header: SendMessageResponseHeader = answer.header()?;
        Ok(SendReceipt {
            status,
            message_id: prepared.message_id.clone(),
            offset_msg_id: header.msg_id,
            queue: MessageQueue { queue_id: header.queue_id, ..self.0.namespace.unwrap_queue(queue) },
            queue_offset: header.queue_offset,
            recall_handle: header.recall_handle,
        })
    }

    /// The route of a topic by its name on the wire.
    pub(super) async fn route_within(
        &self,
        topic: &str,
        deadline: Deadline,
    ) -> Result<Arc<TopicRoute>, SendError> {
        let plain = self.0.namespace.unwrap(topic);
        Ok(deadline.bound(&plain, "the topic's route", self.publish_route(topic)).await??)
    }

    /// The topic's route, or the one it will have once a broker has created it.
    async fn publish_route(&self, topic: &str) -> Result<Arc<TopicRoute>, RouteError> {
        let instance = &self.0.instance;
        let missing = match instance.route(topic).await {
            Err(RouteError::Missing { .. }) => {
                RouteError::Missing { topic: self.0.namespace.unwrap(topic).as_ref().into() }
            }
            other => return other,
        };
        match instance.route(AUTO_CREATE_TOPIC).await {
            Ok(template) => {
                let most = self.0.config.default_topic_queue_nums;
                Ok(Arc::new(template.for_new_topic(&topic.into(), most)))
            }
            Err(RouteError::Missing { .. }) => Err(missing),
            Err(error) => Err(error),
        }
    }

    /// The next queue in turn, at another broker than the last if there is one, and at none that is at fault.
    pub(super) fn pick<'a>(
        &self,
        queues: &'a [MessageQueue],
        last_broker: Option<&str>,
    ) -> Option<&'a MessageQueue> {
        let turn = self.0.turn.fetch_add(1, Relaxed);
        match &self.0.faults {
            Some(faults) => lock(faults).select(queues, last_broker, turn, Instant::now().into_std()),
            None => fault::elsewhere(queues, last_broker, turn),
        }
    }

    fn is_good_enough(&self, receipt: &SendReceipt) -> bool {
        receipt.status == SendStatus::Ok || !self.0.config.retry_another_broker_when_not_store_ok
    }

    /// `retryResponseCodes`, and everything that is not the broker's considered word.
    fn is_worth_repeating(&self, error: &CallError) -> bool {
        match error {
            CallError::Invoke(InvokeError::Encode { .. }) => false,
            CallError::Invoke(_)
            | CallError::UnknownBroker { .. }
            | CallError::MasterAway { .. }
            | CallError::Route(_) => true,
            CallError::Refused { code, .. } => self.0.config.retry_response_codes.contains(code),
            CallError::NoMaster
            | CallError::NoBroker { .. }
            | CallError::BadHeader { .. }
            | CallError::BadBody { .. } => false,
        }
    }
}

/// Java tells the exceptions of the network (RemotingException) from those of brokers (MQBrokerException) and of the
/// client itself (MQClientException).
fn judged(ended: &Result<SendReceipt, CallError>) -> Attempt {
    match ended {
        Err(CallError::Invoke(InvokeError::Encode { .. })) => Attempt::Answered,
        Err(CallError::Invoke(_)) => Attempt::Unanswered,
        Err(CallError::Refused { .. }) => Attempt::Refused,
        Ok(_) | Err(_) => Attempt::Answered,
    }
}

/// A broker that cannot be reached is not asked again before the connection may be tried again.
fn pause(error: &CallError) -> Duration {
    match error {
        CallError::Invoke(InvokeError::Connect { retry_in, .. }) => *retry_in,
        _ => Duration::ZERO,
    }
}

pub(super) fn no_queue(topic: &str) -> SendError {
    SendError::NoQueue { topic: topic.into() }
}

fn lock(faults: &Mutex<FaultStrategy>) -> MutexGuard<'_, FaultStrategy> {
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(sends: usize, bytes: usize) -> Room {
        Room::new(&ProducerConfig {
            back_pressure_for_async_send_num: sends,
            back_pressure_for_async_send_size: bytes,
            ..ProducerConfig::default()
        })
    }

    async fn is_full(room: &Room, size: usize) -> bool {
        timeout_at(Instant::now() + Duration::from_millis(1), room.enter(size)).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_sends_and_bytes_are_under_way_and_more_wait() {
        let room = room(2, 100);
        let (first, second) = (room.enter(10).await, room.enter(90).await);
        assert!(is_full(&room, 0).await, "two are under way");
        drop(first);
        assert!(is_full(&room, 11).await, "only ten bytes are left");
        let third = room.enter(10).await;
        drop((second, third));
        let alone = room.enter(1_000).await;
        assert!(is_full(&room, 1).await, "a large body goes alone");
        drop(alone);
        assert!(!is_full(&room, 100).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_takes_too_long_says_what_it_was_for() {
        let deadline = Deadline::after(Duration::from_secs(3));
        let never = deadline.bound("t", "the topic's route", std::future::pending::<()>()).await;
        let error = never.unwrap_err();
        assert_eq!(error.to_string(), "not sent to t: the wait for the topic's route took the 3s there were");
    }
}
