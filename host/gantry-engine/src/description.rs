//! Whether what a plugin says of itself is sound: the rules of `listener-description` and `strategy-description` in the
//! WIT, field by field.

use std::collections::HashSet;

use thiserror::Error;

use crate::wit::{
    ConsumeFromWhere, ConsumeMode, FilterExpression, ListenerDescription, MessageModel, SelectorDescription,
    StrategyDescription, Subscription,
};

const MAX_NAME: usize = 64;
const MAX_VERSION: usize = 64;
const MAX_GROUP: usize = 120;
/// RocketMQ: `TopicValidator.TOPIC_MAX_LENGTH`.
const MAX_TOPIC: usize = 127;
/// RocketMQ: the upper bound of `consumeMessageBatchMaxSize`.
const MAX_BATCH: u32 = 1024;
/// More than any listener needs: a bound on what a description can make the host do.
const MAX_SUBSCRIPTIONS: usize = 64;
const MAX_EXPRESSION: usize = 4096;

/// A field of a description that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`describe` gives an unsound `{field}`: {found} {rule}")]
pub struct UnsoundDescription {
    /// The field, as the WIT names it.
    pub field: &'static str,
    /// What was found there.
    pub found: String,
    /// What it must be.
    pub rule: String,
}

fn unsound(field: &'static str, found: impl Into<String>, rule: impl Into<String>) -> UnsoundDescription {
    UnsoundDescription { field, found: found.into(), rule: rule.into() }
}

