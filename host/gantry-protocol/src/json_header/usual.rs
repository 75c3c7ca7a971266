//! The header as nearly every peer writes it: no blanks, whole numbers, and escapes only in the values of fields, where a send has
//! its message's properties. Whatever else there may be in a header, errors included, is left to the reader of all JSON.

use super::{MAX_EXT_FIELDS, unsaid};
use crate::{ExtFields, LanguageCode, RemotingCommand};

/// Reads a header of the usual form; `None` is no verdict on one that is not.
pub(super) fn decode(header: &[u8]) -> Option<RemotingCommand> {
    let text = std::str::from_utf8(header).ok()?;
    // All at once: no text may have these as they are.
    if !text.bytes().fold(true, |plain, byte| plain & (byte >= 0x20)) {
        return None;
    }
    let (mut scanner, mut code, mut command) = (Scanner(text), None, unsaid());
    scanner.object(|scanner, key| {
        match key {
            "code" => code = Some(scanner.int()?),
            "extFields" => fields(scanner, &mut command.ext_fields)?,
            "flag" => command.flag = scanner.int()?,
            "language" => {
                command.language =
                    scanner.text_or_null()?.map_or(LanguageCode::OTHER, LanguageCode::from_name)
            }
            "opaque" => command.opaque = scanner.int()?,
            "remark" => command.remark = scanner.text_or_null()?.map(str::to_owned),
            "version" => command.version = scanner.int()?,
            _ => {
                scanner.value()?;
            }
        }
        Some(())
    })?;
    command.code = code?;
    scanner.0.is_empty().then_some(command)
}

fn fields(scanner: &mut Scanner<'_>, fields: &mut ExtFields) -> Option<()> {
    if scanner.skip("null") {
        return Some(());
    }
    scanner.object(|scanner, key| {
        if let Some(value) = scanner.value()? {
            let start = fields.mark();
            let text = fields.text_mut();
            text.push_str(key);
            match value {
                Value::Plain(value) => text.push_str(value),
                Value::Escaped(value) => unescape(value, text)?,
            }
            fields.close_field(start, start + key.len());
        }
        (fields.len() <= MAX_EXT_FIELDS).then_some(())
    })
}

/// A text between its quotation marks.
enum Value<'a> {
    Plain(&'a str),
    /// With backslashes in it.
    Escaped(&'a str),
}

impl<'a> Value<'a> {
    fn plain(self) -> Option<&'a str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Escaped(_) => None,
        }
    }
}

