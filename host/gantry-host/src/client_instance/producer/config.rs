//! What a producer can be told.

use std::time::Duration;

use gantry_core::fault::{FAULT_LEVELS, FaultLevel};
use gantry_protocol::ResponseCode;
use gantry_protocol::compression::{self, CompressionType};

use crate::client_instance::TraceDispatcher;

/// Settings of a [`Producer`](super::Producer), with RocketMQ's defaults.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// The producer group. Default `GANTRY_PRODUCER`.
    pub group: String,
    /// How long a send may take, its repetitions and the wait for its turn included (`sendMsgTimeout`). Default 3 s.
    pub send_timeout: Duration,
    /// How long one of several attempts may take (`sendMsgMaxTimeoutPerRequest`). Default: all that is left.
    pub send_timeout_per_request: Option<Duration>,
    /// How often a failed send is repeated, at another broker where there is one (`retryTimesWhenSendFailed`).
    /// Default 2. A message whose answer was lost may then be stored twice.
    pub retry_times_when_send_failed: u32,
    /// Whether a send is repeated too when the broker has the message but not as well as it should, that is, with another
    /// status than [`SendStatus::Ok`](super::SendStatus::Ok) (`retryAnotherBrokerWhenNotStoreOK`). Default `false`. The
    /// message is then stored twice.
    pub retry_another_broker_when_not_store_ok: bool,
    /// Brokers' refusals after which a send is repeated (`retryResponseCodes`). Default: RocketMQ's seven.
    pub retry_response_codes: Vec<ResponseCode>,
    /// Whether brokers that are slow or fail are passed over for a while (`sendLatencyFaultEnable`). Default `false`: only
    /// the broker that has just failed is avoided when its message is sent again.
    pub send_latency_fault_enable: bool,
    /// From which latency on brokers are passed over, and for how long (`latencyMax`, `notAvailableDuration`). Ascending.
    /// Default [`FAULT_LEVELS`].
    pub fault_levels: Vec<FaultLevel>,
    /// Bodies of so many bytes and more are compressed (`compressMsgBodyOverHowmuch`). Default 4,096.
    pub compress_msg_body_over_howmuch: usize,
    /// How they are compressed (`compressType`). Default zlib, which every client reads.
    pub compress_type: CompressionType,
    /// How hard (`compressLevel`): 0 to 9 for zlib, to 22 for Zstandard; LZ4 has no levels. Default 5.
    pub compress_level: i32,
    /// The longest body (`maxMessageSize`), in bytes. Default 4 MiB.
    pub max_message_size: usize,
    /// Queues per broker of a topic that brokers create by themselves (`defaultTopicQueueNums`). Default 4.
    pub default_topic_queue_nums: i32,
    /// Sends under way at once; more wait, within their `send_timeout` (`backPressureForAsyncSendNum`). Default 1,024.
    pub back_pressure_for_async_send_num: usize,
    /// Bytes of bodies under way at once; more wait (`backPressureForAsyncSendSize`). Default 100 MiB. A larger body goes alone.
    pub back_pressure_for_async_send_size: usize,
    /// Where sends are told (`enableTrace`). Default: nowhere.
    pub traces: Option<TraceDispatcher>,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            group: "GANTRY_PRODUCER".to_owned(),
            send_timeout: Duration::from_secs(3),
            send_timeout_per_request: None,
            retry_times_when_send_failed: 2,
            retry_another_broker_when_not_store_ok: false,
            retry_response_codes: RETRY_RESPONSE_CODES.to_vec(),
            send_latency_fault_enable: false,
            fault_levels: FAULT_LEVELS.to_vec(),
            compress_msg_body_over_howmuch: compression::DEFAULT_THRESHOLD,
            compress_type: CompressionType::Zlib,
            compress_level: 5,
            max_message_size: 4 * 1_024 * 1_024,
            default_topic_queue_nums: 4,
            back_pressure_for_async_send_num: 1_024,
            back_pressure_for_async_send_size: 100 * 1_024 * 1_024,
            traces: None,
        }
    }
}

const RETRY_RESPONSE_CODES: [ResponseCode; 7] = [
    ResponseCode::TOPIC_NOT_EXIST,
    ResponseCode::SERVICE_NOT_AVAILABLE,
    ResponseCode::SYSTEM_ERROR,
    ResponseCode::SYSTEM_BUSY,
    ResponseCode::NO_PERMISSION,
    ResponseCode::NO_BUYER_ID,
    ResponseCode::NOT_IN_CURRENT_UNIT,
];
