//! SQL92 filters: expressions over a message's properties (RocketMQ: rocketmq-filter, ExpressionType.SQL92).
//!
//! The grammar is RocketMQ's own, not SQL's: NOT binds tighter than comparisons, comparisons chain, and every word
//! that is not one of a dozen is a property. What evaluates to NULL, or cannot be evaluated because a property is
//! no number where one is needed, does not match. Two things differ: an expression must end where it ends, while
//! RocketMQ ignores in silence what follows (`a > 5 LIKE 'x'`), and hexadecimal numbers in properties are none.

mod expression;
mod parser;
mod token;
mod value;

use gantry_protocol::properties;

use expression::Expression;
pub(crate) use parser::SqlError;
use value::Value;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SqlFilter {
    expression: Expression,
}

impl SqlFilter {
    /// Reads an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, SqlError> {
        Ok(Self { expression: parser::parse(text)? })
    }

    /// Whether a message with these properties, in their stored form, passes.
    pub(crate) fn matches(&self, properties: &str) -> bool {
        let value = self.expression.evaluate(&|name| properties::get(properties, name));
        matches!(value, Ok(Value::Boolean(true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of Java's classes; the file says how it was made.
    const JAVA: &str = include_str!("../../../tests/filter/java.txt");

    fn unescaped(text: &str) -> String {
        let mut characters = text.chars();
        let mut whole = String::new();
        while let Some(character) = characters.next() {
            whole.push(match character {
                '\\' => match characters.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'f' => '\u{c}',
                    'v' => '\u{b}',
                    other => other,
                },
                other => other,
            });
        }
        whole
    }

    fn messages() -> Vec<String> {
        let lines = JAVA.lines().filter_map(|line| line.strip_prefix('?'));
        let pairs = |line: &str| {
            line.split(';')
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| format!("{name}\u{1}{value}\u{2}"))
                .collect()
        };
        lines.map(pairs).collect()
    }

    fn cases() -> Vec<(&'static str, String)> {
        let lines = JAVA.lines().filter(|line| !line.starts_with(['#', '?']));
        lines
            .map(|line| line.split_once(" | ").unwrap())
            .map(|(answer, text)| (answer, unescaped(text)))
            .collect()
    }

    fn letter(filter: &SqlFilter, message: &str) -> char {
        match filter.expression.evaluate(&|name| properties::get(message, name)) {
            Ok(Value::Boolean(true)) => 't',
            Ok(Value::Boolean(false)) => 'f',
            Ok(Value::Null) => 'n',
            Ok(other) => panic!("{other:?} is no truth"),
            Err(_) => 'e',
        }
    }

    #[test]
    fn every_answer_is_javas() {
        let messages = messages();
        for (expected, text) in cases() {
            let parsed = SqlFilter::parse(&text);
            if matches!(expected, "refused" | "cut") {
                assert!(parsed.is_err(), "{text:?} is {expected} by Java, and here {parsed:?}");
                continue;
            }
            let filter = parsed.unwrap_or_else(|error| panic!("{text:?} is refused: {error}"));
            let answer: String = messages.iter().map(|message| letter(&filter, message)).collect();
            assert_eq!(answer, expected, "{text:?} on {messages:?}");
            for (message, letter) in messages.iter().zip(expected.chars()) {
                assert_eq!(filter.matches(message), letter == 't', "{text:?} on {message:?}");
            }
        }
    }

    #[test]
    fn the_answers_cover_every_outcome() {
        let count = |letter| cases().iter().map(|(answer, _)| answer.matches(letter).count()).sum::<usize>();
        assert!(cases().len() > 1200 && messages().len() > 30);
        for letter in ['t', 'f', 'n', 'e'] {
            assert!(count(letter) > 1000, "{letter}: {}", count(letter));
        }
        for kind in ["refused", "cut"] {
            assert!(cases().iter().filter(|(answer, _)| *answer == kind).count() > 20, "{kind}");
        }
    }
}
