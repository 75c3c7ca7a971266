//! `[plugin.NAME]`: what an operator overrides of a plugin's own description, and grants it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::clusters::DEFAULT_CLUSTER;
use super::consumer::RequestMode;
use super::granted::{self, DirectorySetting, HttpSettings, KeyvalueSettings, LoggingSettings};
use super::life::{BreakerSettings, CanarySettings, ProbationSettings, ShadowSettings};
use super::units::Millis;

/// Overrides of one plugin. What is absent stays as the plugin describes itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PluginSettings {
    /// The cluster its group is in, and that it sends to: the NAME of a `[clusters.NAME]`. Default `"default"`, the cluster of
    /// `name-server`.
    pub cluster: Option<String>,
    /// The consumer group it joins.
    pub consumer_group: Option<String>,
    /// How its messages come from the brokers, `"pull"` or `"pop"`; the same for all plugins of its group. Default: as its
    /// group has it.
    pub mode: Option<RequestMode>,
    /// What it subscribes to; replaces the whole list.
    pub subscriptions: Option<Vec<SubscriptionSetting>>,
    /// Most messages in one call, 1 to 1024.
    pub consume_message_batch_max_size: Option<u32>,
    /// Retries before a message goes to the dead-letter topic; −1 for RocketMQ's own default, which is 16, and in orderly
    /// groups without end.
    pub max_reconsume_times: Option<i32>,
    /// How long one call may take.
    pub consume_timeout: Option<Millis>,
    /// What it may import beyond the message itself: `"clocks"`, `"random"`, `"producer"`, `"keyvalue"`, `"logging"`,
    /// `"metrics"`. Default: nothing.
    #[serde(deserialize_with = "granted::names")]
    pub grants: Vec<String>,
    /// `wasi:config`: values it may read, by name. The table, if only an empty one, is the grant. Default: none.
    pub config: Option<BTreeMap<String, String>>,
    /// `wasi:http`: whom it may ask. The table is the grant. Default: nobody.
    pub http: Option<HttpSettings>,
    /// `wasi:filesystem`: directories it may open. Default: none.
    pub directories: Vec<DirectorySetting>,
    /// `wasi:cli/environment`: the variables it sees; those of the host are never among them. Default: none.
    pub environment: BTreeMap<String, String>,
    /// The store that the grant `keyvalue` gives it.
    pub keyvalue: KeyvalueSettings,
    /// The log that the grant `logging` gives it.
    pub logging: LoggingSettings,
    /// `false` leaves the file alone: it is not loaded. Default `true`.
    pub enabled: Option<bool>,
    /// The content hash, or the first 8 or more hexadecimal digits of it, of the only version that may serve.
    pub pin: Option<String>,
    /// A new version is tried with a share of the messages first. Default: it serves at once.
    pub canary: Option<CanarySettings>,
    /// A new version is run beside the serving one first, without effect. Default: it serves at once.
    pub shadow: Option<ShadowSettings>,
    /// When a version that fails after it took over gives way.
    pub probation: ProbationSettings,
    /// When a plugin that keeps failing is slowed.
    pub breaker: BreakerSettings,
}

/// One topic and the tags wanted of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SubscriptionSetting {
    /// The topic.
    pub topic: String,
    /// Tags joined by `||`. Default `*`, every message.
    pub tags: Option<String>,
    /// In place of tags, a SQL92 condition on the messages' properties, which the broker evaluates.
    pub sql: Option<String>,
}

impl PluginSettings {
    /// Its cluster; none for the default one.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref().filter(|cluster| *cluster != DEFAULT_CLUSTER)
    }

    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let rule = |key: &str, message: &str| Err((key.to_owned(), message.to_owned()));
        if self.consume_message_batch_max_size.is_some_and(|n| !(1..=1024).contains(&n)) {
            return rule("consume-message-batch-max-size", "expected 1 to 1024");
        }
        if self.max_reconsume_times.is_some_and(|times| times < -1) {
            return rule("max-reconsume-times", "expected 0 or more, or -1 for RocketMQ's own default");
        }
        let both = |s: &SubscriptionSetting| s.tags.is_some() && s.sql.is_some();
        if self.subscriptions.iter().flatten().any(both) {
            return rule("subscriptions", "expected tags or sql of a topic, not both");
        }
        if self.subscriptions.as_ref().is_some_and(Vec::is_empty) {
            return rule(
                "subscriptions",
                "expected at least one; leave the key out to keep the plugin's own",
            );
        }
        if self.consume_timeout.is_some_and(|t| t.0 == 0) {
            return rule("consume-timeout", "expected at least 1 ms");
        }
        let is_hash = |pin: &String| {
            (8..=64).contains(&pin.len())
                && pin.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        if !self.pin.as_ref().is_none_or(is_hash) {
            return rule("pin", "expected a content hash, or its first 8 or more digits of 0-9 a-f");
        }
        if self.canary.is_some() && self.shadow.is_some() {
            return rule("shadow", "expected a canary or a shadow of a plugin, not both");
        }
        self.canary.as_ref().map_or(Ok(()), CanarySettings::check)?;
        self.shadow.as_ref().map_or(Ok(()), ShadowSettings::check)?;
        self.breaker.check()
    }
}
