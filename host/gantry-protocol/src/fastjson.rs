//! JSON as Java's fastjson writes it: standard JSON, but object keys may also be bare numbers (`{0:"a"}`) or whole
//! objects (`{{"queueId":0}:5}`).
//!
//! The reader turns such keys into strings: a bare number into its digits, an object into its text. The writer does
//! the opposite for keys of a [`crate::body::QueueMap`].

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

/// Deepest nesting the reader follows.
const MAX_DEPTH: usize = 64;

/// Reads standard JSON and fastjson's. A null counts as an absent field, as it does in Java.
///
/// # Errors
/// The text is neither, or not of the shape of `T`.
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    match serde_json::from_slice(json) {
        Err(error) if error.is_syntax() => match standard(json) {
            Some(standard) => read_without_nulls(&standard, serde_json::from_slice(&standard)),
            None => Err(error),
        },
        other => read_without_nulls(json, other),
    }
}

/// Where the shape did not fit, tries again without the nulls.
fn read_without_nulls<T: DeserializeOwned>(
    json: &[u8],
    first: Result<T, serde_json::Error>,
) -> Result<T, serde_json::Error> {
    match first {
        Err(error) if error.is_data() => {
            let mut value: Value = serde_json::from_slice(json)?;
            if drop_nulls(&mut value) { serde_json::from_value(value) } else { Err(error) }
        }
        other => other,
    }
}

/// Removes the fields that are null and says whether there was one.
fn drop_nulls(value: &mut Value) -> bool {
    match value {
        Value::Object(fields) => {
            let count = fields.len();
            fields.retain(|_, value| !value.is_null());
            let below = fields.values_mut().fold(false, |any, value| drop_nulls(value) | any);
            below || fields.len() < count
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, value| drop_nulls(value) | any),
        _ => false,
    }
}

/// Rewrites fastjson's keys as strings; `None` when the brackets do not pair up or no key needed it.
fn standard(json: &[u8]) -> Option<Vec<u8>> {
    let mut rewriter = Rewriter { input: json, at: 0, changed: false, in_key: false };
    let mut out = Vec::with_capacity(json.len() + json.len() / 4);
    rewriter.value(&mut out, 0)?;
    rewriter.space(&mut out);
    (rewriter.changed && rewriter.at == json.len()).then_some(out)
}

/// Copies JSON and quotes keys. It only follows brackets and strings; the rest is left to the strict parser.
struct Rewriter<'a> {
    input: &'a [u8],
    at: usize,
    changed: bool,
    /// Whether an object key is being read. Keys inside keys are refused: each level would double the escapes.
    in_key: bool,
}

impl Rewriter<'_> {
    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn copy(&mut self, out: &mut Vec<u8>) -> Option<u8> {
        let byte = self.peek()?;
        out.push(byte);
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self, out: &mut Vec<u8>) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.copy(out);
        }
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.space(out);
        match self.peek()? {
            b'{' => self.object(out, depth),
            b'[' => self.array(out, depth),
            b'"' => self.string(out),
            _ => self.scalar(out),
        }
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.copy(out)?;
        loop {
            self.space(out);
            match self.peek()? {
                b'}' => return self.copy(out).map(drop),
                b',' => drop(self.copy(out)),
                _ => {
                    self.key(out, depth)?;
                    self.space(out);
                    (self.copy(out)? == b':').then_some(())?;
                    self.value(out, depth + 1)?;
                }
            }
        }
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.copy(out)?;
        loop {
            self.space(out);
            match self.peek()? {
                b']' => return self.copy(out).map(drop),
                b',' => drop(self.copy(out)),
                _ => self.value(out, depth + 1)?,
            }
        }
    }

    fn key(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        if self.peek()? == b'"' {
            return self.string(out);
        }
        if self.in_key {
            return None;
        }
        self.changed = true;
        self.in_key = true;
        let mut key = Vec::new();
        self.value(&mut key, depth + 1)?;
        self.in_key = false;
        let key = String::from_utf8(key).ok()?;
        serde_json::to_writer(out, key.trim_end()).ok()
    }

    fn string(&mut self, out: &mut Vec<u8>) -> Option<()> {
        self.copy(out)?;
        loop {
            match self.copy(out)? {
                b'"' => return Some(()),
                b'\\' => drop(self.copy(out)?),
                _ => {}
            }
        }
    }

    fn scalar(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| !b",:{}[]\" \t\r\n".contains(&byte)) {
            self.copy(out);
        }
        (self.at > start).then_some(())
    }
}

/// Writes JSON in which the keys of a [`crate::body::QueueMap`] are objects, as fastjson does.
///
/// # Errors
/// A value cannot be expressed in JSON.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    write(value, false)
}

/// [`to_vec`] with integer keys left bare (`{0:"a"}`), as old clients get routes.
///
/// # Errors
/// A value cannot be expressed in JSON.
pub fn to_vec_bare_keys<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    write(value, true)
}

fn write<T: Serialize + ?Sized>(value: &T, bare_integers: bool) -> Result<Vec<u8>, serde_json::Error> {
    let formatter = KeyFormatter { bare_integers, key: None, integer: false };
    let mut out = Vec::with_capacity(256);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))?;
    Ok(out)
}

/// Holds each key back until it ends, then decides how to write it.
struct KeyFormatter {
    bare_integers: bool,
    /// The key that is being written, without its escapes.
    key: Option<Vec<u8>>,
    integer: bool,
}

