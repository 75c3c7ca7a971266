use std::fmt;

use super::expression::{Comparison, Constant, Expression, Order, Place};
use super::token::{self, Placed, Token};

/// Longest expression, in bytes.
const MAX_LENGTH: usize = 32 * 1024;
/// Deepest nesting of parentheses, NOT and signs.
const MAX_NESTING: usize = 100;

/// Why a text is no SQL92 expression of RocketMQ. Columns count characters from 1.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum SqlError {
    #[error("it has {length} bytes; at most {MAX_LENGTH} are read")]
    TooLong { length: usize },
    #[error("it is nested deeper than {MAX_NESTING} at column {column}")]
    TooDeep { column: usize },
    #[error(
        "nothing begins with {character:?} at column {column}; there are names of letters, digits, _ and $, numbers, 'text', \
         = <> > >= < <= + - ( ) and ,"
    )]
    Unreadable { character: char, column: usize },
    #[error(
        "the text that begins at column {column} does not end; close it with ', and write '' for a quote inside"
    )]
    EndlessText { column: usize },
    #[error("{expected} is expected at column {column}, not {found}")]
    Unexpected { expected: &'static str, found: String, column: usize },
    #[error(
        "it should end before {found} at column {column}; RocketMQ has AND, OR, NOT, comparisons, BETWEEN, IN, IS NULL, CONTAINS, \
         STARTSWITH and ENDSWITH, but no LIKE and no arithmetic, and a number does not begin with 0"
    )]
    Trailing { found: String, column: usize },
    #[error(
        "the number {text} at column {column} is out of bounds: whole ones have 64 bits, others lie above 0 and below 1.8e308"
    )]
    Number { text: String, column: usize },
    #[error("what stands before column {column} is neither true nor false; compare it with something")]
    NotATruth { column: usize },
    #[error(
        "what stands before column {column} has no order; only numbers and properties are greater or less"
    )]
    NoOrder { column: usize },
    #[error("what stands before column {column} cannot be equal; for NULL there is IS NULL")]
    NoEquality { column: usize },
    #[error("BETWEEN has its bounds the wrong way round before column {column}; the smaller one comes first")]
    Reversed { column: usize },
    #[error("IN at column {column} needs a property before it")]
    InWithoutProperty { column: usize },
}

