//! Two members' subscriptions and settings side by side.

use std::collections::{BTreeMap, BTreeSet};

use gantry_protocol::body::{
    ConsumeFromWhere, ConsumeType, ConsumerConnection, ConsumerData, ConsumerRunningInfo, MessageModel,
    PROP_CONSUME_TYPE, SubscriptionData,
};
use gantry_protocol::names;
use gantry_protocol::tag::TagExpression;

/// How another member differs: what would follow its name in a sentence, for each difference.
pub(super) fn of_member(ours: &ConsumerData, theirs: &ConsumerRunningInfo) -> Vec<String> {
    let set = |name: &str| theirs.properties.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let kind = Kind {
        consume_type: set(PROP_CONSUME_TYPE).map(ConsumeType::from_wire),
        message_model: set("messageModel").map(MessageModel::from_wire),
        consume_from_where: set("consumeFromWhere").map(ConsumeFromWhere::from_wire),
    };
    let mut differences = subscriptions(ours, &theirs.subscription_set);
    differences.extend(kind.differences(ours));
    differences
}

/// How the group as its broker has it differs.
pub(super) fn of_group(ours: &ConsumerData, theirs: &ConsumerConnection) -> Vec<String> {
    let kind = Kind {
        consume_type: Some(theirs.consume_type),
        message_model: Some(theirs.message_model),
        consume_from_where: Some(theirs.consume_from_where),
    };
    let mut differences = subscriptions(ours, theirs.subscription_table.values());
    differences.extend(kind.differences(ours));
    differences
}

/// How a member consumes, as far as it says.
struct Kind {
    consume_type: Option<ConsumeType>,
    message_model: Option<MessageModel>,
    consume_from_where: Option<ConsumeFromWhere>,
}

impl Kind {
    fn differences(&self, ours: &ConsumerData) -> Vec<String> {
        let pairs = [
            (self.consume_type.map(ConsumeType::as_str), ours.consume_type.as_str()),
            (self.message_model.map(MessageModel::as_str), ours.message_model.as_str()),
            (self.consume_from_where.map(ConsumeFromWhere::as_str), ours.consume_from_where.as_str()),
        ];
        let differs = |(theirs, ours): (Option<&'static str>, &'static str)| {
            let theirs = theirs.filter(|theirs| *theirs != ours)?;
            Some(format!("is {theirs}, this host {ours}"))
        };
        pairs.into_iter().filter_map(differs).collect()
    }
}

fn subscriptions<'d>(
    ours: &'d ConsumerData,
    theirs: impl IntoIterator<Item = &'d SubscriptionData>,
) -> Vec<String> {
    let (ours, theirs) = (by_topic(&ours.subscription_data_set), by_topic(theirs));
    let topics: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differs = |topic: &&str| match (ours.get(topic), theirs.get(topic)) {
        (Some(ours), Some(theirs)) if Wanted::of(ours) == Wanted::of(theirs) => None,
        (Some(ours), Some(theirs)) => Some(format!(
            "subscribes to topic {topic} with {}, this host with {}",
            shown(theirs),
            shown(ours)
        )),
        (Some(ours), None) => {
            Some(format!("does not subscribe to topic {topic}, this host does with {}", shown(ours)))
        }
        (None, Some(theirs)) => {
            Some(format!("subscribes to topic {topic} with {}, this host does not", shown(theirs)))
        }
        (None, None) => None,
    };
    topics.into_iter().filter_map(differs).collect()
}

/// By topic. Retry topics are left out: each client's library adds its own.
fn by_topic<'d>(
    subscriptions: impl IntoIterator<Item = &'d SubscriptionData>,
) -> BTreeMap<&'d str, &'d SubscriptionData> {
    let named = subscriptions.into_iter().map(|subscription| (subscription.topic.as_str(), subscription));
    named.filter(|(topic, _)| !names::is_retry(topic)).collect()
}

/// What an expression means, however it is written.
#[derive(PartialEq, Eq)]
enum Wanted<'d> {
    All,
    Tags(BTreeSet<String>),
    Other(&'d str, &'d str),
}

