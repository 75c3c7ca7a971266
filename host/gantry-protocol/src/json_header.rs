mod usual;

use std::fmt::{self, Write as _};

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::decimal::Decimal;
use crate::{ExtFields, LanguageCode, RemotingCommand, SerializeType};

/// Most ext fields a header may have. RocketMQ's own have fewer than 40; looking a field up walks them.
pub(crate) const MAX_EXT_FIELDS: usize = 512;

/// Writes the header as Java does: keys in alphabetical order, nulls left out.
pub(crate) fn encode(command: &RemotingCommand, out: &mut BytesMut) {
    let fields = &command.ext_fields;
    // Quotes, colons and commas of each field, and everything that is not one.
    out.reserve(fields.text().len() + 6 * fields.len() + 192);
    out.extend_from_slice(b"{\"code\":");
    put_number(command.code, out);
    if !fields.is_empty() {
        out.extend_from_slice(b",\"extFields\":{");
        let put = if is_plain(fields.text()) { put_plain } else { put_string };
        for (index, (key, value)) in fields.iter().enumerate() {
            if index > 0 {
                out.put_u8(b',');
            }
            put(key, out);
            out.put_u8(b':');
            put(value, out);
        }
        out.put_u8(b'}');
    }
    out.extend_from_slice(b",\"flag\":");
    put_number(command.flag, out);
    out.extend_from_slice(b",\"language\":\"");
    out.extend_from_slice(command.language.name().as_bytes());
    out.extend_from_slice(b"\",\"opaque\":");
    put_number(command.opaque, out);
    if let Some(remark) = &command.remark {
        out.extend_from_slice(b",\"remark\":");
        put_string(remark, out);
    }
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    put_number(command.version, out);
    out.put_u8(b'}');
}

fn put_number(number: i32, out: &mut BytesMut) {
    out.extend_from_slice(Decimal::of(number.into()).as_str().as_bytes());
}

/// Whether JSON has the text as it is, between quotes.
fn is_plain(text: &str) -> bool {
    // Without a way out in the middle, so that it is done many bytes at a time.
    text.bytes().fold(true, |plain, byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\'))
}

fn put_plain(text: &str, out: &mut BytesMut) {
    out.put_u8(b'"');
    out.extend_from_slice(text.as_bytes());
    out.put_u8(b'"');
}

fn put_string(text: &str, out: &mut BytesMut) {
    let _ = serde_json::to_writer(out.writer(), text);
}

/// Reads a header leniently, as brokers do: unknown keys are skipped, absent ones have Java's defaults, and
/// numbers and booleans among the ext fields read as their text.
pub(crate) fn decode(header: &[u8]) -> Result<RemotingCommand, serde_json::Error> {
    match usual::decode(header) {
        Some(command) => Ok(command),
        None => decode_any(header),
    }
}

fn decode_any(header: &[u8]) -> Result<RemotingCommand, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(header);
    let command = deserializer.deserialize_map(HeaderVisitor)?;
    deserializer.end()?;
    Ok(command)
}

/// Java's defaults of what a header does not say.
fn unsaid() -> RemotingCommand {
    RemotingCommand {
        code: 0,
        language: LanguageCode::JAVA,
        version: 0,
        opaque: 0,
        flag: 0,
        remark: None,
        ext_fields: ExtFields::new(),
        body: Bytes::new(),
        serialize_type: SerializeType::Json,
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RemotingCommand;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command header object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RemotingCommand, A::Error> {
        let mut code = None;
        let mut command = unsaid();
        while let Some(key) = map.next_key_seed(HeaderKeySeed)? {
            match key {
                HeaderKey::Code => code = Some(map.next_value()?),
                HeaderKey::Language => command.language = map.next_value_seed(LanguageSeed)?,
                HeaderKey::Version => command.version = map.next_value()?,
                HeaderKey::Opaque => command.opaque = map.next_value()?,
                HeaderKey::Flag => command.flag = map.next_value()?,
                HeaderKey::Remark => command.remark = map.next_value()?,
                HeaderKey::ExtFields => map.next_value_seed(FieldsSeed(&mut command.ext_fields))?,
                HeaderKey::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        command.code = code.ok_or_else(|| A::Error::missing_field("code"))?;
        Ok(command)
    }
}

enum HeaderKey {
    Code,
    Language,
    Version,
    Opaque,
    Flag,
    Remark,
    ExtFields,
    Unknown,
}

struct HeaderKeySeed;

impl<'de> DeserializeSeed<'de> for HeaderKeySeed {
    type Value = HeaderKey;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<HeaderKey, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for HeaderKeySeed {
    type Value = HeaderKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header key")
    }

    fn visit_str<E>(self, key: &str) -> Result<HeaderKey, E> {
        Ok(match key {
            "code" => HeaderKey::Code,
            "language" => HeaderKey::Language,
            "version" => HeaderKey::Version,
            "opaque" => HeaderKey::Opaque,
            "flag" => HeaderKey::Flag,
            "remark" => HeaderKey::Remark,
            "extFields" => HeaderKey::ExtFields,
            _ => HeaderKey::Unknown,
        })
    }
}

/// Reads a language name; null and unknown names are accepted.
struct LanguageSeed;

impl<'de> DeserializeSeed<'de> for LanguageSeed {
    type Value = LanguageCode;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<LanguageCode, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for LanguageSeed {
    type Value = LanguageCode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a language name")
    }

    fn visit_str<E>(self, name: &str) -> Result<LanguageCode, E> {
        Ok(LanguageCode::from_name(name))
    }

    fn visit_unit<E>(self) -> Result<LanguageCode, E> {
        Ok(LanguageCode::OTHER)
    }
}

/// Reads the ext fields object straight into its map; null is the empty map.
struct FieldsSeed<'a>(&'a mut ExtFields);

impl<'de> DeserializeSeed<'de> for FieldsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of ext fields")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut start = self.0.mark();
        while map.next_key_seed(TextSeed(self.0.text_mut()))?.is_some() {
            let middle = self.0.mark();
            if map.next_value_seed(TextSeed(self.0.text_mut()))? {
                self.0.close_field(start, middle);
            } else {
                self.0.discard(start);
            }
            if self.0.len() > MAX_EXT_FIELDS {
                return Err(A::Error::custom(format_args!("more than {MAX_EXT_FIELDS} ext fields")));
            }
            start = self.0.mark();
        }
        Ok(())
    }
}

/// Appends a key or value to a text and says whether there was one: null is none.
struct TextSeed<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for TextSeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl TextSeed<'_> {
    fn append<E>(self, value: impl fmt::Display) -> Result<bool, E> {
        let _ = write!(self.0, "{value}");
        Ok(true)
    }
}

impl Visitor<'_> for TextSeed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, a boolean or null")
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        self.0.push_str(text);
        Ok(true)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        self.append(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        self.append(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        self.append(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<bool, E> {
        self.append(value)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}
