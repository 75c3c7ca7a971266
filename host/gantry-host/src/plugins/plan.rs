//! What a plugin is to do: what it says of itself, with the operator's configuration over it.

use std::time::Duration;

use gantry_core::{
    ConsumeFromWhere, ConsumeMode, DEFAULT_MAX_RECONSUME_TIMES, FilterExpression, MessageModel, Subscription,
};
use gantry_engine::{ListenerDescription, ListenerModule, MESSAGING_HANDLER_INTERFACE};

use crate::config::{self, ConsumeFrom, GantryConfig, PluginSettings, RequestMode, Timestamp};

/// A listener's part in its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenerPlan {
    /// The name its group has in this host: that of the consumer group, with `@CLUSTER` outside the default cluster.
    pub group: String,
    /// The consumer group it joins, as brokers know it.
    pub consumer_group: String,
    /// The cluster of that group; none for the default one.
    pub cluster: Option<String>,
    /// What it wants.
    pub subscriptions: Vec<Subscription>,
    /// Most messages in one call; none for the group's setting.
    pub batch_max_size: Option<u32>,
    /// Retries before the dead-letter topic; none for the group's setting.
    pub max_reconsume_times: Option<u32>,
    /// How long one call may take.
    pub consume_timeout: Duration,
    /// Who of the group gets a message; the same for all its listeners.
    pub message_model: MessageModel,
    /// How messages of one queue reach it; the same for all listeners of the group.
    pub consume_mode: ConsumeMode,
    /// How messages come from the brokers; the same for all listeners of the group.
    pub mode: RequestMode,
    /// Where the group begins if this listener is the one that founds it.
    pub consume_from_where: ConsumeFromWhere,
}

impl ListenerPlan {
    /// The plan for a version of the plugin in the file `stem`.
    ///
    /// # Errors
    /// The listener does not describe itself, and configuration does not either; in words that say what to add.
    pub(super) fn of_module(
        stem: &str,
        module: &ListenerModule,
        config: &GantryConfig,
    ) -> Result<Self, String> {
        let settings = config.plugin_settings(stem);
        let told = settings.consumer_group.is_some()
            && settings.subscriptions.as_ref().is_some_and(|subscriptions| !subscriptions.is_empty());
        if module.describes_itself() || told {
            return Ok(Self::new(stem, module.description(), config));
        }
        Err(format!(
            "a component of {MESSAGING_HANDLER_INTERFACE} does not say which messages it wants; add to gantry.toml, with your \
             group and topics: [plugin.{stem}] consumer-group = \"{stem}-group\" subscriptions = [{{ topic = \"{stem}\" }}]"
        ))
    }

    /// The plan for the plugin in the file `stem`.
    pub(crate) fn new(stem: &str, description: &ListenerDescription, config: &GantryConfig) -> Self {
        let settings = config.plugin_settings(stem);
        let consumer_group =
            settings.consumer_group.clone().unwrap_or_else(|| description.consumer_group.clone());
        let cluster = config.plugin_cluster(stem).map(str::to_owned);
        let group = config::group_name(&consumer_group, cluster.as_deref());
        let given = config.group_settings(&group);
        let consume_from_where = match given.consume_from_where {
            Some(ConsumeFrom::LastOffset) => ConsumeFromWhere::LastOffset,
            Some(ConsumeFrom::FirstOffset) => ConsumeFromWhere::FirstOffset,
            Some(ConsumeFrom::Timestamp) => ConsumeFromWhere::Timestamp(
                given.consume_timestamp.unwrap_or_else(Timestamp::half_an_hour_ago).0,
            ),
            None => consume_from(description.consume_from_where),
        };
        let message_model = match given.message_model {
            Some(config::MessageModel::Clustering) => MessageModel::Clustering,
            Some(config::MessageModel::Broadcasting) => MessageModel::Broadcasting,
            None => match description.message_model {
                gantry_engine::MessageModel::Clustering => MessageModel::Clustering,
                gantry_engine::MessageModel::Broadcasting => MessageModel::Broadcasting,
            },
        };
        let consume_mode = match given.consume_mode {
            Some(config::ConsumeMode::Concurrently) => ConsumeMode::Concurrently,
            Some(config::ConsumeMode::Orderly) => ConsumeMode::Orderly,
            None => match description.consume_mode {
                gantry_engine::ConsumeMode::Concurrently => ConsumeMode::Concurrently,
                gantry_engine::ConsumeMode::Orderly => ConsumeMode::Orderly,
            },
        };
        let described_timeout = description.consume_timeout.map(Duration::from_millis);
        Self {
            group,
            consumer_group,
            cluster,
            subscriptions: subscriptions(&settings, description),
            batch_max_size: settings
                .consume_message_batch_max_size
                .or(description.consume_message_batch_max_size),
            max_reconsume_times: max_reconsume_times(settings.max_reconsume_times, consume_mode)
                .or(description.max_reconsume_times),
            consume_timeout: (settings.consume_timeout.map(|t| t.duration()))
                .or(described_timeout)
                .unwrap_or(config.engine.consume_timeout.duration()),
            message_model,
            consume_mode,
            mode: settings.mode.or(given.mode).unwrap_or(RequestMode::Pull),
            consume_from_where,
        }
    }

    /// Whether another version of the listener can take over within its group.
    pub(crate) fn joins_like(&self, other: &Self) -> bool {
        self.group == other.group && self.kind() == other.kind()
    }

