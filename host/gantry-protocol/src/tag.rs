//! Tag subscriptions: the expression `a || b` and the hash brokers filter by.

use std::collections::BTreeSet;

/// Hash of a tag as brokers store and compare it: Java's `String.hashCode`, over UTF-16 units.
pub fn hash_code(tag: &str) -> i32 {
    tag.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// A tag subscription expression (RocketMQ: FilterAPI.buildSubscriptionData).
///
/// Brokers filter by [`hash_code`] alone, so a client checks the tags themselves again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagExpression {
    /// Every message: `*`, or nothing at all.
    All,
    /// Messages with one of these tags.
    Tags(BTreeSet<String>),
}

/// An expression that names no tag, such as `||`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tag expression {expression:?} names no tag; write tags joined by ||, or * for every message")]
pub struct TagExpressionError {
    /// The expression.
    pub expression: String,
}

impl TagExpression {
    /// Reads an expression: tags joined by `||`, surrounding white space ignored; `*` or nothing is every message.
    ///
    /// # Errors
    /// The expression has separators or white space, but no tag.
    pub fn parse(expression: &str) -> Result<Self, TagExpressionError> {
        if expression.is_empty() || expression == "*" {
            return Ok(Self::All);
        }
        // Java's trim takes off everything up to the space.
        let tags = expression.split("||").map(|tag| tag.trim_matches(|c: char| c <= ' '));
        let tags: BTreeSet<String> = tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        if tags.is_empty() {
            return Err(TagExpressionError { expression: expression.to_owned() });
        }
        Ok(Self::Tags(tags))
    }

    /// Whether a message with this tag matches; a message without one matches only [`Self::All`].
    pub fn matches(&self, tag: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Tags(tags) => tag.is_some_and(|tag| tags.contains(tag)),
        }
    }

    /// Whether a tag with this hash may match, which is what a broker checks.
    pub fn matches_hash(&self, hash: i32) -> bool {
        match self {
            Self::All => true,
            Self::Tags(tags) => tags.iter().any(|tag| hash_code(tag) == hash),
        }
    }

    /// The tags, sorted; none for [`Self::All`].
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let tags = match self {
            Self::All => None,
            Self::Tags(tags) => Some(tags),
        };
        tags.into_iter().flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        assert_eq!(hash_code("TagA"), 2_598_919);
        assert_eq!(hash_code("TagB"), 2_598_920);
        assert_eq!(hash_code("orders.created"), 811_154_655);
        assert_eq!(hash_code(""), 0);
        assert_eq!(hash_code("\u{1F600}"), 1_772_899, "surrogate pairs count as two units");
    }

    #[test]
    fn expressions_are_split_and_trimmed() {
        let expression = TagExpression::parse(" TagA ||TagB|| ").unwrap();
        assert_eq!(expression.tags().collect::<Vec<_>>(), ["TagA", "TagB"]);
        assert!(expression.matches(Some("TagB")));
        assert!(!expression.matches(Some("TagC")));
        assert!(!expression.matches(None));
        assert!(expression.matches_hash(2_598_919));
    }

    #[test]
    fn star_and_nothing_match_everything() {
        for text in ["", "*"] {
            let expression = TagExpression::parse(text).unwrap();
            assert!(expression.matches(None) && expression.matches_hash(1));
        }
    }

    #[test]
    fn an_expression_without_a_tag_is_refused() {
        assert!(TagExpression::parse("||").is_err());
        assert!(TagExpression::parse("  ").is_err());
    }
}
