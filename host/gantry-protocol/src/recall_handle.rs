use std::fmt;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const VERSION: &str = "v1";
/// Java's URL encoder pads, and its decoder does not insist.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a timer message is recalled by: where it waits, until when, and its id (RocketMQ: RecallMessageHandle.HandleV1).
/// Displays as brokers write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecallHandle {
    /// The message's topic.
    pub topic: String,
    /// The broker that keeps it.
    pub broker_name: String,
    /// When it is due at the broker, in milliseconds since the epoch.
    pub deliver_ms: i64,
    /// Its unique key.
    pub unique_key: String,
}

/// Text that is no recall handle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no recall handle: expected what the send of a timer message was answered with, which is base64 of \
     `v1 TOPIC BROKER TIME ID`"
)]
pub struct RecallHandleError(String);

impl RecallHandle {
    /// Reads a handle.
    ///
    /// # Errors
    /// The text is not base64 of a version, a topic, a broker's name, a time and an id.
    pub fn parse(handle: &str) -> Result<Self, RecallHandleError> {
        read(handle).ok_or_else(|| RecallHandleError(handle.chars().take(256).collect()))
    }
}

fn read(handle: &str) -> Option<RecallHandle> {
    let text = String::from_utf8(BASE64.decode(handle).ok()?).ok()?;
    let mut parts = text.split(' ');
    if parts.next() != Some(VERSION) {
        return None;
    }
    let (topic, broker_name) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let (deliver_ms, unique_key) = (parts.next()?.parse().ok()?, parts.next()?.to_owned());
    parts.next().is_none().then_some(RecallHandle { topic, broker_name, deliver_ms, unique_key })
}

impl fmt::Display for RecallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, broker_name, deliver_ms, unique_key } = self;
        f.write_str(&BASE64.encode(format!("{VERSION} {topic} {broker_name} {deliver_ms} {unique_key}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_that_of_java() {
        let captured =
            "djEgQ2FwRGVsYXkgYnJva2VyLWEgMTc5NTQ3MTM5NDAwMSBDMDAwMDIwMjI2MDI0RTBFMkYyQTc2MDc1NUREMDAwQQ==";
        let handle = RecallHandle {
            topic: "CapDelay".to_owned(),
            broker_name: "broker-a".to_owned(),
            deliver_ms: 1_795_471_394_001,
            unique_key: "C000020226024E0E2F2A760755DD000A".to_owned(),
        };
        assert_eq!(handle.to_string(), captured);
        assert_eq!(RecallHandle::parse(captured), Ok(handle.clone()));
        assert_eq!(RecallHandle::parse(captured.trim_end_matches('=')), Ok(handle));
        for wrong in ["", "!", "djEgYQ==", "djIgYSBiIDEgYw=="] {
            assert!(RecallHandle::parse(wrong).is_err(), "{wrong}");
        }
    }
}
