use bytes::BytesMut;
use gantry_protocol::{FrameError, LanguageCode, SerializeType};
use serde_json::{Value, json};

use crate::captures::{self, Captured, decode};

#[test]
fn every_captured_frame_decodes_to_its_header_and_body() {
    let frames = captures::well_formed();
    assert_eq!(frames.len(), 1656);
    for frame in &frames {
        let command = frame.command();
        assert_eq!(command.body, frame.split().1, "{}", frame.place);
        let header = &frame.header;
        let number = |key: &str| header[key].as_i64().unwrap_or(0);
        let read = [command.code, command.version, command.opaque, command.flag].map(i64::from);
        let captured = ["code", "version", "opaque", "flag"].map(number);
        assert_eq!(read, captured, "{}", frame.place);
        assert_eq!(command.remark.as_deref(), header["remark"].as_str(), "{}", frame.place);
        assert_eq!(command.language, captured_language(frame), "{}", frame.place);
        assert_eq!(fields_of(&command), text_fields(&header["extFields"]), "{}", frame.place);
    }
}

#[test]
fn every_captured_frame_encodes_to_the_same_meaning() {
    let (mut json, mut binary) = (0, 0);
    for frame in captures::well_formed() {
        let command = frame.command();
        let mut out = BytesMut::new();
        command.encode(&mut out).unwrap();
        match command.serialize_type {
            SerializeType::RocketMq => {
                assert_eq!(out, frame.frame, "{}", frame.place);
                binary += 1;
            }
            SerializeType::Json => {
                let written = Captured { frame: out.to_vec(), ..captures_like(&frame) };
                assert_eq!(written.split().1, frame.split().1, "{}", frame.place);
                let header = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
                let (ours, theirs) = (header(written.split().0), header(frame.split().0));
                assert_eq!(meaning(ours), meaning(theirs), "{}", frame.place);
                json += 1;
            }
        }
        assert_eq!(decode(&out).unwrap(), command, "{}", frame.place);
    }
    assert!(json > 1500 && binary > 20, "{json} JSON and {binary} binary frames");
}

#[test]
fn frames_that_were_malformed_on_purpose_are_refused_with_the_rule() {
    let malformed: Vec<_> = captures::all().into_iter().filter(|frame| frame.name.is_none()).collect();
    let refusals: Vec<_> = malformed.iter().map(|frame| decode(&frame.frame).unwrap_err()).collect();
    assert!(
        matches!(refusals[0], FrameError::HeaderTooLong { header: 0x7fff, available: 4 }),
        "{refusals:?}"
    );
    assert!(matches!(refusals[1], FrameError::UnknownSerializeType { kind: 5 }), "{refusals:?}");
    assert!(matches!(refusals[2], FrameError::UnknownSerializeType { kind: 5 }), "{refusals:?}");
    assert_eq!(refusals.len(), 3);
}

fn captures_like(frame: &Captured) -> Captured {
    Captured { place: frame.place.clone(), name: frame.name.clone(), header: Value::Null, frame: Vec::new() }
}

fn captured_language(frame: &Captured) -> LanguageCode {
    match &frame.header["language"] {
        Value::Number(code) => LanguageCode(u8::try_from(code.as_i64().unwrap()).unwrap()),
        Value::String(name) => LanguageCode::from_name(name),
        _ => LanguageCode::JAVA,
    }
}

fn fields_of(command: &gantry_protocol::RemotingCommand) -> Value {
    Value::Object(command.ext_fields.iter().map(|(key, value)| (key.to_owned(), value.into())).collect())
}

/// Ext fields as text: absent and null are the empty map; a hand-made frame has a number and a boolean.
fn text_fields(fields: &Value) -> Value {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = fields.as_object().into_iter().flatten();
    Value::Object(fields.map(|(key, value)| (key.clone(), text(value).into())).collect())
}

/// A JSON header without the freedom its writers have: what hand-made frames leave out has Java's default, an empty
/// map may be absent, an unknown language (SWIFT) is another one, and unknown keys say nothing.
fn meaning(mut header: Value) -> Value {
    let text = text_fields(&header["extFields"]);
    let fields = header.as_object_mut().unwrap();
    fields.insert("extFields".to_owned(), text);
    for (key, default) in
        [("flag", json!(0)), ("version", json!(0)), ("opaque", json!(0)), ("language", json!("JAVA"))]
    {
        fields.entry(key).or_insert(default);
    }
    fields.entry("serializeTypeCurrentRPC").or_insert(json!("JSON"));
    let language = LanguageCode::from_name(fields["language"].as_str().unwrap()).name();
    fields.insert("language".to_owned(), language.into());
    const KNOWN: [&str; 8] =
        ["code", "extFields", "flag", "language", "opaque", "remark", "serializeTypeCurrentRPC", "version"];
    fields.retain(|key, _| KNOWN.contains(&key.as_str()));
    header
}
