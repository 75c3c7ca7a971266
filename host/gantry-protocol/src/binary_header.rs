use bytes::{BufMut as _, Bytes, BytesMut};

use crate::command::EncodeError;
use crate::ext_fields::ExtFields;
use crate::json_header::MAX_EXT_FIELDS;
use crate::reader::Reader;
use crate::{LanguageCode, RemotingCommand, SerializeType};

use BinaryHeaderError as Error;

/// A ROCKETMQ header that breaks its layout (RocketMQ: RocketMQSerializable).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BinaryHeaderError {
    /// The header ends inside a field.
    #[error("ends inside {field}")]
    Truncated {
        /// The field that is cut off.
        field: &'static str,
    },
    /// A length field is negative or longer than what follows.
    #[error("{field} claims {length} bytes, {remaining} are left")]
    BadLength {
        /// The field.
        field: &'static str,
        /// What its length field says.
        length: i64,
        /// What is left of the header.
        remaining: usize,
    },
    /// Text that is not UTF-8.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
    /// More ext fields than any request of RocketMQ has.
    #[error("more than {MAX_EXT_FIELDS} ext fields")]
    TooManyFields,
    /// Bytes after the last field.
    #[error("{count} bytes after the ext fields")]
    Trailing {
        /// How many.
        count: usize,
    },
}

pub(crate) fn encode(command: &RemotingCommand, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_i16(narrow("code", command.code)?);
    out.put_u8(command.language.0);
    out.put_i16(narrow("version", command.version)?);
    out.put_i32(command.opaque);
    out.put_i32(command.flag);
    put_text(command.remark.as_deref().unwrap_or_default(), out)?;
    let length_at = out.len();
    out.put_u32(0);
    for (key, value) in command.ext_fields.iter() {
        let key_length =
            i16::try_from(key.len()).map_err(|_| EncodeError::KeyTooLong { length: key.len() })?;
        out.put_i16(key_length);
        out.extend_from_slice(key.as_bytes());
        put_text(value, out)?;
    }
    let length = text_length(out.len() - length_at - 4)?;
    if let Some(slot) = out.get_mut(length_at..length_at + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

fn narrow(field: &'static str, value: i32) -> Result<i16, EncodeError> {
    i16::try_from(value).map_err(|_| EncodeError::TooWide { field, value })
}

fn put_text(text: &str, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_i32(text_length(text.len())?);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn text_length(length: usize) -> Result<i32, EncodeError> {
    i32::try_from(length).map_err(|_| EncodeError::FrameTooLong { length })
}

pub(crate) fn decode(header: &[u8]) -> Result<RemotingCommand, Error> {
    let mut reader = Reader::new(header);
    let code = i32::from(reader.i16().ok_or(Error::Truncated { field: "code" })?);
    let language = LanguageCode(reader.u8().ok_or(Error::Truncated { field: "language" })?);
    let version = i32::from(reader.i16().ok_or(Error::Truncated { field: "version" })?);
    let opaque = reader.i32().ok_or(Error::Truncated { field: "opaque" })?;
    let flag = reader.i32().ok_or(Error::Truncated { field: "flag" })?;
    let remark = Some(text(long(&mut reader, "remark")?, "remark")?).filter(|text| !text.is_empty());
    let remark = remark.map(str::to_owned);
    let ext_fields = decode_fields(long(&mut reader, "ext fields")?)?;
    if reader.remaining() > 0 {
        return Err(Error::Trailing { count: reader.remaining() });
    }
    let (body, serialize_type) = (Bytes::new(), SerializeType::RocketMq);
    Ok(RemotingCommand { code, language, version, opaque, flag, remark, ext_fields, body, serialize_type })
}

fn decode_fields(bytes: &[u8]) -> Result<ExtFields, Error> {
    let mut reader = Reader::new(bytes);
    let mut fields = ExtFields::new();
    while reader.remaining() > 0 {
        if fields.len() >= MAX_EXT_FIELDS {
            return Err(Error::TooManyFields);
        }
        let length = reader.i16().ok_or(Error::Truncated { field: "ext key length" })?;
        let key = text(take(&mut reader, i64::from(length), "ext key")?, "ext key")?;
        let value = text(long(&mut reader, "ext value")?, "ext value")?;
        let start = fields.mark();
        fields.text_mut().push_str(key);
        fields.text_mut().push_str(value);
        fields.close_field(start, start + key.len());
    }
    Ok(fields)
}

/// A piece with a length of 32 bits before it.
fn long<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], Error> {
    let length = reader.i32().ok_or(Error::Truncated { field })?;
    take(reader, i64::from(length), field)
}

fn take<'a>(reader: &mut Reader<'a>, length: i64, field: &'static str) -> Result<&'a [u8], Error> {
    let remaining = reader.remaining();
    let bad = Error::BadLength { field, length, remaining };
    let count = usize::try_from(length).map_err(|_| bad.clone())?;
    reader.take(count).ok_or(bad)
}

fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::NotUtf8 { field })
}
