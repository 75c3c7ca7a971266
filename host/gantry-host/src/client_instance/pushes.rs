//! What brokers ask of this client (RocketMQ: ClientRemotingProcessor).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use gantry_protocol::body::{GetConsumerStatusBody, OffsetTable};
use gantry_protocol::header::{
    ConsumeMessageDirectlyRequestHeader, GetConsumerRunningInfoRequestHeader, GetConsumerStatusRequestHeader,
    NotifyConsumerIdsChangedRequestHeader, ReplyMessageRequestHeader, ResetOffsetRequestHeader,
};
use gantry_protocol::properties::keys;
use gantry_protocol::{
    CommandHeader, MessageExt, MessageQueue, MessageRecord, RemotingCommand, RequestCode, ResponseCode,
    fastjson,
};
use gantry_remoting::{RefuseRequests, Reply, RequestProcessor};
use serde::Serialize;

use super::groups::{Answering, GroupListener, Groups, Unanswered};
use super::replies::Replies;

/// How long a group has for an answer: a little less than the 5 s a broker gives a consumer's status.
const STATUS_PATIENCE: Duration = Duration::from_secs(4);
/// The same for what brokers wait 10 s for.
const PATIENCE: Duration = Duration::from_secs(9);

/// Hands each push to the group it is for, and each reply to the request.
#[derive(Debug)]
pub(super) struct Pushes {
    groups: Arc<Groups>,
    replies: Arc<Replies>,
}

/// Why a push has no better answer; in words for the operator who is behind it.
struct Refusal(String);

type Answer = Result<RemotingCommand, Refusal>;

impl Pushes {
    pub(super) fn new(groups: Arc<Groups>, replies: Arc<Replies>) -> Self {
        Self { groups, replies }
    }

    async fn answer(&self, peer: &str, request: &RemotingCommand) -> Option<Answer> {
        Some(match request.request_code() {
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => self.members_changed(peer, request),
            RequestCode::RESET_CONSUMER_CLIENT_OFFSET => self.reset_offsets(peer, request).await,
            RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT => self.consumer_status(request).await,
            RequestCode::GET_CONSUMER_RUNNING_INFO => self.running_info(request).await,
            RequestCode::CONSUME_MESSAGE_DIRECTLY => self.consume_directly(peer, request).await,
            RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT => self.reply(peer, request),
            _ => return None,
        })
    }

    fn members_changed(&self, peer: &str, request: &RemotingCommand) -> Answer {
        let header: NotifyConsumerIdsChangedRequestHeader = header(request)?;
        tracing::debug!(peer, group = header.consumer_group, "the group's members changed");
        if let Some(listener) = self.groups.listener(&header.consumer_group) {
            listener.members_changed();
        }
        Ok(success())
    }

    /// Nobody gets the answer of this one: it comes oneway.
    async fn reset_offsets(&self, peer: &str, request: &RemotingCommand) -> Answer {
        let header: ResetOffsetRequestHeader = header(request)?;
        let table: OffsetTable = match request.body.is_empty() {
            true => OffsetTable::default(),
            false => fastjson::from_slice(&request.body).map_err(unreadable(request))?,
        };
        let of_topic = |(mq, _): &(MessageQueue, i64)| *mq.topic == *header.topic;
        let offsets: Vec<_> = table.offset_table.0.into_iter().filter(of_topic).collect();
        let (group, topic, queues) = (&header.group, &header.topic, offsets.len());
        tracing::info!(peer, group, topic, queues, "an operator sets offsets");
        let listener = self.listener(group)?;
        bounded(group, PATIENCE, listener.reset_offsets(offsets)).await.map(|()| success())
    }

    /// A group that is not here has no offsets, and that is the answer.
    async fn consumer_status(&self, request: &RemotingCommand) -> Answer {
        let GetConsumerStatusRequestHeader { topic, group, .. } = header(request)?;
        let message_queue_table = match self.groups.listener(&group) {
            Some(listener) => bounded(&group, STATUS_PATIENCE, listener.consumer_status(topic)).await?,
            None => Default::default(),
        };
        with_json(&GetConsumerStatusBody { message_queue_table, ..GetConsumerStatusBody::default() })
    }

    async fn running_info(&self, request: &RemotingCommand) -> Answer {
        let header: GetConsumerRunningInfoRequestHeader = header(request)?;
        let (group, jstack) = (&header.consumer_group, header.jstack_enable.unwrap_or(false));
        let listener = self.listener(group)?;
        with_json(&bounded(group, PATIENCE, listener.running_info(jstack)).await?)
    }

