use bytes::{BufMut as _, Bytes, BytesMut};

use crate::binary_header;
use crate::frame::MAX_FRAME;
use crate::header::{CommandHeader, HeaderError};
use crate::json_header;
use crate::mq_version;
use crate::{ExtFields, LanguageCode, RequestCode, ResponseCode};

/// The protocol version Gantry announces: that of RocketMQ 5.5.0 (RocketMQ: MQVersion ordinal).
pub const MQ_VERSION: i32 = mq_version::V5_5_0;

/// Bit of [`RemotingCommand::flag`] that marks a response.
pub const RESPONSE_FLAG: i32 = 0x1;

/// Bit of [`RemotingCommand::flag`] that marks a request nobody answers.
pub const ONEWAY_FLAG: i32 = 0x2;

/// How a command's header is written (RocketMQ: SerializeType). Either side may use either, frame by frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SerializeType {
    /// JSON text: RocketMQ's default, and the only one that can carry the POP request codes.
    #[default]
    Json,
    /// RocketMQ's binary layout, with codes and versions of 16 bits.
    RocketMq,
}

/// One frame of the protocol: a request or a response (RocketMQ: RemotingCommand).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotingCommand {
    /// Request or response code; read it through [`Self::request_code`] or [`Self::response_code`].
    pub code: i32,
    /// The sender's language.
    pub language: LanguageCode,
    /// The sender's protocol version.
    pub version: i32,
    /// Pairs a response with its request, per connection and direction; wraps.
    pub opaque: i32,
    /// [`RESPONSE_FLAG`] and [`ONEWAY_FLAG`].
    pub flag: i32,
    /// Free text, mostly of an error; present on many successes too, so never a sign of failure.
    pub remark: Option<String>,
    /// The header's own fields; typed through [`Self::header`] and [`Self::with_header`].
    pub ext_fields: ExtFields,
    /// The body; empty when there is none.
    pub body: Bytes,
    /// How the header was, or is to be, serialized.
    pub serialize_type: SerializeType,
}

/// A command that cannot be written as a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The binary header holds 16 bits of code and version.
    #[error("{field} {value} does not fit the 16 bits of a ROCKETMQ header; use a JSON header")]
    TooWide {
        /// `code` or `version`.
        field: &'static str,
        /// What was to be written.
        value: i32,
    },
    /// The binary header holds 15 bits of key length.
    #[error("ext field key of {length} bytes is longer than the 32767 a ROCKETMQ header allows")]
    KeyTooLong {
        /// Length of the key in bytes.
        length: usize,
    },
    /// A peer would refuse the frame and close the connection.
    #[error("frame of {length} bytes is longer than the {MAX_FRAME} every peer accepts; send less at once")]
    FrameTooLong {
        /// Length of the frame in bytes, including the length field.
        length: usize,
    },
}

impl RemotingCommand {
    /// A request with a typed header. `opaque` is 0 until the connection assigns one.
    pub fn request(code: RequestCode, header: &impl CommandHeader) -> Self {
        Self::bare_request(code).with_header(header)
    }

    /// A request without ext fields.
    pub fn bare_request(code: RequestCode) -> Self {
        Self {
            code: code.0,
            language: LanguageCode::RUST,
            version: MQ_VERSION,
            opaque: 0,
            flag: 0,
            remark: None,
            ext_fields: ExtFields::new(),
            body: Bytes::new(),
            serialize_type: SerializeType::Json,
        }
    }

    /// A response without ext fields; pair it with its request by [`Self::reply_to`].
    pub fn response(code: ResponseCode) -> Self {
        Self { flag: RESPONSE_FLAG, ..Self::bare_request(RequestCode(code.0)) }
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the remark.
    #[must_use]
    pub fn with_remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    /// Adds the fields of a typed header to the ext fields.
    #[must_use]
    pub fn with_header<H: CommandHeader>(mut self, header: &H) -> Self {
        header.encode_fields(&mut self.ext_fields);
        self
    }

    /// Sets how the header is written.
    #[must_use]
    pub fn with_serialize_type(mut self, serialize_type: SerializeType) -> Self {
        self.serialize_type = serialize_type;
        self
    }

    /// Marks the request as one that nobody answers.
    #[must_use]
    pub fn into_oneway(mut self) -> Self {
        self.flag |= ONEWAY_FLAG;
        self
    }

    /// Makes this the response to `request`: its opaque, and the response bit.
    #[must_use]
    pub fn reply_to(mut self, request: &Self) -> Self {
        self.opaque = request.opaque;
        self.flag |= RESPONSE_FLAG;
        self
    }

    /// Whether this answers a request of the receiver.
    pub fn is_response(&self) -> bool {
        self.flag & RESPONSE_FLAG != 0
    }

    /// Whether the sender expects no answer.
    pub fn is_oneway(&self) -> bool {
        self.flag & ONEWAY_FLAG != 0
    }

    /// The code, read as a request's.
    pub fn request_code(&self) -> RequestCode {
        RequestCode(self.code)
    }

    /// The code, read as a response's.
    pub fn response_code(&self) -> ResponseCode {
        ResponseCode(self.code)
    }

    /// Reads the ext fields as a typed header; unknown fields are ignored.
    ///
    /// # Errors
    /// A required field is absent, or a field's text is not of its type.
    pub fn header<H: CommandHeader>(&self) -> Result<H, HeaderError> {
        H::decode_fields(&self.ext_fields)
    }

    /// Appends the frame to `out`; on an error `out` is as it was.
    ///
    /// # Errors
    /// See [`EncodeError`]: what the frame format cannot express.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.reserve(512 + self.body.len());
        self.encode_head(self.body.len(), out)?;
        out.extend_from_slice(&self.body);
        Ok(())
    }

    /// Appends the frame up to its body, which is to follow in `body_length` bytes; the command's own body is not
    /// looked at. On an error `out` is as it was.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_head(&self, body_length: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        let written = self.encode_head_at(start, body_length, out);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn encode_head_at(
        &self,
        start: usize,
        body_length: usize,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        out.reserve(512);
        out.put_u64(0);
        let kind = match self.serialize_type {
            SerializeType::Json => {
                json_header::encode(self, out);
                0u32
            }
            SerializeType::RocketMq => {
                binary_header::encode(self, out)?;
                1
            }
        };
        let header_length = out.len() - start - 8;
        let length = (8 + header_length).saturating_add(body_length);
        if length > MAX_FRAME {
            return Err(EncodeError::FrameTooLong { length });
        }
        // Both fit: the frame is at most 16 MiB.
        let prefix = (length as u64 - 4) << 32 | u64::from(kind) << 24 | header_length as u64;
        if let Some(slot) = out.get_mut(start..start + 8) {
            slot.copy_from_slice(&prefix.to_be_bytes());
        }
        Ok(())
    }
}
