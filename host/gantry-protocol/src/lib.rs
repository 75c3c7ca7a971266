//! The RocketMQ remoting protocol as a pure codec.
//!
//! The crate's one idea: bytes to values and values to bytes, and nothing else. It knows frames, both header
//! serializations, the typed headers and bodies of every request, the layout of a stored message, and the
//! names and numbers that clients and brokers agree on.
//!
//! It deliberately does not know sockets, tasks, clocks, configuration, or who is talking: a client and a broker
//! use it alike, so neither can hide the other's mistakes.
//!
//! Every integer on the wire is big-endian. Every length read from a peer is checked against what is actually
//! there before it is used; malformed input is an error that names the rule, never a panic.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )
)]

mod acl;
pub mod batch;
mod binary_header;
pub mod body;
mod code;
mod command;
pub mod compression;
mod decimal;
pub mod delay_level;
mod ext_fields;
pub mod fastjson;
mod frame;
pub mod header;
mod json_header;
mod language;
mod message;
pub mod message_id;
mod message_queue;
pub mod mq_version;
pub mod names;
mod namespace;
pub mod perm;
pub mod pop;
pub mod properties;
mod reader;
mod recall_handle;
pub mod sys_flag;
pub mod tag;
pub mod trace;

pub use acl::{ACCESS_KEY, Credentials, SECURITY_TOKEN, SIGNATURE, SignatureError};
pub use code::{RequestCode, ResponseCode};
pub use command::{EncodeError, MQ_VERSION, ONEWAY_FLAG, RESPONSE_FLAG, RemotingCommand, SerializeType};
pub use ext_fields::ExtFields;
pub use frame::{FrameDecoder, FrameError, MAX_FRAME};
pub use header::{CommandHeader, HeaderError};
pub use language::LanguageCode;
pub use message::{
    MAGIC_BLANK, MAGIC_V1, MAGIC_V2, MessageError, MessageExt, MessageIter, MessageRecord, RecordError,
    decode_all,
};
pub use message_queue::MessageQueue;
pub use namespace::{NAMESPACE, NAMESPACED, Namespace, NamespaceError};
pub use recall_handle::{RecallHandle, RecallHandleError};