impl<'d> Wanted<'d> {
    fn of(subscription: &'d SubscriptionData) -> Self {
        let text = subscription.sub_string.trim();
        if !subscription.is_tag_type() {
            return Self::Other(&subscription.expression_type, text);
        }
        match TagExpression::parse(text) {
            Ok(TagExpression::All) => Self::All,
            Ok(TagExpression::Tags(tags)) => Self::Tags(tags),
            Err(_nothing) => Self::Other(&subscription.expression_type, text),
        }
    }
}

fn shown(subscription: &SubscriptionData) -> String {
    match subscription.is_tag_type() {
        true => format!("the tags {:?}", subscription.sub_string),
        false => format!("{} {:?}", subscription.expression_type, subscription.sub_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(topic: &str, expression: &str) -> SubscriptionData {
        SubscriptionData::by_tags(topic, expression, 1).unwrap()
    }

    fn ours(subscriptions: &[SubscriptionData]) -> ConsumerData {
        ConsumerData { subscription_data_set: subscriptions.to_vec(), ..ConsumerData::default() }
    }

    fn theirs(subscriptions: &[SubscriptionData]) -> ConsumerRunningInfo {
        ConsumerRunningInfo { subscription_set: subscriptions.to_vec(), ..ConsumerRunningInfo::default() }
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        let retry = tags("%RETRY%g", "*");
        let version = SubscriptionData { sub_version: 99, ..tags("t", "b||a") };
        let nothing = SubscriptionData { sub_string: String::new(), ..tags("u", "*") };
        let untyped = SubscriptionData { expression_type: String::new(), ..tags("v", "x") };
        let ours = ours(&[tags("t", "a || b"), tags("u", "*"), tags("v", "x"), retry]);
        assert!(of_member(&ours, &theirs(&[untyped, version, nothing])).is_empty());
    }

    #[test]
    fn every_difference_of_subscriptions_names_the_topic_and_both_sides() {
        let ours = ours(&[tags("t", "a"), tags("u", "*"), SubscriptionData::by_sql92("w", "n > 1", 1)]);
        let theirs =
            theirs(&[tags("t", "a || b"), tags("v", "c"), SubscriptionData::by_sql92("w", " n > 2", 1)]);
        let expected = [
            r#"subscribes to topic t with the tags "a || b", this host with the tags "a""#,
            r#"does not subscribe to topic u, this host does with the tags "*""#,
            r#"subscribes to topic v with the tags "c", this host does not"#,
            r#"subscribes to topic w with SQL92 " n > 2", this host with SQL92 "n > 1""#,
        ];
        assert_eq!(of_member(&ours, &theirs), expected);
    }

    #[test]
    fn another_model_is_a_difference_and_one_that_is_not_told_is_none() {
        let ours = ours(&[]);
        let mut theirs = theirs(&[]);
        let properties = [
            ("messageModel", "BROADCASTING"),
            ("consumeFromWhere", ""),
            (PROP_CONSUME_TYPE, "CONSUME_PASSIVELY"),
        ];
        theirs.properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(of_member(&ours, &theirs), ["is BROADCASTING, this host CLUSTERING"]);
    }

    #[test]
    fn the_groups_merged_view_is_compared_alike() {
        let ours = ours(&[tags("t", "a"), tags("%RETRY%g", "*")]);
        let table = |subscription: SubscriptionData| [(subscription.topic.clone(), subscription)].into();
        let same = ConsumerConnection { subscription_table: table(tags("t", "a")), ..Default::default() };
        assert!(of_group(&ours, &same).is_empty());
        let other = ConsumerConnection {
            subscription_table: table(tags("t", "b")),
            consume_from_where: ConsumeFromWhere::FirstOffset,
            ..Default::default()
        };
        let expected = [
            r#"subscribes to topic t with the tags "b", this host with the tags "a""#,
            "is CONSUME_FROM_FIRST_OFFSET, this host CONSUME_FROM_LAST_OFFSET",
        ];
        assert_eq!(of_group(&ours, &other), expected);
    }
}
