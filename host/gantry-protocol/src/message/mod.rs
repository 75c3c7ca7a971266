//! The layout of a stored message (RocketMQ: MessageDecoder, MessageExtEncoder).

mod ext;
mod layout;
mod packed;
mod record;

pub use ext::{MessageExt, MessageIter, decode_all};
pub use layout::{MAGIC_BLANK, MAGIC_V1, MAGIC_V2, MessageError};
pub use record::{MessageRecord, RecordError};
