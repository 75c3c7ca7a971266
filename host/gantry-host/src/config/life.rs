//! How new versions of a plugin come to serve, and what becomes of one that fails: the tables under `[plugin.NAME]`, and
//! `[signatures]`.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::units::Millis;

/// A share of a whole, in thousandths: text such as `"10%"` or `"0.5%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u32);

impl Share {
    /// As a number from 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?.trim();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if part.len() != 1 || whole.is_empty() || !digits(part) || !digits(whole) {
            return None;
        }
        let thousandths = whole.parse::<u32>().ok()?.checked_mul(10)? + part.parse::<u32>().ok()?;
        (thousandths <= 1000).then_some(Self(thousandths))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 10 {
            0 => write!(f, "{}%", self.0 / 10),
            part => write!(f, "{}.{part}%", self.0 / 10),
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Percent;
        impl Visitor<'_> for Percent {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share such as \"10%\" or \"0.5%\", up to \"100%\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Share, E> {
                Share::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Percent)
    }
}

/// What a share is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShareOf {
    /// Of all batches: one in so many.
    Batches,
    /// Of the queues: always the same ones, all of their batches. The only one for orderly listeners.
    Queues,
}

/// `[plugin.NAME.canary]`: a new version first gets a share of the messages, and serves once it has proved itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CanarySettings {
    /// How much of the batches or queues it gets. Default `"10%"`.
    pub share: Share,
    /// What the share is of. Default `"batches"`.
    pub of: ShareOf,
    /// How long it is watched at least. Default 60 s.
    pub window: Millis,
    /// How many messages it has at least ended before it is promoted, or rolled back by a rate. Default 100.
    pub min_messages: u64,
    /// Share of its messages that may fail. Default `"1%"`.
    pub max_error_rate: Share,
    /// Where the serving version fails more often than that: how many times as often as it the new one may. Default 1.5.
    pub max_error_ratio: f64,
    /// How many times as long as the serving version it may take for a message; 0 for any. Default 2.0.
    pub max_latency_ratio: f64,
    /// Batches in a row with a trap, deadline or too much memory that end it at once. Default 3.
    pub crash_streak: u64,
    /// Whether a message answered with reconsume-later counts as failed. Default `false`.
    pub count_reconsume_later: bool,
}

impl Default for CanarySettings {
    fn default() -> Self {
        Self {
            share: Share(100),
            of: ShareOf::Batches,
            window: Millis(60_000),
            min_messages: 100,
            max_error_rate: Share(10),
            max_error_ratio: 1.5,
            max_latency_ratio: 2.0,
            crash_streak: 3,
            count_reconsume_later: false,
        }
    }
}

/// `[plugin.NAME.shadow]`: a new version first runs on what the serving one has answered; it serves when it is promoted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ShadowSettings {
    /// How much of the batches it is given. Default `"100%"`.
    pub share: Share,
}

impl Default for ShadowSettings {
    fn default() -> Self {
        Self { share: Share(1000) }
    }
}

/// `[plugin.NAME.probation]`: a version that fails soon after it took over gives way to the one before it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ProbationSettings {
    /// How long a version is on probation after its switch; 0 for never. Default 5 min.
    pub window: Millis,
    /// Messages that failed by a trap, deadline or too much memory before it is thought of. Default 20.
    pub fatal_failures: u64,
    /// Share of its messages that failed so. Default `"50%"`.
    pub fatal_rate: Share,
    /// The version before must have failed less often than this: else it would be no better. Default `"5%"`.
    pub before_below: Share,
}

impl Default for ProbationSettings {
    fn default() -> Self {
        Self {
            window: Millis(5 * 60_000),
            fatal_failures: 20,
            fatal_rate: Share(500),
            before_below: Share(50),
        }
    }
}

