//! Sending for plugins: the host's producer, asked from guests' threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use gantry_core::select;
use gantry_engine::{
    DeliveryTime, MessageQueueSelector, OutgoingMessage as GuestMessage, SendError, SendReceipt, SendStatus,
};
use gantry_protocol::MessageQueue;
use gantry_protocol::names::is_system_topic;
use gantry_remoting::InvokeError;

use super::select::SelectByPlugin;
use crate::client_instance::{self as client, CallError, Delay, OutgoingMessage, Producer, RouteError};
use crate::tasks::Tasks;

/// Sends of one plugin under way at once.
const MAX_UNDER_WAY: usize = 256;
/// Most properties of a message, and most keys.
const MAX_PROPERTIES: usize = 256;
/// Longest argument of a selector, in bytes.
const MAX_ARG: usize = 4096;
/// RocketMQ's delay levels.
const DELAY_LEVELS: std::ops::RangeInclusive<u8> = 1..=18;

/// The producer as one plugin has it.
pub(super) struct PluginProducer {
    plugin: Arc<str>,
    producer: Producer,
    selectors: SelectByPlugin,
    runtime: tokio::runtime::Handle,
    tasks: Tasks,
    under_way: Arc<AtomicUsize>,
    /// Ordered sends for which the hash chose because the selector plugin gave no queue.
    fallbacks: AtomicU64,
}

