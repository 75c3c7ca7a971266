use std::cmp::Ordering;

use super::value::{Incomparable, Value};

/// An expression over properties.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Constant(Constant),
    Property(String),
    /// `-x`.
    Negated(Box<Expression>),
    /// A property where a truth is needed: RocketMQ takes no text for one, so it is false, or NULL when absent.
    Truth(String),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    /// Comparisons one after the other, each of what the ones before it came to.
    Compared(Box<Expression>, Vec<Comparison>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Null,
    Boolean(bool),
    Integer(i32),
    Long(i64),
    Double(f64),
    Text(String),
}

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Comparison {
    Equal { not: bool, to: Expression },
    Null { not: bool },
    Ordered { order: Order, to: Expression },
    Between { not: bool, low: Expression, high: Expression },
    In { not: bool, texts: Vec<String> },
    Search { not: bool, place: Place, text: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Where in a property a text is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
}

/// Gives a property's value.
pub(super) type Properties<'a> = dyn Fn(&str) -> Option<&'a str> + 'a;

type Evaluated<'a> = Result<Value<'a>, Incomparable>;

impl Expression {
    /// The value on a message; an error when its properties cannot be compared as the expression asks.
    pub(super) fn evaluate<'a>(&'a self, properties: &Properties<'a>) -> Evaluated<'a> {
        match self {
            Self::Constant(constant) => Ok(constant.value()),
            Self::Property(name) => Ok(properties(name).map_or(Value::Null, Value::Text)),
            Self::Negated(of) => Ok(of.evaluate(properties)?.negated()),
            Self::Truth(name) => Ok(properties(name).map_or(Value::Null, |_| Value::Boolean(false))),
            Self::Not(of) => Ok(not(of.evaluate(properties)?)),
            Self::And(all) => join(all.iter().map(|of| of.evaluate(properties)), false),
            Self::Or(any) => join(any.iter().map(|of| of.evaluate(properties)), true),
            Self::Compared(first, comparisons) => {
                let first = first.evaluate(properties)?;
                comparisons.iter().try_fold(first, |value, comparison| comparison.apply(value, properties))
            }
        }
    }

    /// Whether it is a truth by its form (RocketMQ: BooleanExpression).
    pub(super) fn is_truth(&self) -> bool {
        match self {
            Self::Constant(constant) => matches!(constant, Constant::Null | Constant::Boolean(_)),
            Self::Property(_) | Self::Negated(_) => false,
            Self::Truth(_) | Self::Not(_) | Self::And(_) | Self::Or(_) | Self::Compared(..) => true,
        }
    }
}

impl Constant {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(truth) => Value::Boolean(*truth),
            Self::Integer(number) => Value::Integer(*number),
            Self::Long(number) => Value::Long(*number),
            Self::Double(number) => Value::Double(*number),
            Self::Text(text) => Value::Text(text),
        }
    }
}

impl Comparison {
    fn apply<'a>(&'a self, value: Value<'a>, properties: &Properties<'a>) -> Evaluated<'a> {
        match self {
            Self::Equal { not: is_not, to } => {
                let equal = value.equals(to.evaluate(properties)?)?;
                Ok(if *is_not { not(equal) } else { equal })
            }
            Self::Null { not } => Ok(Value::Boolean(value.is_null() != *not)),
            Self::Ordered { order, to } => order.of(value, to, properties),
            Self::Between { not: false, low, high } => {
                let within = [(Order::GreaterOrEqual, low), (Order::LessOrEqual, high)];
                join(within.into_iter().map(|(order, to)| order.of(value, to, properties)), false)
            }
            Self::Between { not: true, low, high } => {
                let outside = [(Order::Less, low), (Order::Greater, high)];
                join(outside.into_iter().map(|(order, to)| order.of(value, to, properties)), true)
            }
            Self::In { not, texts } => Ok(match value {
                Value::Text(value) => Value::Boolean(texts.iter().any(|text| text == value) != *not),
                _ => Value::Null,
            }),
            Self::Search { not, place, text } => Ok(Value::Boolean(match value {
                // An empty text is found nowhere, and its NOT is not true either.
                Value::Text(value) if !text.is_empty() => place.has(value, text) != *not,
                _ => false,
            })),
        }
    }
}

impl Order {
    /// Compares; what is compared with is not looked at when the value is NULL.
    fn of<'a>(self, value: Value<'a>, to: &'a Expression, properties: &Properties<'a>) -> Evaluated<'a> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        let to = to.evaluate(properties)?;
        if to.is_null() {
            return Ok(Value::Null);
        }
        Ok(Value::Boolean(self.holds(value.order(to)?)))
    }

    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Place {
    fn has(self, value: &str, text: &str) -> bool {
        match self {
            Self::Anywhere => value.contains(text),
            Self::Start => value.starts_with(text),
            Self::End => value.ends_with(text),
        }
    }
}

fn not(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Boolean(truth) => Value::Boolean(!truth),
        other => other,
    }
}

/// AND, which one false decides, or OR, which one true decides; undecided and with a NULL it is NULL.
fn join<'a>(values: impl Iterator<Item = Evaluated<'a>>, deciding: bool) -> Evaluated<'a> {
    let mut null = false;
    for value in values {
        match value? {
            Value::Boolean(truth) if truth == deciding => return Ok(Value::Boolean(deciding)),
            Value::Boolean(_) => {}
            _ => null = true,
        }
    }
    Ok(if null { Value::Null } else { Value::Boolean(!deciding) })
}