/// Reads a whole expression, which is true or false by its form.
pub(super) fn parse(text: &str) -> Result<Expression, SqlError> {
    if text.len() > MAX_LENGTH {
        return Err(SqlError::TooLong { length: text.len() });
    }
    let mut parser = Parser { text, tokens: token::tokens(text)?, next: 0, nesting: 0 };
    let expression = parser.or()?;
    let whole = parser.truth(expression)?;
    match parser.peek() {
        Token::End => Ok(whole),
        found => Err(SqlError::Trailing { found: found.to_string(), column: parser.column() }),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed<'a>>,
    next: usize,
    nesting: usize,
}

impl<'a> Parser<'a> {
    fn or(&mut self) -> Result<Expression, SqlError> {
        self.joined("OR", Self::and, Expression::Or)
    }

    fn and(&mut self) -> Result<Expression, SqlError> {
        self.joined("AND", Self::equality, Expression::And)
    }

    /// Parts with a word between them, or the one part that stands alone.
    fn joined(
        &mut self,
        word: &'static str,
        part: fn(&mut Self) -> Result<Expression, SqlError>,
        whole: fn(Vec<Expression>) -> Expression,
    ) -> Result<Expression, SqlError> {
        let first = part(self)?;
        if *self.peek() != Token::Keyword(word) {
            return Ok(first);
        }
        let mut parts = vec![self.truth(first)?];
        while self.takes(&Token::Keyword(word)) {
            let next = part(self)?;
            parts.push(self.truth(next)?);
        }
        Ok(whole(parts))
    }

    fn equality(&mut self) -> Result<Expression, SqlError> {
        let mut left = self.comparison()?;
        loop {
            let comparison = match self.peek() {
                Token::Symbol("=") => self.equal(&left, false)?,
                Token::Symbol("<>") => self.equal(&left, true)?,
                Token::Keyword("IS") => {
                    self.next += 1;
                    let not = self.takes(&Token::Keyword("NOT"));
                    self.expect(&Token::Keyword("NULL"), "NULL")?;
                    Comparison::Null { not }
                }
                _ => return Ok(left),
            };
            left = compared(left, comparison);
        }
    }

    fn equal(&mut self, left: &Expression, not: bool) -> Result<Comparison, SqlError> {
        let column = self.column();
        self.next += 1;
        let to = self.comparison()?;
        let odd = match (left, &to) {
            (Expression::Constant(Constant::Null), _) | (_, Expression::Constant(Constant::Null)) => true,
            (Expression::Constant(left), Expression::Constant(right)) => {
                matches!(left, Constant::Boolean(_)) && !matches!(right, Constant::Boolean(_))
            }
            _ => false,
        };
        if odd { Err(SqlError::NoEquality { column }) } else { Ok(Comparison::Equal { not, to }) }
    }

    fn comparison(&mut self) -> Result<Expression, SqlError> {
        let mut left = self.unary()?;
        loop {
            let order = match self.peek() {
                Token::Symbol(">") => Some(Order::Greater),
                Token::Symbol(">=") => Some(Order::GreaterOrEqual),
                Token::Symbol("<") => Some(Order::Less),
                Token::Symbol("<=") => Some(Order::LessOrEqual),
                Token::Keyword("NOT" | "BETWEEN" | "IN" | "CONTAINS" | "STARTSWITH" | "ENDSWITH") => None,
                _ => return Ok(left),
            };
            left = match order {
                Some(order) => {
                    self.has_order(&left)?;
                    self.next += 1;
                    let to = self.ordered()?;
                    compared(left, Comparison::Ordered { order, to })
                }
                None => self.worded(left)?,
            };
        }
    }

    /// A comparison by a word, before which NOT may stand.
    fn worded(&mut self, left: Expression) -> Result<Expression, SqlError> {
        const WORDS: &str = "BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH";
        let not = self.takes(&Token::Keyword("NOT"));
        let place = match self.peek() {
            Token::Keyword("BETWEEN") => return self.between(left, not),
            Token::Keyword("IN") => return self.within(left, not),
            Token::Keyword("CONTAINS") => Place::Anywhere,
            Token::Keyword("STARTSWITH") => Place::Start,
            Token::Keyword("ENDSWITH") => Place::End,
            _ => return Err(self.unexpected(WORDS)),
        };
        self.next += 1;
        let text = self.quoted()?;
        // An empty text is found nowhere, whatever it is looked for in.
        let left = if text.is_empty() { Expression::Constant(Constant::Null) } else { left };
        Ok(compared(left, Comparison::Search { not, place, text }))
    }

    fn between(&mut self, left: Expression, not: bool) -> Result<Expression, SqlError> {
        self.has_order(&left)?;
        self.next += 1;
        let low = self.ordered()?;
        self.expect(&Token::Keyword("AND"), "AND and the upper bound")?;
        let high = self.ordered()?;
        if let (false, Expression::Constant(low), Expression::Constant(high)) = (not, &low, &high)
            && low.value().order(high.value()).is_ok_and(std::cmp::Ordering::is_gt)
        {
            return Err(SqlError::Reversed { column: self.column() });
        }
        Ok(compared(left, Comparison::Between { not, low, high }))
    }

    fn within(&mut self, left: Expression, not: bool) -> Result<Expression, SqlError> {
        if !matches!(left, Expression::Property(_)) {
            return Err(SqlError::InWithoutProperty { column: self.column() });
        }
        self.next += 1;
        self.expect(&Token::Symbol("("), "(")?;
        let mut texts = vec![self.quoted()?];
        while self.takes(&Token::Symbol(",")) {
            texts.push(self.quoted()?);
        }
        self.expect(&Token::Symbol(")"), ", or )")?;
        Ok(compared(left, Comparison::In { not, texts }))
    }

    /// A value that has an order.
    fn ordered(&mut self) -> Result<Expression, SqlError> {
        let value = self.unary()?;
        self.has_order(&value)?;
        Ok(value)
    }

    fn has_order(&self, value: &Expression) -> Result<(), SqlError> {
        let text = matches!(value, Expression::Constant(Constant::Text(_)));
        if text || value.is_truth() { Err(SqlError::NoOrder { column: self.column() }) } else { Ok(()) }
    }

    fn unary(&mut self) -> Result<Expression, SqlError> {
        if self.nesting >= MAX_NESTING {
            return Err(SqlError::TooDeep { column: self.column() });
        }
        self.nesting += 1;
        let value = match self.peek() {
            Token::Symbol("+") => {
                self.next += 1;
                self.unary()?
            }
            Token::Symbol("-") => {
                self.next += 1;
                Expression::Negated(Box::new(self.unary()?))
            }
            Token::Keyword("NOT") => {
                self.next += 1;
                let value = self.unary()?;
                Expression::Not(Box::new(self.truth(value)?))
            }
            _ => self.primary()?,
        };
        self.nesting -= 1;
        Ok(value)
    }

    fn primary(&mut self) -> Result<Expression, SqlError> {
        let constant = match self.peek() {
            Token::Name(name) => {
                let property = Expression::Property((*name).to_owned());
                self.next += 1;
                return Ok(property);
            }
            Token::Symbol("(") => {
                self.next += 1;
                let inside = self.or()?;
                self.expect(&Token::Symbol(")"), ")")?;
                return Ok(inside);
            }
            Token::Text(text) => Constant::Text(text.clone()),
            Token::Integer(text) => integer(text).ok_or_else(|| self.out_of_bounds(text))?,
            Token::Decimal(text) => decimal(text).ok_or_else(|| self.out_of_bounds(text))?,
            Token::Keyword("TRUE") => Constant::Boolean(true),
            Token::Keyword("FALSE") => Constant::Boolean(false),
            Token::Keyword("NULL") => Constant::Null,
            _ => return Err(self.unexpected("a property or a constant")),
        };
        self.next += 1;
        Ok(Expression::Constant(constant))
    }

    fn quoted(&mut self) -> Result<String, SqlError> {
        let Token::Text(text) = self.peek() else { return Err(self.unexpected("a text in quotes")) };
        let text = text.clone();
        self.next += 1;
        Ok(text)
    }

    /// The expression as a truth, which a property may stand for.
    fn truth(&self, expression: Expression) -> Result<Expression, SqlError> {
        match expression {
            Expression::Property(name) => Ok(Expression::Truth(name)),
            truth if truth.is_truth() => Ok(truth),
            _ => Err(SqlError::NotATruth { column: self.column() }),
        }
    }

    fn peek(&self) -> &Token<'a> {
        self.tokens.get(self.next).map_or(&Token::End, |(_, token)| token)
    }

    fn takes(&mut self, token: &Token<'_>) -> bool {
        let found = self.peek() == token;
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token<'_>, expected: &'static str) -> Result<(), SqlError> {
        if self.takes(token) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn unexpected(&self, expected: &'static str) -> SqlError {
        SqlError::Unexpected { expected, found: self.peek().to_string(), column: self.column() }
    }

    fn out_of_bounds(&self, text: &str) -> SqlError {
        SqlError::Number { text: text.to_owned(), column: self.column() }
    }

    fn column(&self) -> usize {
        let at = self.tokens.get(self.next).map_or(self.text.len(), |(at, _)| *at);
        token::column(self.text, at)
    }
}

/// Adds a comparison to what is compared already, so that a long chain is no deep tree.
fn compared(left: Expression, comparison: Comparison) -> Expression {
    match left {
        Expression::Compared(first, mut comparisons) => {
            comparisons.push(comparison);
            Expression::Compared(first, comparisons)
        }
        first => Expression::Compared(Box::new(first), vec![comparison]),
    }
}

fn integer(text: &str) -> Option<Constant> {
    let number: i64 = text.trim_end_matches(['l', 'L']).parse().ok()?;
    Some(i32::try_from(number).map_or(Constant::Long(number), Constant::Integer))
}

/// Java's smallest double is the smallest constant, so 0.0 is none.
fn decimal(text: &str) -> Option<Constant> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && number > 0.0).then_some(Constant::Double(number))
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyword(text) | Self::Symbol(text) => f.write_str(text),
            Self::Name(text) | Self::Integer(text) | Self::Decimal(text) => f.write_str(text),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::End => f.write_str("the end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let cases = [
            ("a >", "a property or a constant is expected at column 4, not the end"),
            ("a = 1 OR AND b", "a property or a constant is expected at column 10, not AND"),
            ("a IN (5)", "a text in quotes is expected at column 7, not 5"),
            ("a IS 5", "NULL is expected at column 6, not 5"),
            ("a NOT 'x'", "BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH is expected at column 7, not 'x'"),
            ("5", "what stands before column 2 is neither true nor false; compare it with something"),
            (
                "a > 'x'",
                "what stands before column 8 has no order; only numbers and properties are greater or less",
            ),
            ("a = NULL", "what stands before column 3 cannot be equal; for NULL there is IS NULL"),
            (
                "a BETWEEN 2 AND 1",
                "BETWEEN has its bounds the wrong way round before column 18; the smaller one comes first",
            ),
            ("5 IN ('a')", "IN at column 3 needs a property before it"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_rocketmq_does_not_have_is_refused_by_name() {
        for text in ["s LIKE 'r%'", "a + 5 > 6", "a = 007", "(a = 5) b"] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, SqlError::Trailing { .. }), "{text}: {error}");
        }
        assert!(
            parse("s LIKE 'r%'").unwrap_err().to_string().contains("before LIKE at column 3; RocketMQ has")
        );
    }

    #[test]
    fn length_and_nesting_have_bounds_but_chains_do_not_nest() {
        let long = format!("a = '{}'", "x".repeat(MAX_LENGTH));
        assert!(matches!(parse(&long), Err(SqlError::TooLong { .. })));
        let nested = |depth: usize| format!("{}a = 5{}", "(".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(MAX_NESTING - 1)).is_ok());
        assert_eq!(parse(&nested(MAX_NESTING)), Err(SqlError::TooDeep { column: MAX_NESTING + 1 }));
        assert!(matches!(parse(&"-".repeat(10_000)), Err(SqlError::TooDeep { .. })));
        assert!(matches!(parse(&"NOT ".repeat(8_000)), Err(SqlError::TooDeep { .. })));
        for chain in [" IS NULL".repeat(4_000), " = 5".repeat(8_000), " OR a".repeat(6_000)] {
            assert!(parse(&format!("a{chain}")).is_ok());
        }
    }
}