    async fn consume_directly(&self, peer: &str, request: &RemotingCommand) -> Answer {
        let header: ConsumeMessageDirectlyRequestHeader = header(request)?;
        let message = MessageExt::decode(request.body.clone()).map_err(unreadable(request))?;
        let group = &header.consumer_group;
        tracing::info!(peer, group, message = message.message_id(), "an operator has a message consumed");
        let listener = self.listener(group)?;
        let broker_name = header.broker_name.as_deref().unwrap_or_default().into();
        with_json(&bounded(group, PATIENCE, listener.consume_directly(broker_name, message)).await?)
    }

    /// The reply to a request message. One that nobody waits for any more is taken all the same, as Java's client does.
    fn reply(&self, peer: &str, request: &RemotingCommand) -> Answer {
        let header: ReplyMessageRequestHeader = header(request)?;
        let reply = reply_message(header, request)?;
        let correlation_id = reply.property(keys::CORRELATION_ID).unwrap_or_default().to_owned();
        if !self.replies.arrived(&correlation_id, reply) {
            tracing::warn!(
                peer,
                correlation_id,
                "a reply comes too late, or to a request that was not made here"
            );
        }
        Ok(success())
    }

    fn listener(&self, group: &str) -> Result<Arc<dyn GroupListener>, Refusal> {
        self.groups.listener(group).ok_or_else(|| gone(group))
    }
}

impl RequestProcessor for Pushes {
    fn process(&self, peer: Arc<str>, request: RemotingCommand) -> Reply<'_> {
        Box::pin(async move {
            match self.answer(&peer, &request).await {
                Some(Ok(answer)) => Some(answer),
                Some(Err(Refusal(remark))) => {
                    let code = request.request_code();
                    tracing::warn!(peer = &*peer, %code, "a broker's request is refused: {remark}");
                    Some(RemotingCommand::response(ResponseCode::SYSTEM_ERROR).with_remark(remark))
                }
                None => RefuseRequests.process(peer, request).await,
            }
        })
    }
}

async fn bounded<T>(group: &str, patience: Duration, answer: Answering<'_, T>) -> Result<T, Refusal> {
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Unanswered::Gone)) => Err(gone(group)),
        Ok(Err(Unanswered::Refused(reason))) => Err(Refusal(reason)),
        Err(_elapsed) => Err(Refusal(format!(
            "group {group} has not answered within {patience:?}; what it was asked to do may still be going on"
        ))),
    }
}

/// The reply as a message like any, though no broker has stored it there.
fn reply_message(
    header: ReplyMessageRequestHeader,
    request: &RemotingCommand,
) -> Result<MessageExt, Refusal> {
    let record = MessageRecord {
        topic: header.topic,
        queue_id: header.queue_id,
        flag: header.flag,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        store_timestamp: header.store_timestamp,
        born_host: host(&header.born_host),
        store_host: host(&header.store_host),
        reconsume_times: header.reconsume_times.unwrap_or_default(),
        body: request.body.clone(),
        properties: header.properties.unwrap_or_default().into(),
        ..MessageRecord::default()
    };
    let mut bytes = BytesMut::new();
    record.encode(&mut bytes).map_err(unreadable(request))?;
    MessageExt::decode(bytes.freeze()).map_err(unreadable(request))
}