/// A guest's text in an error, short.
fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{shown}`")
}

impl ListenerDescription {
    /// That of a listener whose interface has no words for it: no group, no topic, one message a call.
    pub(crate) fn unsaid(name: String) -> Self {
        Self { subscriptions: Vec::new(), consume_message_batch_max_size: Some(1), ..Self::new(name, "", "") }
    }

    /// The description of a concurrent listener that subscribes to every message of `topic`, with defaults for the rest.
    #[must_use]
    pub fn new(name: impl Into<String>, consumer_group: impl Into<String>, topic: impl Into<String>) -> Self {
        let expression = FilterExpression::Tag("*".into());
        Self {
            name: name.into(),
            version: String::new(),
            consumer_group: consumer_group.into(),
            subscriptions: vec![Subscription { topic: topic.into(), expression }],
            message_model: MessageModel::Clustering,
            consume_mode: ConsumeMode::Concurrently,
            consume_from_where: ConsumeFromWhere::LastOffset,
            consume_message_batch_max_size: None,
            max_reconsume_times: None,
            consume_timeout: None,
        }
    }

    /// Checks the rules of every field.
    ///
    /// # Errors
    /// The first field that breaks its rule.
    pub fn check(&self) -> Result<(), UnsoundDescription> {
        check(self)
    }
}

/// Checks every rule.
pub(crate) fn check(description: &ListenerDescription) -> Result<(), UnsoundDescription> {
    let d = description;
    check_text("name", &d.name, MAX_NAME, "_-")?;
    check_version(&d.version)?;
    check_text("consumer-group", &d.consumer_group, MAX_GROUP, "_-%|")?;
    check_subscriptions(&d.subscriptions)?;
    if let Some(size) = d.consume_message_batch_max_size.filter(|size| !(1..=MAX_BATCH).contains(size)) {
        return Err(unsound("consume-message-batch-max-size", size.to_string(), "is not between 1 and 1024"));
    }
    if let Some(times) = d.max_reconsume_times.filter(|times| i32::try_from(*times).is_err()) {
        return Err(unsound("max-reconsume-times", times.to_string(), "is more than 2147483647"));
    }
    if d.consume_timeout == Some(0) {
        return Err(unsound(
            "consume-timeout",
            "0",
            "leaves no time for a call; give at least 1 millisecond",
        ));
    }
    if let ConsumeFromWhere::Timestamp(ms) = d.consume_from_where
        && i64::try_from(ms).is_err()
    {
        let found = format!("timestamp({ms})");
        return Err(unsound("consume-from-where", found, "is more than 9223372036854775807 milliseconds"));
    }
    check_contradictions(d)
}

/// What each field says soundly by itself, but not beside another.
fn check_contradictions(description: &ListenerDescription) -> Result<(), UnsoundDescription> {
    let d = description;
    let never_retries =
        d.message_model == MessageModel::Broadcasting && d.consume_mode == ConsumeMode::Concurrently;
    if let Some(times) = d.max_reconsume_times.filter(|times| never_retries && *times > 0) {
        return Err(unsound(
            "max-reconsume-times",
            times.to_string(),
            "contradicts `broadcasting` with `concurrently`, where nothing is retried; leave it out, or consume `orderly`",
        ));
    }
    let own = |subscription: &&Subscription| {
        let origin = subscription.topic.strip_prefix("%RETRY%").or(subscription.topic.strip_prefix("%DLQ%"));
        origin == Some(&*d.consumer_group)
    };
    if let Some(Subscription { topic, .. }) = d.subscriptions.iter().find(own) {
        return Err(unsound(
            "subscriptions.topic",
            quoted(topic),
            "is where the group's own failed messages go: those of %RETRY% come to it by themselves, and those of %DLQ% \
             would go round for ever; leave it out, or name another group",
        ));
    }
    Ok(())
}

/// Checks every rule of `strategy-description`.
pub(crate) fn check_strategy(description: &StrategyDescription) -> Result<(), UnsoundDescription> {
    check_text("name", &description.name, MAX_NAME, "_-")?;
    check_version(&description.version)
}

/// Whether a selector's description is sound.
///
/// # Errors
/// The first field that breaks its rule.
pub(crate) fn check_selector(description: &SelectorDescription) -> Result<(), UnsoundDescription> {
    check_text("name", &description.name, MAX_NAME, "_-")?;
    check_version(&description.version)
}

/// 1 to `max` ASCII letters, digits and `extra`.
fn check_text(field: &'static str, text: &str, max: usize, extra: &str) -> Result<(), UnsoundDescription> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
    if text.is_empty() {
        return Err(unsound(field, "it", "is empty"));
    }
    if let Some(odd) = text.chars().find(|c| !allowed(*c)) {
        let extra: Vec<String> = extra.chars().map(String::from).collect();
        let rule = format!("has {odd:?}; allowed are A-Z a-z 0-9 {}", extra.join(" "));
        return Err(unsound(field, quoted(text), rule));
    }
    if text.len() > max {
        return Err(unsound(
            field,
            quoted(text),
            format!("is {} characters long; at most {max}", text.len()),
        ));
    }
    Ok(())
}

fn check_version(version: &str) -> Result<(), UnsoundDescription> {
    let length = version.chars().count();
    if length > MAX_VERSION {
        return Err(unsound(
            "version",
            quoted(version),
            format!("is {length} characters long; at most {MAX_VERSION}"),
        ));
    }
    if version.chars().any(char::is_control) {
        return Err(unsound("version", quoted(version), "has control characters"));
    }
    Ok(())
}

fn check_subscriptions(subscriptions: &[Subscription]) -> Result<(), UnsoundDescription> {
    if subscriptions.is_empty() {
        return Err(unsound("subscriptions", "it", "is empty; name at least one topic"));
    }
    if subscriptions.len() > MAX_SUBSCRIPTIONS {
        let found = format!("{} topics", subscriptions.len());
        return Err(unsound("subscriptions", found, format!("are too many; at most {MAX_SUBSCRIPTIONS}")));
    }
    let mut topics = HashSet::new();
    for subscription in subscriptions {
        check_text("subscriptions.topic", &subscription.topic, MAX_TOPIC, "_-%|")?;
        if !topics.insert(subscription.topic.as_str()) {
            return Err(unsound("subscriptions.topic", quoted(&subscription.topic), "is named twice"));
        }
        check_expression(&subscription.expression)?;
    }
    Ok(())
}

fn check_expression(expression: &FilterExpression) -> Result<(), UnsoundDescription> {
    let field = "subscriptions.expression";
    let (FilterExpression::Tag(text) | FilterExpression::Sql92(text)) = expression;
    if text.len() > MAX_EXPRESSION {
        return Err(unsound(
            field,
            quoted(text),
            format!("is {} bytes long; at most {MAX_EXPRESSION}", text.len()),
        ));
    }
    match expression {
        FilterExpression::Sql92(text) if text.trim().is_empty() => {
            Err(unsound(field, "it", "is empty; write a SQL92 condition"))
        }
        FilterExpression::Sql92(_) => Ok(()),
        FilterExpression::Tag(text) => check_tags(text).map_err(|rule| unsound(field, quoted(text), rule)),
    }
}

/// Tags joined by `||`, or `*` alone. RocketMQ takes each tag as it stands between the bars, trimmed.
fn check_tags(text: &str) -> Result<(), &'static str> {
    if text.trim() == "*" {
        return Ok(());
    }
    if text.trim().is_empty() {
        return Err("is empty; write `*` for every message");
    }
    text.split("||").map(str::trim).try_for_each(|tag| match tag {
        "" => Err("has an empty tag; join tags as in `created || paid`"),
        "*" => Err("has `*` among tags; write `*` alone for every message"),
        _ if tag.contains('|') => Err("has a single `|`; tags are joined by `||`"),
        _ if tag.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            Err("has a tag with white space in it; join tags as in `created || paid`")
        }
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> ListenerDescription {
        ListenerDescription {
            name: "orders".into(),
            version: "1.0.0".into(),
            consumer_group: "orders-group".into(),
            subscriptions: vec![subscription("Orders", "created || paid")],
            message_model: MessageModel::Clustering,
            consume_mode: ConsumeMode::Concurrently,
            consume_from_where: ConsumeFromWhere::LastOffset,
            consume_message_batch_max_size: None,
            max_reconsume_times: None,
            consume_timeout: None,
        }
    }

    fn subscription(topic: &str, tags: &str) -> Subscription {
        Subscription { topic: topic.into(), expression: FilterExpression::Tag(tags.into()) }
    }

    /// The field at fault after `change`, if any.
    fn fault(change: impl FnOnce(&mut ListenerDescription)) -> Option<&'static str> {
        let mut description = sound();
        change(&mut description);
        check(&description).err().map(|error| error.field)
    }

    #[test]
    fn a_sound_description_passes_with_every_bound_met() {
        assert_eq!(fault(|_| ()), None);
        assert_eq!(fault(|d| d.name = "n".repeat(64)), None);
        assert_eq!(fault(|d| d.version = String::new()), None);
        assert_eq!(fault(|d| d.consumer_group = format!("%|{}", "g".repeat(118))), None);
        assert_eq!(fault(|d| d.subscriptions = vec![subscription(&"t".repeat(127), " * ")]), None);
        assert_eq!(fault(|d| d.consume_message_batch_max_size = Some(1024)), None);
        assert_eq!(fault(|d| d.max_reconsume_times = Some(0)), None);
        assert_eq!(fault(|d| d.consume_timeout = Some(1)), None);
    }

    #[test]
    fn each_fields_rule_is_checked() {
        assert_eq!(fault(|d| d.name = String::new()), Some("name"));
        assert_eq!(fault(|d| d.name = "n".repeat(65)), Some("name"));
        assert_eq!(fault(|d| d.name = "or ders".into()), Some("name"));
        assert_eq!(fault(|d| d.name = "a/../b".into()), Some("name"));
        assert_eq!(fault(|d| d.version = "1\n2".into()), Some("version"));
        assert_eq!(fault(|d| d.version = "v".repeat(65)), Some("version"));
        assert_eq!(fault(|d| d.consumer_group = "g".repeat(121)), Some("consumer-group"));
        assert_eq!(fault(|d| d.consumer_group = "größe".into()), Some("consumer-group"));
        assert_eq!(fault(|d| d.subscriptions.clear()), Some("subscriptions"));
        assert_eq!(fault(|d| d.subscriptions = vec![subscription("T", "*"); 65]), Some("subscriptions"));
        assert_eq!(fault(|d| d.subscriptions.push(subscription("Orders", "*"))), Some("subscriptions.topic"));
        assert_eq!(fault(|d| d.subscriptions = vec![subscription("a b", "*")]), Some("subscriptions.topic"));
        assert_eq!(
            fault(|d| d.subscriptions = vec![subscription(&"t".repeat(128), "*")]),
            Some("subscriptions.topic")
        );
        assert_eq!(
            fault(|d| d.consume_message_batch_max_size = Some(0)),
            Some("consume-message-batch-max-size")
        );
        assert_eq!(
            fault(|d| d.consume_message_batch_max_size = Some(1025)),
            Some("consume-message-batch-max-size")
        );
        assert_eq!(fault(|d| d.max_reconsume_times = Some(u32::MAX)), Some("max-reconsume-times"));
        assert_eq!(fault(|d| d.consume_timeout = Some(0)), Some("consume-timeout"));
        let at = |ms| fault(|d| d.consume_from_where = ConsumeFromWhere::Timestamp(ms));
        assert_eq!((at(u64::MAX), at(1_700_000_000_000)), (Some("consume-from-where"), None));
    }

    #[test]
    fn tag_expressions_are_tags_between_double_bars() {
        for good in ["*", "created", "created||paid", " created || paid ", "a-b_c.d"] {
            assert_eq!(check_tags(good), Ok(()), "{good}");
        }
        for bad in ["", "  ", "a||", "||", "a || || b", "a | b", "a b", "a || *", "a|||b"] {
            assert!(check_tags(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_model_and_mode_is_sound_and_so_is_sql92() {
        for model in [MessageModel::Clustering, MessageModel::Broadcasting] {
            for mode in [ConsumeMode::Concurrently, ConsumeMode::Orderly] {
                assert_eq!(fault(|d| (d.message_model, d.consume_mode) = (model, mode)), None);
            }
        }
        let sql92 = |text: &str| FilterExpression::Sql92(text.into());
        assert_eq!(fault(|d| d.subscriptions[0].expression = sql92("amount > 10")), None);
        assert_eq!(fault(|d| d.subscriptions[0].expression = sql92(" ")), Some("subscriptions.expression"));
    }

    #[test]
    fn retries_where_nothing_is_retried_are_a_contradiction() {
        let broadcast = |mode, times| {
            fault(|d| {
                d.message_model = MessageModel::Broadcasting;
                d.consume_mode = mode;
                d.max_reconsume_times = Some(times);
            })
        };
        assert_eq!(broadcast(ConsumeMode::Concurrently, 3), Some("max-reconsume-times"));
        assert_eq!(broadcast(ConsumeMode::Concurrently, 0), None);
        assert_eq!(broadcast(ConsumeMode::Orderly, 3), None);
    }

    #[test]
    fn a_group_does_not_subscribe_to_where_its_own_failures_go() {
        let subscribes = |topic: &str| fault(|d| d.subscriptions.push(subscription(topic, "*")));
        assert_eq!(subscribes("%RETRY%orders-group"), Some("subscriptions.topic"));
        assert_eq!(subscribes("%DLQ%orders-group"), Some("subscriptions.topic"));
        assert_eq!(subscribes("%DLQ%another-group"), None);
    }

    #[test]
    fn a_strategy_has_a_name_and_a_version() {
        let fault = |name: &str, version: &str| {
            let described = StrategyDescription { name: name.into(), version: version.into() };
            check_strategy(&described).err().map(|error| error.field)
        };
        assert_eq!(fault("rendezvous", ""), None);
        assert_eq!(fault("", "1"), Some("name"));
        assert_eq!(fault("my rule", "1"), Some("name"));
        assert_eq!(fault("rule", "1\n"), Some("version"));
    }

    #[test]
    fn an_error_names_the_field_what_was_found_and_the_rule() {
        let mut description = sound();
        description.name = "or ders".into();
        let text = check(&description).unwrap_err().to_string();
        assert_eq!(
            text,
            "`describe` gives an unsound `name`: `or ders` has ' '; allowed are A-Z a-z 0-9 _ -"
        );
    }
}
