use gantry_protocol::header::*;
use gantry_protocol::{CommandHeader, ExtFields, RequestCode, ResponseCode};

use crate::captures;

/// Reads fields as `H` and writes them again: what comes out is what `H` knows of them.
fn rewrite<H: CommandHeader>(fields: &ExtFields) -> Result<ExtFields, HeaderError> {
    let mut written = ExtFields::new();
    H::decode_fields(fields)?.encode_fields(&mut written);
    Ok(written)
}

/// Reads and writes no field: for requests and responses that have none of their own.
fn no_fields(_: &ExtFields) -> Result<ExtFields, HeaderError> {
    Ok(ExtFields::new())
}

type Rewrite = fn(&ExtFields) -> Result<ExtFields, HeaderError>;

/// The typed header of a request, if this crate has one for its code.
fn request_header(code: RequestCode) -> Option<Rewrite> {
    Some(match code {
        RequestCode::SEND_MESSAGE | RequestCode::SEND_REPLY_MESSAGE => rewrite::<SendMessageRequestHeader>,
        RequestCode::SEND_MESSAGE_V2
        | RequestCode::SEND_BATCH_MESSAGE
        | RequestCode::SEND_REPLY_MESSAGE_V2 => rewrite::<SendMessageRequestHeaderV2>,
        RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => rewrite::<PullMessageRequestHeader>,
        RequestCode::QUERY_MESSAGE => rewrite::<QueryMessageRequestHeader>,
        RequestCode::QUERY_CONSUMER_OFFSET => rewrite::<QueryConsumerOffsetRequestHeader>,
        RequestCode::UPDATE_CONSUMER_OFFSET => rewrite::<UpdateConsumerOffsetRequestHeader>,
        RequestCode::UPDATE_AND_CREATE_TOPIC => rewrite::<CreateTopicRequestHeader>,
        RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => rewrite::<SearchOffsetRequestHeader>,
        RequestCode::GET_MAX_OFFSET => rewrite::<GetMaxOffsetRequestHeader>,
        RequestCode::GET_MIN_OFFSET => rewrite::<GetMinOffsetRequestHeader>,
        RequestCode::GET_EARLIEST_MSG_STORETIME => rewrite::<GetEarliestMsgStoretimeRequestHeader>,
        RequestCode::VIEW_MESSAGE_BY_ID => rewrite::<ViewMessageRequestHeader>,
        RequestCode::UNREGISTER_CLIENT => rewrite::<UnregisterClientRequestHeader>,
        RequestCode::CONSUMER_SEND_MSG_BACK => rewrite::<ConsumerSendMsgBackRequestHeader>,
        RequestCode::END_TRANSACTION => rewrite::<EndTransactionRequestHeader>,
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => rewrite::<GetConsumerListByGroupRequestHeader>,
        RequestCode::CHECK_TRANSACTION_STATE => rewrite::<CheckTransactionStateRequestHeader>,
        RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => rewrite::<NotifyConsumerIdsChangedRequestHeader>,
        RequestCode::DELETE_KV_CONFIG => rewrite::<KvConfigRequestHeader>,
        RequestCode::REGISTER_BROKER => rewrite::<RegisterBrokerRequestHeader>,
        RequestCode::GET_ROUTEINFO_BY_TOPIC => rewrite::<GetRouteInfoRequestHeader>,
        RequestCode::GET_TOPIC_STATS_INFO => rewrite::<GetTopicStatsInfoRequestHeader>,
        RequestCode::GET_CONSUMER_CONNECTION_LIST => rewrite::<GetConsumerConnectionListRequestHeader>,
        RequestCode::DELETE_SUBSCRIPTIONGROUP => rewrite::<DeleteSubscriptionGroupRequestHeader>,
        RequestCode::GET_CONSUME_STATS => rewrite::<GetConsumeStatsRequestHeader>,
        RequestCode::DELETE_TOPIC_IN_BROKER | RequestCode::DELETE_TOPIC_IN_NAMESRV => {
            rewrite::<DeleteTopicRequestHeader>
        }
        RequestCode::RESET_CONSUMER_CLIENT_OFFSET | RequestCode::INVOKE_BROKER_TO_RESET_OFFSET => {
            rewrite::<ResetOffsetRequestHeader>
        }
        RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT | RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => {
            rewrite::<GetConsumerStatusRequestHeader>
        }
        RequestCode::GET_CONSUMER_RUNNING_INFO => rewrite::<GetConsumerRunningInfoRequestHeader>,
        RequestCode::CONSUME_MESSAGE_DIRECTLY => rewrite::<ConsumeMessageDirectlyRequestHeader>,
        RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT => rewrite::<ReplyMessageRequestHeader>,
        RequestCode::GET_TOPIC_CONFIG => rewrite::<GetTopicConfigRequestHeader>,
        RequestCode::POP_MESSAGE => rewrite::<PopMessageRequestHeader>,
        RequestCode::ACK_MESSAGE => rewrite::<AckMessageRequestHeader>,
        RequestCode::PEEK_MESSAGE => rewrite::<PeekMessageRequestHeader>,
        RequestCode::CHANGE_MESSAGE_INVISIBLETIME => rewrite::<ChangeInvisibleTimeRequestHeader>,
        RequestCode::NOTIFICATION => rewrite::<NotificationRequestHeader>,
        RequestCode::POLLING_INFO => rewrite::<PollingInfoRequestHeader>,
        _ => return None,
    })
}

