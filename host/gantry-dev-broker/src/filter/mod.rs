//! What a subscription lets through at the broker.

mod sql;

use std::sync::Arc;

use bytes::Bytes;
use gantry_protocol::MessageExt;
use gantry_protocol::tag::TagExpression;

pub(crate) use sql::SqlFilter;

/// Stands for the tag hashes of the messages of an inner batch: which of them are wanted only the client sees.
pub(crate) const SEVERAL_TAGS: i64 = i64::MAX;

/// What a subscription lets through at the broker (RocketMQ: ExpressionMessageFilter).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    /// `*`, or nothing.
    All,
    /// Any of these tag hashes, sorted. A hash may collide, so the client compares the tags themselves again.
    Codes(Vec<i64>),
    /// Messages whose properties fulfil an SQL92 expression.
    Sql(Arc<SqlFilter>),
}

/// Why an expression is no filter.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("the tag expression {expression:?} names no tag; write tags joined by ||, or * for all messages")]
    Tags { expression: String },
    #[error("the SQL92 expression {expression:?} is not understood: {source}")]
    Sql { expression: String, source: sql::SqlError },
    #[error("there are no expressions of type {kind:?}; they are TAG or SQL92")]
    Kind { kind: String },
}

impl Filter {
    /// The filter of an expression; without a type it is one of tags.
    pub(crate) fn parse(kind: &str, expression: &str) -> Result<Self, FilterError> {
        if is_tags(kind) {
            return Self::parse_tags(expression);
        }
        if kind != "SQL92" {
            return Err(FilterError::Kind { kind: kind.to_owned() });
        }
        let refused = |source| FilterError::Sql { expression: expression.to_owned(), source };
        Ok(Self::Sql(Arc::new(SqlFilter::parse(expression).map_err(refused)?)))
    }

    fn parse_tags(expression: &str) -> Result<Self, FilterError> {
        match TagExpression::parse(expression) {
            Ok(TagExpression::All) => Ok(Self::All),
            Ok(TagExpression::Tags(tags)) => {
                Ok(Self::codes(tags.iter().map(|tag| i64::from(gantry_protocol::tag::hash_code(tag)))))
            }
            Err(_) => Err(FilterError::Tags { expression: expression.to_owned() }),
        }
    }

    /// Lets the given tag hashes through.
    pub(crate) fn codes(codes: impl IntoIterator<Item = i64>) -> Self {
        let mut codes: Vec<i64> = codes.into_iter().collect();
        codes.sort_unstable();
        codes.dedup();
        Self::Codes(codes)
    }

    /// Whether a message with this tag hash, 0 for none, may pass: what can be said without its record.
    pub(crate) fn passes_tags(&self, tags: i64) -> bool {
        match self {
            Self::All | Self::Sql(_) => true,
            Self::Codes(codes) => tags == SEVERAL_TAGS || codes.binary_search(&tags).is_ok(),
        }
    }

    /// Whether [`Self::passes_record`] has something to say.
    pub(crate) fn reads_records(&self) -> bool {
        matches!(self, Self::Sql(_))
    }

    /// Whether the message, which its tag hash has let pass, passes.
    pub(crate) fn passes_record(&self, record: &Bytes) -> bool {
        match self {
            Self::All | Self::Codes(_) => true,
            Self::Sql(filter) => MessageExt::decode(record.clone())
                .is_ok_and(|message| filter.matches(&message.properties_str())),
        }
    }
}

/// Whether expressions of this type are tags (RocketMQ: ExpressionType.isTagType).
pub(crate) fn is_tags(kind: &str) -> bool {
    kind.is_empty() || kind.eq_ignore_ascii_case("TAG")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_filters_hash_as_java_does() {
        assert_eq!(Filter::parse("TAG", "TagA || TagB"), Ok(Filter::codes([2_598_919, 2_598_920])));
        assert_eq!(Filter::parse("", "*"), Ok(Filter::All));
        assert!(matches!(Filter::parse("TAG", "||"), Err(FilterError::Tags { .. })));
    }

    #[test]
    fn an_expression_of_another_type_is_refused_with_the_types_there_are() {
        let error = Filter::parse("XPATH", "/a").unwrap_err();
        assert_eq!(error.to_string(), "there are no expressions of type \"XPATH\"; they are TAG or SQL92");
    }
}
