//! A topic's attributes (RocketMQ: TopicAttributes, AttributeParser, AttributeUtil).

use std::collections::BTreeMap;

use gantry_protocol::ResponseCode;

use crate::core::Refusal;
use crate::state::topics::QUEUE_TYPE;

/// An attribute a topic can have here. What RocketMQ knows besides, and this broker cannot do, is refused.
struct Attribute {
    key: &'static str,
    /// Whether it can change once the topic is there.
    changeable: bool,
    values: &'static [&'static str],
}

const ATTRIBUTES: [Attribute; 3] = [
    Attribute {
        key: "message.type",
        changeable: true,
        values: &["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION"],
    },
    Attribute { key: QUEUE_TYPE, changeable: false, values: &["SimpleCQ", "BatchCQ"] },
    Attribute { key: "cleanup.policy", changeable: false, values: &["DELETE"] },
];

/// A topic's attributes after `+key=value,-key`; `before` is `None` for a new topic.
pub(super) fn altered(
    before: Option<&BTreeMap<String, String>>,
    changes: &str,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut attributes = before.cloned().unwrap_or_default();
    for change in changes.split(',').map(str::trim).filter(|change| !change.is_empty()) {
        if let Some(key) = change.strip_prefix('-') {
            let Some(before) = before else {
                return refused(format!("only add attribute is supported while creating topic. key: {key}"));
            };
            if !before.contains_key(key) {
                return refused(format!("attempt to delete a nonexistent key: {key}"));
            }
            changeable(known(key)?)?;
            attributes.remove(key);
            continue;
        }
        let Some((key, value)) = change.strip_prefix('+').and_then(|change| change.split_once('=')) else {
            return refused(format!("the attribute {change} is neither +key=value nor -key"));
        };
        let attribute = known(key)?;
        check(attribute, value)?;
        // RocketMQ refuses even the value a topic has already.
        if before.is_some_and(|before| before.get(key).is_none_or(|known| known != value)) {
            changeable(attribute)?;
        }
        attributes.insert(key.to_owned(), value.to_owned());
    }
    Ok(attributes)
}

fn known(key: &str) -> Result<&'static Attribute, Refusal> {
    let known = ATTRIBUTES.iter().find(|attribute| attribute.key == key);
    known.map_or_else(|| refused(format!("unsupported key: {key}")), Ok)
}

fn changeable(attribute: &Attribute) -> Result<(), Refusal> {
    match attribute.changeable {
        true => Ok(()),
        false => refused(format!("attempt to update an unchangeable attribute. key: {}", attribute.key)),
    }
}

fn check(attribute: &Attribute, value: &str) -> Result<(), Refusal> {
    if attribute.values.contains(&value) {
        return Ok(());
    }
    if value == "MIXED" {
        // RocketMQ's broker with its default of enableMixedMessageType.
        let remark = "MIXED message type is not supported.";
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
    }
    let possible = attribute.values.join(", ");
    refused(format!("the attribute {} is {value}: here it can be {possible}", attribute.key))
}

fn refused<T>(remark: String) -> Result<T, Refusal> {
    Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn remark(before: Option<&BTreeMap<String, String>>, changes: &str) -> String {
        altered(before, changes).unwrap_err().remark
    }

    #[test]
    fn attributes_are_added_changed_and_taken_away() {
        let new = altered(None, "+message.type=FIFO, +queue.type=BatchCQ").unwrap();
        assert_eq!(new, attributes(&[("message.type", "FIFO"), ("queue.type", "BatchCQ")]));
        let changed = altered(Some(&new), "+message.type=NORMAL,+queue.type=BatchCQ").unwrap();
        assert_eq!(changed, attributes(&[("message.type", "NORMAL"), ("queue.type", "BatchCQ")]));
        assert_eq!(altered(Some(&new), "-message.type").unwrap(), attributes(&[("queue.type", "BatchCQ")]));
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        let known = attributes(&[("message.type", "FIFO"), ("queue.type", "BatchCQ")]);
        let unchangeable = "attempt to update an unchangeable attribute. key: queue.type";
        assert_eq!(remark(Some(&known), "+queue.type=SimpleCQ"), unchangeable);
        assert_eq!(remark(Some(&known), "-queue.type"), unchangeable);
        assert_eq!(
            remark(Some(&known), "-cleanup.policy"),
            "attempt to delete a nonexistent key: cleanup.policy"
        );
        assert_eq!(
            remark(None, "-queue.type"),
            "only add attribute is supported while creating topic. key: queue.type"
        );
        assert_eq!(remark(None, "+other=1"), "unsupported key: other");
        assert_eq!(remark(None, "+message.type=MIXED"), "MIXED message type is not supported.");
        assert!(remark(None, "+cleanup.policy=COMPACTION").contains("here it can be DELETE"));
        assert!(remark(None, "message.type=FIFO").contains("neither +key=value nor -key"));
    }
}