/// A send's place among those under way.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl PluginProducer {
    pub(super) fn new(
        plugin: &str,
        producer: &Producer,
        selectors: &SelectByPlugin,
        runtime: &tokio::runtime::Handle,
        tasks: &Tasks,
    ) -> Self {
        Self {
            plugin: plugin.into(),
            producer: producer.clone(),
            selectors: Arc::clone(selectors),
            runtime: runtime.clone(),
            tasks: tasks.clone(),
            under_way: Arc::default(),
            fallbacks: AtomicU64::new(0),
        }
    }

    fn place(&self) -> Result<Place, SendError> {
        let more = |under_way: usize| (under_way < MAX_UNDER_WAY).then_some(under_way + 1);
        let full = |_| SendError::Unavailable(format!("{MAX_UNDER_WAY} sends of this plugin are under way"));
        self.under_way.fetch_update(Relaxed, Relaxed, more).map_err(full)?;
        Ok(Place(Arc::clone(&self.under_way)))
    }

    /// Runs `work` on the host's runtime while the guest's thread waits for it, up to `deadline`.
    fn wait<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl Future<Output = Result<T, client::SendError>> + Send + 'static,
    ) -> Result<T, SendError> {
        let place = self.place()?;
        let (done, answer) = mpsc::sync_channel(1);
        let task = async move {
            let ended = tokio::time::timeout_at(deadline.into(), work).await;
            let _guest_gone = done.send(ended);
            drop(place);
        };
        {
            let _on_the_hosts_runtime = self.runtime.enter();
            self.tasks.spawn("plugin-send", task);
        }
        match answer.recv_timeout(left(deadline)) {
            Ok(Ok(sent)) => sent.map_err(|error| told(&error)),
            Ok(Err(_)) | Err(RecvTimeoutError::Timeout) => Err(SendError::Timeout),
            Err(RecvTimeoutError::Disconnected) => {
                Err(SendError::Unavailable("the host is stopping".to_owned()))
            }
        }
    }

    fn choose(
        &self,
        queues: &[MessageQueue],
        message: &GuestMessage,
        selector: &MessageQueueSelector,
        arg: &str,
    ) -> usize {
        let MessageQueueSelector::Plugin(name) = selector else {
            return match selector {
                MessageQueueSelector::ByRandom => fastrand::usize(..queues.len().max(1)),
                _ => select::by_hash(arg, queues.len()),
            };
        };
        let chosen = (self.selectors)(name, queues, message, arg).and_then(|index| {
            let queues = queues.len();
            if index < queues {
                Ok(index)
            } else {
                Err(format!("selector plugin {name} chose {index} of {queues} queues"))
            }
        });
        chosen.unwrap_or_else(|why| {
            let times = self.fallbacks.fetch_add(1, Relaxed) + 1;
            // Each of the first, then one in a thousand: a selector that is gone is asked for every message.
            if times < 10 || times.is_multiple_of(1000) {
                tracing::warn!(plugin = %self.plugin, times, "{why}; the hash of the argument chooses instead");
            }
            select::by_hash(arg, queues.len())
        })
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

impl gantry_engine::Producer for PluginProducer {
    fn send(&self, message: GuestMessage, deadline: Instant) -> Result<SendReceipt, SendError> {
        let (producer, message) = (self.producer.clone(), outgoing(message)?);
        let sent = self.wait(deadline, async move { producer.send(&message).await })?;
        Ok(receipt(sent))
    }

    fn send_one_way(&self, message: GuestMessage, deadline: Instant) -> Result<(), SendError> {
        let (producer, message) = (self.producer.clone(), outgoing(message)?);
        self.wait(deadline, async move { producer.send_one_way(&message).await })
    }

    fn send_ordered(
        &self,
        message: GuestMessage,
        selector: MessageQueueSelector,
        arg: &str,
        deadline: Instant,
    ) -> Result<SendReceipt, SendError> {
        if arg.len() > MAX_ARG {
            return Err(SendError::Invalid(format!(
                "the selector's argument has {} bytes; it may have {MAX_ARG}",
                arg.len()
            )));
        }
        let outgoing = outgoing(message.clone())?;
        let (producer, topic) = (self.producer.clone(), message.topic.clone());
        let queues = self.wait(deadline, async move { producer.queues(&topic).await })?;
        let index = self.choose(&queues, &message, &selector, arg);
        let queue = queues.into_iter().nth(index);
        let queue =
            queue.ok_or_else(|| SendError::NoRoute(format!("topic {} has no queue", message.topic)))?;
        let producer = self.producer.clone();
        let sent = self.wait(deadline, async move { producer.send_to(&queue, &outgoing).await })?;
        Ok(receipt(sent))
    }
}

/// The message as the client sends it, where it keeps the rules that the client does not look at.
fn outgoing(message: GuestMessage) -> Result<OutgoingMessage, SendError> {
    let invalid = |rule: String| Err(SendError::Invalid(format!("the message to {} {rule}", message.topic)));
    if is_system_topic(&message.topic) {
        return invalid("goes to a topic that brokers keep for themselves".to_owned());
    }
    if let Some(key) = message.keys.iter().find(|key| key.is_empty() || key.contains(char::is_whitespace)) {
        return invalid(format!("has the key {key:?}; a key is not empty and holds no white space"));
    }
    if message.properties.len() > MAX_PROPERTIES || message.keys.len() > MAX_PROPERTIES {
        return invalid(format!("has more than {MAX_PROPERTIES} properties or keys"));
    }
    let delay = match message.delivery_time {
        DeliveryTime::AtOnce => Delay::None,
        DeliveryTime::Level(level) if DELAY_LEVELS.contains(&level) => Delay::Level(i32::from(level)),
        DeliveryTime::Level(level) => return invalid(format!("has delay level {level}; levels are 1 to 18")),
        DeliveryTime::Milliseconds(ms) => Delay::Millis(ms),
        DeliveryTime::Timestamp(ms) => Delay::At(ms),
    };
    Ok(OutgoingMessage {
        topic: message.topic,
        tag: message.tags,
        keys: message.keys,
        properties: message.properties,
        flag: 0,
        delay,
        body: message.body.into(),
    })
}

fn receipt(sent: client::SendReceipt) -> SendReceipt {
    SendReceipt {
        send_status: match sent.status {
            client::SendStatus::Ok => SendStatus::SendOk,
            client::SendStatus::FlushDiskTimeout => SendStatus::FlushDiskTimeout,
            client::SendStatus::FlushSlaveTimeout => SendStatus::FlushSlaveTimeout,
            client::SendStatus::SlaveNotAvailable => SendStatus::SlaveNotAvailable,
        },
        message_id: sent.message_id,
        offset_message_id: sent.offset_msg_id,
        broker_name: sent.queue.broker_name.to_string(),
        queue_id: sent.queue.queue_id.max(0).unsigned_abs(),
        queue_offset: sent.queue_offset.max(0).unsigned_abs(),
    }
}

/// The client's error as plugins know it.
fn told(error: &client::SendError) -> SendError {
    let words = error.to_string();
    match error {
        client::SendError::Invalid { .. } | client::SendError::Unselected { .. } => SendError::Invalid(words),
        client::SendError::NoQueue { .. }
        | client::SendError::Route(RouteError::Missing { .. } | RouteError::Refused { .. }) => {
            SendError::NoRoute(words)
        }
        client::SendError::NoTime { .. }
        | client::SendError::Failed { last: CallError::Invoke(InvokeError::Timeout { .. }), .. } => {
            SendError::Timeout
        }
        client::SendError::Failed { last: CallError::Refused { .. }, .. } => SendError::Refused(words),
        client::SendError::Route(_) | client::SendError::Failed { .. } => SendError::Unavailable(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> GuestMessage {
        GuestMessage { topic: "orders".into(), body: b"x".to_vec(), ..GuestMessage::default() }
    }

    fn rule(message: GuestMessage) -> String {
        match outgoing(message) {
            Err(SendError::Invalid(rule)) => rule,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn delivery_times_are_rocketmqs_three_kinds_of_delay() {
        let delay = |delivery_time| outgoing(GuestMessage { delivery_time, ..message() }).unwrap().delay;
        assert_eq!(delay(DeliveryTime::AtOnce), Delay::None);
        assert_eq!(delay(DeliveryTime::Level(18)), Delay::Level(18));
        assert_eq!(delay(DeliveryTime::Milliseconds(5)), Delay::Millis(5));
        assert_eq!(delay(DeliveryTime::Timestamp(7)), Delay::At(7));
        for level in [0, 19] {
            let delivery_time = DeliveryTime::Level(level);
            assert!(rule(GuestMessage { delivery_time, ..message() }).contains("1 to 18"));
        }
    }

    #[test]
    fn a_key_that_could_not_be_told_from_two_is_refused() {
        for key in ["", "a b"] {
            let keys = vec![key.to_owned()];
            assert!(rule(GuestMessage { keys, ..message() }).contains("white space"), "{key:?}");
        }
    }

    #[test]
    fn a_topic_of_the_brokers_own_is_refused() {
        let topic = "SCHEDULE_TOPIC_XXXX".to_owned();
        assert!(rule(GuestMessage { topic, ..message() }).contains("keep for themselves"));
    }

    /// A producer whose name server takes connections and says nothing.
    fn into_silence(runtime: &tokio::runtime::Runtime) -> (PluginProducer, std::net::TcpListener) {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let name_servers = silent.local_addr().unwrap().to_string();
        let config = client::ClientConfig { name_servers, ..client::ClientConfig::default() };
        let client = runtime.block_on(client::ClientInstance::start(config)).unwrap();
        let producer = Producer::new(client, client::ProducerConfig::default());
        let (selectors, tasks) = (super::super::no_selectors(), Tasks::default());
        (PluginProducer::new("orders", &producer, &selectors, runtime.handle(), &tasks), silent)
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn a_send_ends_at_its_deadline_whatever_the_cluster_does() {
        use gantry_engine::Producer as _;
        let runtime = runtime();
        let (producer, _silent) = into_silence(&runtime);
        let (began, time) = (Instant::now(), Duration::from_millis(200));
        let deadline = began + time;
        assert_eq!(producer.send(message(), deadline), Err(SendError::Timeout));
        assert_eq!(producer.send_one_way(message(), deadline), Err(SendError::Timeout));
        let ordered = producer.send_ordered(message(), MessageQueueSelector::ByHash, "a", deadline);
        assert_eq!(ordered, Err(SendError::Timeout));
        assert!(began.elapsed() >= time && began.elapsed() < Duration::from_secs(30));
        let invalid = GuestMessage { body: Vec::new(), ..message() };
        let error = producer.send(invalid, Instant::now() + Duration::from_secs(30)).unwrap_err();
        assert!(matches!(&error, SendError::Invalid(rule) if rule.contains("empty")), "{error:?}");
    }

    #[test]
    fn so_many_sends_are_under_way_and_not_more() {
        let runtime = runtime();
        let (producer, _silent) = into_silence(&runtime);
        let places: Vec<_> = (0..MAX_UNDER_WAY).map(|_| producer.place().unwrap()).collect();
        assert!(matches!(producer.place(), Err(SendError::Unavailable(_))));
        drop(places);
        assert!(producer.place().is_ok());
    }

    #[test]
    fn a_selector_that_gives_no_queue_is_replaced_by_the_hash() {
        let runtime = runtime();
        let (mut producer, _silent) = into_silence(&runtime);
        let queues: Vec<_> = (0..4).map(|id| MessageQueue::new("orders", "a", id)).collect();
        let choose = |producer: &PluginProducer, name: &str| {
            producer.choose(&queues, &message(), &MessageQueueSelector::Plugin(name.into()), "hello")
        };
        assert_eq!(choose(&producer, "absent"), 2);
        producer.selectors = Arc::new(|name, queues, _, arg| match name {
            "last" => Ok(queues.len() - 1),
            "beyond" => Ok(queues.len()),
            _ => Err(format!("no queue for {arg}")),
        });
        assert_eq!(
            [choose(&producer, "last"), choose(&producer, "beyond"), choose(&producer, "fails")],
            [3, 2, 2]
        );
        assert_eq!(producer.fallbacks.load(Relaxed), 3);
    }
}
