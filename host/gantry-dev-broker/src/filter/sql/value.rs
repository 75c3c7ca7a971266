use std::cmp::Ordering;

/// What an expression evaluates to: RocketMQ's Java classes, which decide how values compare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// A property the message does not have, and what follows from it.
    Null,
    Boolean(bool),
    /// Java's Integer: a whole constant that fits it.
    Integer(i32),
    /// Java's Long.
    Long(i64),
    /// Java's Double.
    Double(f64),
    /// Every property is text, whatever it looks like.
    Text(&'a str),
}

/// Two values that cannot be compared: a message on which that happens does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incomparable;

impl Value<'_> {
    pub(super) fn is_null(self) -> bool {
        self == Self::Null
    }

    /// The number with the other sign; what is no number has none.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Integer(number) => Self::Integer(number.wrapping_neg()),
            Self::Long(number) => Self::Long(number.wrapping_neg()),
            Self::Double(number) => Self::Double(-number),
            Self::Null | Self::Boolean(_) | Self::Text(_) => Self::Null,
        }
    }

    /// Whether two values are equal, of which NULL on the left is equal to NULL only.
    pub(super) fn equals(self, other: Self) -> Result<Value<'static>, Incomparable> {
        match (self, other) {
            (Self::Null, Self::Null) => Ok(Value::Boolean(true)),
            (Self::Null, _) => Ok(Value::Null),
            (_, Self::Null) => Ok(Value::Boolean(false)),
            _ => Ok(Value::Boolean(self.compare(other)? == Ordering::Equal)),
        }
    }

    /// How two values that are not NULL stand to each other when an order is asked for: two texts as numbers.
    pub(super) fn order(self, other: Self) -> Result<Ordering, Incomparable> {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => Ok(double(left)?.total_cmp(&double(right)?)),
            _ => self.compare(other),
        }
    }

    /// RocketMQ's comparison of two values that are not NULL: text becomes what the other one is, and a truth and a
    /// number stand to each other as smaller and larger.
    fn compare(self, other: Self) -> Result<Ordering, Incomparable> {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => Ok(left.cmp(right)),
            (Self::Text(left), _) => read_as(left, other)?.compare(other),
            // Java's class casts the wrong one of the two here, and fails.
            (Self::Boolean(_), Self::Text(_)) => Err(Incomparable),
            (_, Self::Text(right)) => self.compare(read_as(right, self)?),
            (Self::Boolean(left), Self::Boolean(right)) => Ok(left.cmp(&right)),
            _ => Ok(compare_numbers(self, other).unwrap_or(Ordering::Less)),
        }
    }

    fn whole(self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(i64::from(number)),
            Self::Long(number) => Some(number),
            _ => None,
        }
    }

    fn double(self) -> Option<f64> {
        match self {
            Self::Double(number) => Some(number),
            Self::Integer(number) => Some(f64::from(number)),
            #[expect(clippy::cast_precision_loss, reason = "Java's conversion rounds likewise")]
            Self::Long(number) => Some(number as f64),
            _ => None,
        }
    }
}

fn compare_numbers(left: Value<'_>, right: Value<'_>) -> Option<Ordering> {
    match (left.whole(), right.whole()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => Some(left.double()?.total_cmp(&right.double()?)),
    }
}

/// Reads text as a value of the kind of `model`, which is not NULL.
fn read_as<'a>(text: &'a str, model: Value<'_>) -> Result<Value<'a>, Incomparable> {
    match model {
        Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| Incomparable),
        Value::Long(_) => text.parse().map(Value::Long).map_err(|_| Incomparable),
        Value::Double(_) => double(text).map(Value::Double),
        Value::Boolean(_) => Ok(Value::Boolean(text.eq_ignore_ascii_case("true"))),
        Value::Null | Value::Text(_) => Ok(Value::Text(text)),
    }
}

/// Reads a number as Java's Double.valueOf does, hexadecimal ones excepted.
fn double(text: &str) -> Result<f64, Incomparable> {
    let text = text.trim_matches(|character: char| character <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    match unsigned {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => return Ok(sign * f64::INFINITY),
        _ => {}
    }
    let digits = unsigned.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(unsigned);
    let begins = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    // Rust reads words such as inf, which Java does not.
    let known =
        |character: char| character.is_ascii_digit() || matches!(character, '.' | 'e' | 'E' | '+' | '-');
    if !begins || !digits.chars().all(known) {
        return Err(Incomparable);
    }
    digits.parse::<f64>().map(|number| sign * number).map_err(|_| Incomparable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_javas_double_reads_them() {
        let cases = [
            ("5", 5.0),
            (" -5.5\t", -5.5),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E-3f", 0.001),
            ("5D", 5.0),
            ("-Infinity", f64::NEG_INFINITY),
        ];
        for (text, number) in cases {
            assert_eq!(double(text), Ok(number), "{text:?}");
        }
        assert!(double("NaN").unwrap().is_nan());
        for text in
            ["", " ", "abc", "inf", "nan", "infinity", "1_000", "0x10", "1e", "e5", "5dd", "--5", "+", "."]
        {
            assert_eq!(double(text), Err(Incomparable), "{text:?}");
        }
    }
}