/// How the text of a queue begins, which is how a key that is an object is told from others.
const QUEUE_START: &[u8] = b"{\"brokerName\":";

impl KeyFormatter {
    fn digits<W: ?Sized + io::Write>(&mut self, writer: &mut W, digits: &str) -> io::Result<()> {
        self.integer = true;
        match &mut self.key {
            Some(key) => {
                key.extend_from_slice(digits.as_bytes());
                Ok(())
            }
            None => writer.write_all(digits.as_bytes()),
        }
    }
}

impl Formatter for KeyFormatter {
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.key = Some(Vec::new());
        self.integer = false;
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn end_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let key = self.key.take().unwrap_or_default();
        let bare = self.integer && self.bare_integers;
        if bare || key.starts_with(QUEUE_START) {
            return writer.write_all(&key);
        }
        let text = std::str::from_utf8(&key).map_err(io::Error::other)?;
        serde_json::to_writer(writer, text).map_err(io::Error::from)
    }

    fn begin_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.key.is_some() { Ok(()) } else { writer.write_all(b"\"") }
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.key.is_some() { Ok(()) } else { writer.write_all(b"\"") }
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        match &mut self.key {
            Some(key) => {
                key.extend_from_slice(fragment.as_bytes());
                Ok(())
            }
            None => writer.write_all(fragment.as_bytes()),
        }
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let Some(key) = &mut self.key else { return CompactFormatter.write_char_escape(writer, escape) };
        key.push(match escape {
            CharEscape::Quote => b'"',
            CharEscape::ReverseSolidus => b'\\',
            CharEscape::Solidus => b'/',
            CharEscape::Backspace => 0x08,
            CharEscape::FormFeed => 0x0C,
            CharEscape::LineFeed => b'\n',
            CharEscape::CarriageReturn => b'\r',
            CharEscape::Tab => b'\t',
            CharEscape::AsciiControl(byte) => byte,
        });
        Ok(())
    }

    fn write_i32<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: i32) -> io::Result<()> {
        self.digits(writer, &value.to_string())
    }

    fn write_i64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        self.digits(writer, &value.to_string())
    }

    fn write_u32<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u32) -> io::Result<()> {
        self.digits(writer, &value.to_string())
    }

    fn write_u64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        self.digits(writer, &value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::MessageQueue;
    use crate::body::{ConsumerData, HeartbeatData, QueueMap};

    #[test]
    fn bare_numeric_keys_read_and_write() {
        let map: BTreeMap<i64, String> = from_slice(b"{0:\"a:1\", -7 : \"}\\\"{\"}").unwrap();
        assert_eq!(map, BTreeMap::from([(0, "a:1".to_owned()), (-7, "}\"{".to_owned())]));
        assert_eq!(to_vec_bare_keys(&map).unwrap(), br#"{-7:"}\"{",0:"a:1"}"#);
        assert_eq!(to_vec(&map).unwrap(), br#"{"-7":"}\"{","0":"a:1"}"#);
    }

    #[test]
    fn object_keys_read_and_write() {
        let json = br#"{{"brokerName":"b\"","queueId":0,"topic":"t"}:5,{"brokerName":"b","queueId":1,"topic":"t"}:6}"#;
        let map: QueueMap<i64> = from_slice(json).unwrap();
        assert_eq!(map.get(&MessageQueue::new("t", "b\"", 0)), Some(&5));
        assert_eq!(map.len(), 2);
        let written = to_vec(&map).unwrap();
        assert_eq!(from_slice::<QueueMap<i64>>(&written).unwrap(), map);
        assert!(written.starts_with(br#"{{"brokerName":"b","queueId":1,"topic":"t"}:6,"#));
    }

    #[test]
    fn ordinary_keys_keep_their_escapes() {
        let map = BTreeMap::from([("a\"\\\n\u{1}/ü".to_owned(), 1)]);
        let written = to_vec(&map).unwrap();
        assert_eq!(written, serde_json::to_vec(&map).unwrap());
    }

    #[test]
    fn a_null_is_an_absent_field() {
        let json = br#"{"clientID":"c","consumerDataSet":[{"groupName":null,"unitMode":null}],"producerDataSet":null}"#;
        let heartbeat: HeartbeatData = from_slice(json).unwrap();
        assert_eq!(heartbeat.client_id, "c");
        assert_eq!(heartbeat.consumer_data_set, [ConsumerData::default()]);
        assert!(from_slice::<HeartbeatData>(br#"{"clientID":5,"producerDataSet":null}"#).is_err());
    }

    #[test]
    fn broken_json_stays_an_error() {
        for json in ["", "{", "{0:}", "{{:1}", "[1,,]x", "{0:1", "{0 1}"] {
            assert!(from_slice::<BTreeMap<i64, i64>>(json.as_bytes()).is_err(), "{json}");
        }
        let nested = ["{".repeat(50), "\"\"".to_owned(), ":1}".repeat(50)].concat();
        assert!(from_slice::<BTreeMap<i64, i64>>(nested.as_bytes()).is_err());
        let deep = ["{0:".repeat(10_000), "1".to_owned()].concat();
        assert!(from_slice::<BTreeMap<i64, i64>>(deep.as_bytes()).is_err());
    }
}