/// A host as Java writes it, IPv6 addresses without brackets; one that cannot be read is no reason to lose a reply.
fn host(text: &str) -> SocketAddr {
    let read = text.rsplit_once(':').and_then(|(ip, port)| {
        let ip = ip.trim_matches(['[', ']']).split('%').next()?;
        Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
    });
    read.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// Java's words.
fn gone(group: &str) -> Refusal {
    Refusal(format!("The Consumer Group <{group}> not exist in this consumer"))
}

fn header<H: CommandHeader>(request: &RemotingCommand) -> Result<H, Refusal> {
    request.header().map_err(unreadable(request))
}

fn unreadable<E: std::fmt::Display>(request: &RemotingCommand) -> impl FnOnce(E) -> Refusal {
    let code = request.request_code();
    move |error| Refusal(format!("the {code} cannot be read: {error}"))
}

fn success() -> RemotingCommand {
    RemotingCommand::response(ResponseCode::SUCCESS)
}

fn with_json(body: &impl Serialize) -> Answer {
    let json = fastjson::to_vec(body);
    json.map(|json| success().with_body(json))
        .map_err(|error| Refusal(format!("the answer cannot be written: {error}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::{Bytes, BytesMut};
    use gantry_protocol::body::{
        ConsumeMessageDirectlyResult, ConsumeResult, ConsumerData, ConsumerRunningInfo, QueueMap,
    };
    use gantry_protocol::{ExtFields, MessageRecord};
    use serde::de::DeserializeOwned;

    use super::*;

    /// Writes down what it is told and asked, and answers.
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Told {
        fn note<T: Send + 'static>(&self, text: String, answer: T) -> Answering<'_, T> {
            self.0.lock().unwrap().push(text);
            Box::pin(std::future::ready(Ok(answer)))
        }
    }

    impl GroupListener for Told {
        fn members_changed(&self) {
            drop(self.note("changed".to_owned(), ()));
        }

        fn reset_offsets(&self, offsets: Vec<(MessageQueue, i64)>) -> Answering<'_, ()> {
            let text: Vec<_> =
                offsets.iter().map(|(mq, to)| format!("{}/{}:{to}", mq.topic, mq.queue_id)).collect();
            self.note(text.join(" "), ())
        }

        fn consumer_status(&self, topic: String) -> Answering<'_, QueueMap<i64>> {
            let queue = MessageQueue::new(topic.as_str(), "broker-a", 0);
            self.note(topic, QueueMap::from_iter([(queue, 3)]))
        }

        fn running_info(&self, jstack: bool) -> Answering<'_, ConsumerRunningInfo> {
            let info = ConsumerRunningInfo {
                jstack: jstack.then(|| "idle".to_owned()),
                ..ConsumerRunningInfo::default()
            };
            self.note("info".to_owned(), info)
        }

        fn consume_directly(
            &self,
            broker_name: Arc<str>,
            message: MessageExt,
        ) -> Answering<'_, ConsumeMessageDirectlyResult> {
            let result = ConsumeMessageDirectlyResult {
                consume_result: ConsumeResult::Success,
                ..ConsumeMessageDirectlyResult::default()
            };
            self.note(format!("{} at {broker_name}", message.topic()), result)
        }
    }

    struct Deaf;

    impl GroupListener for Deaf {
        fn members_changed(&self) {}
    }

    /// Two groups: `g`, which answers, and `deaf`, which is about to be gone.
    fn pushes() -> (Pushes, Arc<Told>) {
        let groups = Arc::new(Groups::default());
        let told = Arc::new(Told::default());
        let data = |group: &str| ConsumerData { group_name: group.to_owned(), ..ConsumerData::default() };
        groups.add(data("g"), told.clone());
        groups.add(data("deaf"), Arc::new(Deaf));
        (Pushes::new(groups, Arc::default()), told)
    }

    fn push(code: RequestCode, fields: &[(&str, &str)], body: impl Into<Bytes>) -> RemotingCommand {
        let mut request = RemotingCommand::bare_request(code).with_body(body.into());
        request.ext_fields = fields.iter().copied().collect::<ExtFields>();
        request
    }

    async fn answered(pushes: &Pushes, request: RemotingCommand) -> RemotingCommand {
        pushes.process("b:1".into(), request).await.unwrap()
    }

    async fn body<T: DeserializeOwned>(pushes: &Pushes, request: RemotingCommand) -> T {
        let answer = answered(pushes, request).await;
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{answer:?}");
        fastjson::from_slice(&answer.body).unwrap()
    }

    fn message(topic: &str) -> Bytes {
        let mut bytes = BytesMut::new();
        MessageRecord { topic: topic.to_owned(), ..MessageRecord::default() }.encode(&mut bytes).unwrap();
        bytes.freeze()
    }

    #[tokio::test]
    async fn a_change_of_members_reaches_its_group_only() {
        let (pushes, told) = pushes();
        for group in ["g", "deaf", "unknown"] {
            let changed = push(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, &[("consumerGroup", group)], "");
            assert_eq!(answered(&pushes, changed).await.response_code(), ResponseCode::SUCCESS);
        }
        assert_eq!(*told.0.lock().unwrap(), ["changed"]);
    }

    /// The bodies are those brokers send to Java and to C++ clients.
    #[tokio::test]
    async fn a_reset_is_read_in_both_shapes_and_only_for_its_topic() {
        let (pushes, told) = pushes();
        let fields =
            [("queueId", "-1"), ("topic", "T"), ("isForce", "false"), ("group", "g"), ("timestamp", "1")];
        let bodies = [
            r#"{"offsetTable":{{"brokerName":"b","queueId":2,"topic":"T"}:5,{"brokerName":"b","queueId":0,"topic":"U"}:7}}"#,
            r#"{"offsetTable":[{"brokerName":"b","offset":6,"queueId":3,"topic":"T"}]}"#,
            "",
        ];
        for body in bodies {
            let reset = push(RequestCode::RESET_CONSUMER_CLIENT_OFFSET, &fields, body);
            assert_eq!(answered(&pushes, reset).await.response_code(), ResponseCode::SUCCESS);
        }
        assert_eq!(*told.0.lock().unwrap(), ["T/2:5", "T/3:6", ""]);
    }

    #[tokio::test]
    async fn questions_are_answered_by_their_group() {
        let (pushes, told) = pushes();
        let status =
            push(RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT, &[("topic", "T"), ("group", "g")], "");
        let answer = answered(&pushes, status).await;
        let expected = r#"{"consumerTable":{},"messageQueueTable":{{"brokerName":"broker-a","queueId":0,"topic":"T"}:3}}"#;
        assert_eq!(std::str::from_utf8(&answer.body).unwrap(), expected);

        let fields = [("consumerGroup", "g"), ("clientId", "c"), ("jstackEnable", "true")];
        let info: ConsumerRunningInfo =
            body(&pushes, push(RequestCode::GET_CONSUMER_RUNNING_INFO, &fields, "")).await;
        assert_eq!(info.jstack.as_deref(), Some("idle"));

        let fields = [("consumerGroup", "g"), ("brokerName", "broker-a")];
        let directly = push(RequestCode::CONSUME_MESSAGE_DIRECTLY, &fields, message("T"));
        let result: ConsumeMessageDirectlyResult = body(&pushes, directly).await;
        assert_eq!(result.consume_result, ConsumeResult::Success);
        assert_eq!(*told.0.lock().unwrap(), ["T", "info", "T at broker-a"]);
    }

    #[tokio::test]
    async fn a_group_that_is_not_here_is_answered_as_java_answers() {
        let (pushes, _) = pushes();
        for group in ["unknown", "deaf"] {
            let gone = format!("The Consumer Group <{group}> not exist in this consumer");
            let info = [("consumerGroup", group), ("clientId", "c")];
            for request in [
                push(RequestCode::GET_CONSUMER_RUNNING_INFO, &info, ""),
                push(RequestCode::CONSUME_MESSAGE_DIRECTLY, &info, message("T")),
            ] {
                let answer = answered(&pushes, request).await;
                assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
                assert_eq!(answer.remark.as_ref(), Some(&gone));
            }
        }
        let fields = [("topic", "T"), ("group", "unknown")];
        let status: GetConsumerStatusBody =
            body(&pushes, push(RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT, &fields, "")).await;
        assert!(status.message_queue_table.is_empty());
    }

    #[tokio::test]
    async fn an_answer_that_takes_too_long_is_not_waited_for() {
        let never: Answering<'_, ()> = Box::pin(std::future::pending());
        let Err(Refusal(remark)) = bounded("g", Duration::from_millis(20), never).await else {
            panic!("nothing was to wait for")
        };
        assert!(remark.contains("group g has not answered within 20ms"), "{remark}");
    }

    /// The fields are those a broker sends.
    #[tokio::test]
    async fn a_reply_reaches_the_request_it_answers_and_a_late_one_is_taken_too() {
        let (pushes, _) = pushes();
        let mut waiting = pushes.replies.wait_for("7".to_owned()).unwrap();
        let push = |born_host: &str| {
            let header = ReplyMessageRequestHeader {
                topic: "c_REPLY_TOPIC".to_owned(),
                sys_flag: 0,
                properties: Some("CORRELATION_ID\u{1}7\u{2}MSG_TYPE\u{1}reply\u{2}".to_owned()),
                born_host: born_host.to_owned(),
                store_host: "127.0.0.1:10911".to_owned(),
                ..ReplyMessageRequestHeader::default()
            };
            RemotingCommand::request(RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT, &header).with_body("yes")
        };
        for _ in 0..2 {
            let answer = answered(&pushes, push("127.0.0.1:5555")).await;
            assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{answer:?}");
        }
        let reply = waiting.reply().await.unwrap();
        assert_eq!((reply.topic(), &*reply.body().unwrap()), ("c_REPLY_TOPIC", &b"yes"[..]));
        assert_eq!(reply.born_host().to_string(), "127.0.0.1:5555");
        let hosts = ["0:0:0:0:0:0:0:1%lo:7", "[::1]:7", "nowhere"].map(|text| host(text).to_string());
        assert_eq!(hosts, ["[::1]:7", "[::1]:7", "0.0.0.0:0"]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_refused_with_what_is_wrong_and_what_is_not_known_as_not_supported() {
        let (pushes, told) = pushes();
        let directly = push(RequestCode::CONSUME_MESSAGE_DIRECTLY, &[("consumerGroup", "g")], "nonsense");
        let reset = push(
            RequestCode::RESET_CONSUMER_CLIENT_OFFSET,
            &[("topic", "T"), ("group", "g"), ("timestamp", "1")],
            "{",
        );
        let nameless = push(RequestCode::GET_CONSUMER_RUNNING_INFO, &[], "");
        for request in [directly, reset, nameless] {
            let cannot = format!("the {} cannot be read", request.request_code());
            let answer = answered(&pushes, request).await;
            assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
            assert!(answer.remark.as_ref().unwrap().starts_with(&cannot), "{answer:?}");
        }
        assert!(told.0.lock().unwrap().is_empty());
        let answer = answered(&pushes, push(RequestCode::CHECK_TRANSACTION_STATE, &[], "")).await;
        assert_eq!(answer.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    }
}
