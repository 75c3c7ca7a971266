//! What a plugin is to do: what it says of itself, with the operator's configuration over it.

use std::time::Duration;

use gantry_core::{ConsumeFromWhere, FilterExpression, Subscription};
use gantry_engine::{Grants, ListenerDescription};

use crate::config::{ConsumeFrom, GantryConfig, PluginSettings};

/// A listener's part in its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenerPlan {
    /// The consumer group it joins.
    pub group: String,
    /// What it wants.
    pub subscriptions: Vec<Subscription>,
    /// Most messages in one call; none for the group's setting.
    pub batch_max_size: Option<u32>,
    /// Retries before the dead-letter topic; none for the group's setting.
    pub max_reconsume_times: Option<u32>,
    /// How long one call may take.
    pub consume_timeout: Duration,
    /// Where the group begins if this listener is the one that founds it.
    pub consume_from_where: ConsumeFromWhere,
}

impl ListenerPlan {
    /// The plan for the plugin in the file `stem`.
    pub(crate) fn new(stem: &str, description: &ListenerDescription, config: &GantryConfig) -> Self {
        let settings = config.plugin_settings(stem);
        let group = settings.consumer_group.clone().unwrap_or_else(|| description.consumer_group.clone());
        let consume_from_where = match config.group_settings(&group).consume_from_where {
            Some(ConsumeFrom::LastOffset) => ConsumeFromWhere::LastOffset,
            Some(ConsumeFrom::FirstOffset) => ConsumeFromWhere::FirstOffset,
            None => consume_from(description.consume_from_where),
        };
        let described_timeout = description.consume_timeout.map(Duration::from_millis);
        Self {
            group,
            subscriptions: subscriptions(&settings, description),
            batch_max_size: settings
                .consume_message_batch_max_size
                .or(description.consume_message_batch_max_size),
            max_reconsume_times: settings.max_reconsume_times.or(description.max_reconsume_times),
            consume_timeout: (settings.consume_timeout.map(|t| t.duration()))
                .or(described_timeout)
                .unwrap_or(config.engine.consume_timeout.duration()),
            consume_from_where,
        }
    }

    /// The subscriptions as people read them.
    pub(crate) fn subscription_lines(&self) -> Vec<String> {
        self.subscriptions.iter().map(|s| format!("{}: {}", s.topic, s.expression.text())).collect()
    }
}

/// What the operator grants the plugin in the file `stem`, or why the list is unsound.
pub(super) fn grants(stem: &str, config: &GantryConfig) -> Result<Grants, gantry_engine::UnknownGrant> {
    Grants::from_names(&config.plugin_settings(stem).grants)
}

fn subscriptions(settings: &PluginSettings, description: &ListenerDescription) -> Vec<Subscription> {
    if let Some(overridden) = &settings.subscriptions {
        let tag = |s: &crate::config::SubscriptionSetting| Subscription {
            topic: s.topic.clone(),
            expression: FilterExpression::Tag(s.tags.clone()),
        };
        return overridden.iter().map(tag).collect();
    }
    let own = |s: &gantry_engine::Subscription| Subscription {
        topic: s.topic.clone(),
        expression: match &s.expression {
            gantry_engine::FilterExpression::Tag(text) => FilterExpression::Tag(text.clone()),
            gantry_engine::FilterExpression::Sql92(text) => FilterExpression::Sql92(text.clone()),
        },
    };
    description.subscriptions.iter().map(own).collect()
}

fn consume_from(described: gantry_engine::ConsumeFromWhere) -> ConsumeFromWhere {
    match described {
        gantry_engine::ConsumeFromWhere::LastOffset => ConsumeFromWhere::LastOffset,
        gantry_engine::ConsumeFromWhere::FirstOffset => ConsumeFromWhere::FirstOffset,
        gantry_engine::ConsumeFromWhere::Timestamp(ms) => ConsumeFromWhere::Timestamp(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> ListenerDescription {
        ListenerDescription {
            name: "orders".into(),
            version: "1".into(),
            consumer_group: "orders-group".into(),
            subscriptions: vec![gantry_engine::Subscription {
                topic: "orders".into(),
                expression: gantry_engine::FilterExpression::Tag("created || paid".into()),
            }],
            message_model: gantry_engine::MessageModel::Clustering,
            consume_mode: gantry_engine::ConsumeMode::Concurrently,
            consume_from_where: gantry_engine::ConsumeFromWhere::FirstOffset,
            consume_message_batch_max_size: Some(32),
            max_reconsume_times: None,
            consume_timeout: Some(5_000),
        }
    }

    #[test]
    fn without_configuration_the_plugin_decides() {
        let plan = ListenerPlan::new("orders", &description(), &GantryConfig::default());
        assert_eq!(plan.group, "orders-group");
        assert_eq!(plan.subscription_lines(), ["orders: created || paid"]);
        assert_eq!((plan.batch_max_size, plan.max_reconsume_times), (Some(32), None));
        assert_eq!(plan.consume_timeout, Duration::from_secs(5));
        assert_eq!(plan.consume_from_where, ConsumeFromWhere::FirstOffset);
    }

    #[test]
    fn configuration_goes_over_what_the_plugin_says() {
        let text = "[group.special]\nconsume-from-where = \"last-offset\"\n[plugin.orders]\nconsumer-group = \"special\"\nsubscriptions = [{ topic = \"returns\" }]\nmax-reconsume-times = 2\nconsume-timeout = \"1s\"\n";
        let config = GantryConfig::from_toml("gantry.toml", text).unwrap();
        let plan = ListenerPlan::new("orders", &description(), &config);
        assert_eq!(plan.group, "special");
        assert_eq!(plan.subscription_lines(), ["returns: *"]);
        assert_eq!((plan.batch_max_size, plan.max_reconsume_times), (Some(32), Some(2)));
        assert_eq!(plan.consume_timeout, Duration::from_secs(1));
        assert_eq!(plan.consume_from_where, ConsumeFromWhere::LastOffset);
    }

    #[test]
    fn a_grant_that_does_not_exist_is_named() {
        let config =
            GantryConfig::from_toml("gantry.toml", "[plugin.orders]\ngrants = [\"network\"]").unwrap();
        assert!(grants("orders", &config).unwrap_err().to_string().contains("network"));
    }
}