/// Requests without a header of their own, and why.
fn request_without_header(code: RequestCode) -> Option<&'static str> {
    Some(match code {
        RequestCode::HEART_BEAT => "says everything in its body",
        RequestCode::LOCK_BATCH_MQ | RequestCode::UNLOCK_BATCH_MQ => "says everything in its body",
        RequestCode::CHECK_CLIENT_CONFIG => "says everything in its body",
        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => "says everything in its body",
        RequestCode::QUERY_ASSIGNMENT | RequestCode::SET_MESSAGE_REQUEST_MODE => {
            "says everything in its body"
        }
        RequestCode::BATCH_ACK_MESSAGE => "says everything in its body",
        RequestCode::UPDATE_BROKER_CONFIG => "its body is Java properties text; only administration sends it",
        RequestCode::GET_BROKER_CLUSTER_INFO => "asks for everything there is",
        RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => "asks for everything there is",
        RequestCode(3442) => "a POP code cut to 16 bits, to see what the broker says",
        RequestCode(9999) => "no request at all, to see what the broker says",
        _ => return None,
    })
}

/// The typed header of a response; responses that are not listed must have no fields.
fn response_header(request: &str, code: ResponseCode) -> Rewrite {
    let ok = code == ResponseCode::SUCCESS;
    match request {
        // A reply that cannot be delivered is an error (1) that says where it was stored all the same.
        "SEND_REPLY_MESSAGE_V2" => rewrite::<SendMessageResponseHeader>,
        "SEND_MESSAGE" | "SEND_MESSAGE_V2" | "SEND_BATCH_MESSAGE" if ok => {
            rewrite::<SendMessageResponseHeader>
        }
        "SEND_MESSAGE" | "SEND_MESSAGE_V2" | "SEND_BATCH_MESSAGE" => rewrite::<SendMessageRefusedHeader>,
        "PULL_MESSAGE" | "LITE_PULL_MESSAGE" if ok || (19..=21).contains(&code.0) => {
            rewrite::<PullMessageResponseHeader>
        }
        "QUERY_MESSAGE" => rewrite::<QueryMessageResponseHeader>,
        "QUERY_CONSUMER_OFFSET" if ok => rewrite::<QueryConsumerOffsetResponseHeader>,
        "SEARCH_OFFSET_BY_TIMESTAMP" => rewrite::<SearchOffsetResponseHeader>,
        "GET_MAX_OFFSET" => rewrite::<GetMaxOffsetResponseHeader>,
        "GET_MIN_OFFSET" => rewrite::<GetMinOffsetResponseHeader>,
        "GET_EARLIEST_MSG_STORETIME" => rewrite::<GetEarliestMsgStoretimeResponseHeader>,
        "HEART_BEAT" => rewrite::<HeartbeatResponseHeader>,
        "REGISTER_BROKER" => rewrite::<RegisterBrokerResponseHeader>,
        "POP_MESSAGE" | "PEEK_MESSAGE" => rewrite::<PopMessageResponseHeader>,
        "CHANGE_MESSAGE_INVISIBLETIME" => rewrite::<ChangeInvisibleTimeResponseHeader>,
        "NOTIFICATION" => rewrite::<NotificationResponseHeader>,
        "POLLING_INFO" => rewrite::<PollingInfoResponseHeader>,
        _ => no_fields,
    }
}