/// Appends what a text with escapes stands for; surrogates are left to the other reader.
fn unescape(mut text: &str, out: &mut String) -> Option<()> {
    while let Some(at) = memchr::memchr(b'\\', text.as_bytes()) {
        let (before, escape) = text.split_at_checked(at)?;
        out.push_str(before);
        let (stands_for, length) = match escape.as_bytes().get(1)? {
            b'u' => (char::from_u32(hexadecimal(escape.as_bytes().get(2..6)?)?)?, 6),
            b'"' => ('"', 2),
            b'\\' => ('\\', 2),
            b'/' => ('/', 2),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            _ => return None,
        };
        out.push(stands_for);
        text = escape.get(length..)?;
    }
    out.push_str(text);
    Some(())
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

/// What is left to be read. Every step is `None` where the form is not the usual one.
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    /// Steps over `token`, if it is next.
    fn skip(&mut self, token: &str) -> bool {
        let rest = self.0.strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Option<()> {
        self.skip(token).then_some(())
    }

    /// An object; `each` is called with every key and reads its value.
    fn object(&mut self, mut each: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.expect("{")?;
        if self.skip("}") {
            return Some(());
        }
        loop {
            let key = self.text()?.plain()?;
            self.expect(":")?;
            each(self, key)?;
            if self.skip("}") {
                return Some(());
            }
            self.expect(",")?;
        }
    }

    fn text(&mut self) -> Option<Value<'a>> {
        self.expect("\"")?;
        let (mut end, mut escaped) = (0, false);
        loop {
            end += memchr::memchr2(b'"', b'\\', self.0.as_bytes().get(end..)?)?;
            if self.0.as_bytes().get(end) == Some(&b'"') {
                break;
            }
            (end, escaped) = (end + 2, true);
        }
        let (text, rest) = (self.0.get(..end)?, self.0.get(end + 1..)?);
        self.0 = rest;
        Some(if escaped { Value::Escaped(text) } else { Value::Plain(text) })
    }

    fn text_or_null(&mut self) -> Option<Option<&'a str>> {
        if self.skip("null") { Some(None) } else { self.text()?.plain().map(Some) }
    }

    fn int(&mut self) -> Option<i32> {
        self.number()?.parse().ok()
    }

    /// The digits of a whole number, as they would be written again.
    fn number(&mut self) -> Option<&'a str> {
        /// Shorter than any number that does not fit 64 bits.
        const MOST: usize = 18;
        let digits = self.0.strip_prefix('-').unwrap_or(self.0);
        let count = digits.bytes().take(MOST + 1).take_while(u8::is_ascii_digit).count();
        let usual = match count {
            0 => false,
            1 => digits.len() == self.0.len() || !digits.starts_with('0'),
            _ => count <= MOST && !digits.starts_with('0'),
        };
        let length = self.0.len() - digits.len() + count;
        let (number, rest) = self.0.split_at_checked(length).filter(|_| usual)?;
        self.0 = rest;
        Some(number)
    }

    /// A text, or a number or boolean as text; null is none.
    fn value(&mut self) -> Option<Option<Value<'a>>> {
        let plain = |text| Some(Value::Plain(text));
        match self.0.as_bytes().first()? {
            b'"' => self.text().map(Some),
            b'n' => self.expect("null").map(|()| None),
            b't' => self.expect("true").map(|()| plain("true")),
            b'f' => self.expect("false").map(|()| plain("false")),
            _ => self.number().map(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decode_any;
    use super::*;

    #[test]
    fn the_usual_form_is_read() {
        let header = r#"{"code":0,"extFields":{"nextBeginOffset":"32","n":5,"m":-7,"t":true,"x":null,"":"ü"},"flag":1,"language":"JAVA","opaque":-9,"remark":"FOUND","serializeTypeCurrentRPC":"JSON","version":517}"#;
        let command = decode(header.as_bytes()).unwrap();
        assert_eq!(command, decode_any(header.as_bytes()).unwrap());
        assert_eq!(command.ext_fields.get("m"), Some("-7"));
        assert_eq!(command.ext_fields.get("x"), None);
    }

    #[test]
    fn escapes_in_values_of_fields_stand_for_what_json_says() {
        let header = r#"{"code":1,"extFields":{"i":"TAGS\u0001a\u0002","j":"\"\\\/\b\f\n\r\tü\u00fC\u20ac\\","k":"\\"},"opaque":2}"#;
        let command = decode(header.as_bytes()).unwrap();
        assert_eq!(command, decode_any(header.as_bytes()).unwrap());
        assert_eq!(command.ext_fields.get("i"), Some("TAGS\u{1}a\u{2}"));
        assert_eq!(command.ext_fields.get("j"), Some("\"\\/\u{8}\u{c}\n\r\tüü€\\"));
    }

    #[test]
    fn anything_else_is_left_alone() {
        for other in [
            r#"{"code":0}x"#,
            r#"{"code":0} "#,
            r#"{"code":0,}"#,
            r#"{"code":00}"#,
            r#"{"code":-0}"#,
            r#"{"code":1.0}"#,
            r#"{"code":2147483648}"#,
            r#"{"code":"1"}"#,
            r#"{"flag":1}"#,
            r#"{"code":1,"remark":"\n"}"#,
            r#"{"code":1,"extFields":{"\u0061":"b"}}"#,
            r#"{"code":1,"extFields":{"a":"\ud83d\ude00"}}"#,
            r#"{"code":1,"extFields":{"a":"\u12"}}"#,
            r#"{"code":1,"extFields":{"a":"\u+123"}}"#,
            r#"{"code":1,"extFields":{"a":"\x"}}"#,
            r#"{"code":1,"extFields":{"a":"\"#,
            r#"{"code":1,"extFields":{"a":"\"}}"#,
            r#"{"code":1,"extFields":{"a":"\ü"}}"#,
            r#"{"code":1,"x":{}}"#,
            r#"{"code":1,"extFields":{"a":1e3}}"#,
            r#"{"code":1,"extFields":{"a":9999999999999999999}}"#,
            r#"{"code":1,"extFields":{"a":nul}}"#,
            "{\"code\":1,\"remark\":\"\t\"}",
            r#"{"code":1"#,
            "{}",
            "",
        ] {
            assert!(decode(other.as_bytes()).is_none(), "{other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn what_is_read_is_what_the_reader_of_all_json_reads(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("{"), Just("}"), Just(","), Just(":"), Just("\"code\":1"), Just("\"code\":-20"), Just(",\"extFields\":{"),
                    Just("\"a\":\"b\""), Just("\"a\":7"), Just("\"c\":true"), Just("\"d\":null"), Just(",\"flag\":3"),
                    Just(",\"language\":null"), Just(",\"language\":\"GO\""), Just(",\"remark\":\"r\""), Just("0"), Just("-"),
                    Just(",\"opaque\":12345"), Just("\"e\":\"\\u0001\""), Just("\"f\":\"a\\n\\\"b\\\\\""), Just("\\u00"), Just("\\ud83d"), Just("\"extFields\":null"), Just("\\"), Just(" "), Just("ü"), Just("\""), Just(".5"),
                ],
                0..12,
            ),
        ) {
            for header in [pieces.concat(), format!("{{\"code\":1,{}}}", pieces.concat())] {
                if let Some(command) = decode(header.as_bytes()) {
                    prop_assert_eq!(command, decode_any(header.as_bytes()).unwrap());
                }
            }
        }
    }
}