    /// Whether another version can be tried beside it on the same batches. If not, what it has otherwise.
    pub(crate) fn runs_beside(&self, other: &Self) -> Result<(), &'static str> {
        let checks = [
            (self.joins_like(other), "joins another group, or another kind of group"),
            (self.subscriptions == other.subscriptions, "subscribes otherwise"),
            (self.batch_max_size == other.batch_max_size, "wants batches of another size"),
            (self.max_reconsume_times == other.max_reconsume_times, "wants other retries"),
            (self.consume_timeout == other.consume_timeout, "wants another consume-timeout"),
        ];
        checks.into_iter().find(|(same, _)| !same).map_or(Ok(()), |(_, what)| Err(what))
    }

    /// Whether the order of a queue's messages is kept.
    pub(crate) fn is_orderly(&self) -> bool {
        self.consume_mode == ConsumeMode::Orderly
    }

    /// How messages reach it, in words.
    pub(crate) fn kind(&self) -> &'static str {
        if self.mode == RequestMode::Pop {
            return "popping";
        }
        match (self.message_model, self.consume_mode) {
            (MessageModel::Clustering, ConsumeMode::Concurrently) => "clustering and concurrent",
            (MessageModel::Clustering, ConsumeMode::Orderly) => "clustering and orderly",
            (MessageModel::Broadcasting, ConsumeMode::Concurrently) => "broadcasting and concurrent",
            (MessageModel::Broadcasting, ConsumeMode::Orderly) => "broadcasting and orderly",
        }
    }

    /// The subscriptions as people read them.
    pub(crate) fn subscription_lines(&self) -> Vec<String> {
        self.subscriptions.iter().map(|s| format!("{}: {}", s.topic, s.expression.text())).collect()
    }
}

fn subscriptions(settings: &PluginSettings, description: &ListenerDescription) -> Vec<Subscription> {
    if let Some(overridden) = &settings.subscriptions {
        let tag = |s: &crate::config::SubscriptionSetting| Subscription {
            topic: s.topic.clone(),
            expression: match (&s.sql, &s.tags) {
                (Some(condition), _) => FilterExpression::Sql92(condition.clone()),
                (None, tags) => FilterExpression::Tag(tags.clone().unwrap_or_else(|| "*".to_owned())),
            },
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

/// What an operator's number means; −1 is RocketMQ's own default.
fn max_reconsume_times(given: Option<i32>, mode: ConsumeMode) -> Option<u32> {
    given.map(|times| match (u32::try_from(times), mode) {
        (Ok(times), _) => times,
        (Err(_), ConsumeMode::Concurrently) => DEFAULT_MAX_RECONSUME_TIMES,
        (Err(_), ConsumeMode::Orderly) => i32::MAX.unsigned_abs(),
    })
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
    fn an_operator_may_choose_the_modes_the_time_and_sql() {
        let text = "[group.orders-group]\nconsume-mode = \"orderly\"\nmessage-model = \"broadcasting\"\nconsume-from-where = \"timestamp\"\nconsume-timestamp = \"1970-01-01T00:00:01Z\"\n[plugin.orders]\nsubscriptions = [{ topic = \"t\", sql = \"a > 5\" }]\nmax-reconsume-times = -1\n";
        let config = GantryConfig::from_toml("gantry.toml", text).unwrap();
        let plan = ListenerPlan::new("orders", &description(), &config);
        assert_eq!(plan.kind(), "broadcasting and orderly");
        assert_eq!(plan.consume_from_where, ConsumeFromWhere::Timestamp(1_000));
        assert_eq!(plan.subscriptions[0].expression, FilterExpression::Sql92("a > 5".to_owned()));
        assert_eq!(
            plan.max_reconsume_times,
            Some(i32::MAX.unsigned_abs()),
            "RocketMQ's own in orderly groups"
        );
    }

    #[test]
    fn tags_and_sql_of_one_topic_are_refused_together() {
        let text = "[plugin.orders]\nsubscriptions = [{ topic = \"t\", sql = \"a > 5\", tags = \"b\" }]\n";
        let error = GantryConfig::from_toml("gantry.toml", text).unwrap_err().to_string();
        assert!(error.contains("tags or sql"), "{error}");
    }

    #[test]
    fn a_version_runs_beside_another_that_takes_the_same_batches() {
        let plan = |change: fn(&mut ListenerDescription)| {
            let mut description = description();
            change(&mut description);
            ListenerPlan::new("orders", &description, &GantryConfig::default())
        };
        let own = plan(|_| ());
        assert_eq!(own.runs_beside(&plan(|other| other.version = "2".into())), Ok(()));
        type Change = fn(&mut ListenerDescription);
        let others: [(Change, &str); 5] = [
            (|other| other.consumer_group = "others".into(), "group"),
            (|other| other.consume_mode = gantry_engine::ConsumeMode::Orderly, "group"),
            (|other| other.subscriptions[0].topic = "returns".into(), "subscribes"),
            (|other| other.consume_message_batch_max_size = Some(1), "batches"),
            (|other| other.consume_timeout = None, "consume-timeout"),
        ];
        for (change, what) in others {
            let said = own.runs_beside(&plan(change)).unwrap_err();
            assert!(said.contains(what), "{said}");
        }
    }
}