/// `[plugin.NAME.breaker]`: a plugin that keeps failing is given nothing for a while, and its messages wait.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BreakerSettings {
    /// `false` lets a plugin fail for ever. Default `true`.
    pub enabled: bool,
    /// Batches in a row of which every message failed. Default 32.
    pub failures: u32,
    /// Share of the messages of a window that failed. Default `"95%"`.
    pub rate: Share,
    /// That window. Default 30 s.
    pub window: Millis,
    /// Batches a window has at least before its rate counts. Default 50.
    pub min_batches: u64,
    /// The first pause, doubled each time a probe fails. Default 1 s.
    pub pause: Millis,
    /// The longest pause. Default 60 s.
    pub max_pause: Millis,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            failures: 32,
            rate: Share(950),
            window: Millis(30_000),
            min_batches: 50,
            pause: Millis(1_000),
            max_pause: Millis(60_000),
        }
    }
}

/// `[signatures]`: which plugin files may be loaded at all.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SignatureSettings {
    /// Minisign public keys, as `minisign -G` prints them. Where there is one, only a file NAME.wasm with a NAME.wasm.minisig
    /// beside it by one of them is loaded. Default: none, and any file is.
    pub signed_by: Vec<String>,
}

type Rule = Result<(), (String, String)>;

fn rule(key: &str, message: &str) -> Rule {
    Err((key.to_owned(), message.to_owned()))
}

impl CanarySettings {
    pub(super) fn check(&self) -> Rule {
        if self.share.0 == 0 {
            return rule("share", "expected more than \"0%\"; leave [plugin.NAME.canary] out for no canary");
        }
        if !(self.max_error_ratio.is_finite() && self.max_error_ratio >= 0.0) {
            return rule("max-error-ratio", "expected 0 or more, such as 1.5");
        }
        if !(self.max_latency_ratio == 0.0 || (1.0..=1e6).contains(&self.max_latency_ratio)) {
            return rule("max-latency-ratio", "expected 1 or more, such as 2.0, or 0 for any latency");
        }
        if self.crash_streak == 0 {
            return rule("crash-streak", "expected at least 1");
        }
        Ok(())
    }
}

impl ShadowSettings {
    pub(super) fn check(&self) -> Rule {
        if self.share.0 == 0 {
            return rule("share", "expected more than \"0%\"; leave [plugin.NAME.shadow] out for no shadow");
        }
        Ok(())
    }
}

impl BreakerSettings {
    pub(super) fn check(&self) -> Rule {
        if self.failures == 0 {
            return rule("failures", "expected at least 1; enabled = false turns the breaker off");
        }
        if self.rate.0 == 0 {
            return rule("rate", "expected more than \"0%\"; enabled = false turns the breaker off");
        }
        if self.window.0 == 0 {
            return rule("window", "expected at least 1 ms");
        }
        if self.pause.0 == 0 || self.pause > self.max_pause || self.max_pause.0 > 3_600_000 {
            return rule("pause", "expected at least 1 ms, and no more than max-pause, which is at most 1 h");
        }
        Ok(())
    }
}

impl SignatureSettings {
    pub(super) fn check(&self) -> Rule {
        for key in &self.signed_by {
            if let Err(error) = minisign_verify::PublicKey::from_base64(key) {
                let message =
                    format!("expected minisign public keys, such as RWQ… (56 characters): {key}: {error}");
                return Err(("signed-by".to_owned(), message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_with_at_most_one_digit_after_the_point() {
        let good = [("10%", 100), ("0.5%", 5), ("100%", 1000), ("0%", 0), ("33.3 %", 333)];
        for (text, thousandths) in good {
            assert_eq!(Share::parse(text), Some(Share(thousandths)), "{text}");
        }
        for text in ["10", "101%", "-1%", "1.25%", "%", "a%", ".5%", "+5%", "1.%"] {
            assert_eq!(Share::parse(text), None, "{text}");
        }
        assert_eq!((Share(100).to_string(), Share(5).to_string()), ("10%".into(), "0.5%".into()));
    }
}