/// Hand-made requests that lack or spoil a field on purpose, with the error a typed reader must give.
const BROKEN_ON_PURPOSE: &[(&str, &str)] = &[
    ("19_probe n=11", "the header lacks the field \"topic\""),
    ("19_probe n=13", "the header lacks the field \"topic\""),
    ("19_probe n=33", "the header lacks the field \"e\""),
];

/// Fields that any request may carry besides its own.
fn add_common(fields: &ExtFields, written: &mut ExtFields) {
    RpcRequestHeader::decode_fields(fields).unwrap().encode_fields(written);
    AclRequestHeader::decode_fields(fields).unwrap().encode_fields(written);
}

#[test]
fn every_captured_request_is_typed_without_losing_a_field() {
    let mut broken = Vec::new();
    for frame in captures::well_formed() {
        let command = frame.command();
        if command.is_response() {
            continue;
        }
        let code = command.request_code();
        let rewrite = request_header(code).or(request_without_header(code).map(|_| no_fields as Rewrite));
        let rewrite = rewrite.unwrap_or_else(|| panic!("{}: {code} has no typed header", frame.place));
        match rewrite(&command.ext_fields) {
            Ok(mut written) => {
                add_common(&command.ext_fields, &mut written);
                assert_eq!(written, known_fields(&command.ext_fields), "{} {code}", frame.place);
            }
            Err(error) => broken.push((frame.place, error.to_string())),
        }
    }
    let broken: Vec<_> = broken.iter().map(|(place, error)| (place.as_str(), error.as_str())).collect();
    assert_eq!(broken, BROKEN_ON_PURPOSE);
}

/// The captured fields without two that a probe invented to see whether they hurt.
fn known_fields(fields: &ExtFields) -> ExtFields {
    let mut known = fields.clone();
    known.remove("num");
    known.remove("bool");
    known
}

#[test]
fn every_captured_response_is_typed_without_losing_a_field() {
    for frame in captures::well_formed() {
        let command = frame.command();
        if !command.is_response() {
            continue;
        }
        let rewrite = response_header(frame.request_name(), command.response_code());
        let written = rewrite(&command.ext_fields).unwrap_or_else(|error| panic!("{}: {error}", frame.place));
        assert_eq!(written, command.ext_fields, "{} {:?}", frame.place, frame.name);
    }
}

#[test]
fn every_captured_code_has_a_name() {
    for frame in captures::well_formed() {
        let command = frame.command();
        let (named, name) = if command.is_response() {
            let name = frame.name.clone().unwrap();
            (command.response_code().name(), name.split(' ').nth(1).unwrap().to_owned())
        } else {
            (command.request_code().name(), frame.request_name().to_owned())
        };
        let probed = ["3442", "9999"].contains(&name.as_str());
        assert!(probed || named == Some(&name), "{}: {name}, not {named:?}", frame.place);
    }
}

#[test]
fn headers_of_a_recall_come_back_as_they_were() {
    let request: ExtFields =
        [("producerGroup", "p"), ("topic", "t"), ("recallHandle", "djE"), ("bname", "b")]
            .into_iter()
            .collect();
    assert_eq!(rewrite::<RecallMessageRequestHeader>(&request).unwrap(), request);
    let answer: ExtFields = [("msgId", "u")].into_iter().collect();
    assert_eq!(rewrite::<RecallMessageResponseHeader>(&answer).unwrap(), answer);
    let without_handle: ExtFields = [("topic", "t")].into_iter().collect();
    assert!(rewrite::<RecallMessageRequestHeader>(&without_handle).is_err());
}
