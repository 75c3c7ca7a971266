//! Messages as people write them down, a JSON object a line: what all commands that read them have in common.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// Whether a line is more than white space or a comment.
pub(crate) fn says_something(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

/// The JSON of a line.
pub(crate) fn json(line: &str) -> Result<Value, String> {
    serde_json::from_str(line)
        .map_err(|error| format!("not JSON: {} (column {})", reason(&error), error.column()))
}

/// What serde says, without its own line number, which is always 1.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// A message's keys.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`keys` is a text of keys with spaces between, or a list of them")]
pub(crate) enum Keys {
    Joined(String),
    Listed(Vec<String>),
}

impl Keys {
    /// One after the other.
    pub(crate) fn listed(self) -> Result<Vec<String>, String> {
        match self {
            Self::Joined(keys) => {
                Ok(keys.split(' ').filter(|key| !key.is_empty()).map(str::to_owned).collect())
            }
            Self::Listed(keys) => match keys.iter().find(|key| key.contains(' ')) {
                Some(key) => Err(format!("the key `{key}` has a space in it, which separates keys")),
                None => Ok(keys),
            },
        }
    }
}

/// A body as it is written: text, or JSON that stands for its own text.
pub(crate) fn body_of(body: &Value) -> Vec<u8> {
    match body {
        Value::String(text) => text.clone().into_bytes(),
        json => json.to_string().into_bytes(),
    }
}

/// A body that is written as base64.
pub(crate) fn body_of_base64(text: &str) -> Result<Vec<u8>, String> {
    BASE64_STANDARD.decode(text).map_err(|error| format!("`bodyBase64` is not base64: {error}"))
}
