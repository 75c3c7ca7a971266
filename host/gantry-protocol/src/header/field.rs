use std::fmt;

use crate::ExtFields;
use crate::decimal::Decimal;

/// A header that lacks a field or has one of the wrong type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A field that must be there is not.
    #[error("the header lacks the field {field:?}")]
    Missing {
        /// The field's name on the wire.
        field: &'static str,
    },
    /// A field's text is not of its type.
    #[error("header field {field:?} is {value:?}, which is not {expected}")]
    Invalid {
        /// The field's name on the wire.
        field: &'static str,
        /// Its text, shortened.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
}

/// A typed view of a command's ext fields (RocketMQ: CommandCustomHeader).
pub trait CommandHeader: Sized {
    /// Writes the fields; one that is there already is replaced.
    fn encode_fields(&self, fields: &mut ExtFields);

    /// Reads the fields.
    ///
    /// # Errors
    /// A required field is absent, or a field's text is not of its type.
    fn decode_fields(fields: &ExtFields) -> Result<Self, HeaderError>;
}

/// A type that one header field can have. Every value is text on the wire.
pub trait HeaderField: Sized {
    /// Writes the field, or nothing when it is absent.
    fn put(&self, name: &'static str, fields: &mut ExtFields);

    /// Reads the field.
    ///
    /// # Errors
    /// The field is required and absent, or its text is not of this type.
    fn take(name: &'static str, fields: &ExtFields) -> Result<Self, HeaderError>;
}

/// What a present field's text is parsed into.
pub(crate) trait FieldText: Sized + fmt::Display {
    const EXPECTED: &'static str;

    /// Whether empty text stands for no value, which is how binary headers write null.
    const EMPTY_IS_ABSENT: bool = true;

    /// Writes the field, by what is cheapest for the type.
    fn put_text(&self, name: &'static str, fields: &mut ExtFields) {
        fields.insert(name, self);
    }

    fn parse_text(text: &str) -> Option<Self>;
}

impl FieldText for String {
    const EXPECTED: &'static str = "text";
    const EMPTY_IS_ABSENT: bool = false;

    fn put_text(&self, name: &'static str, fields: &mut ExtFields) {
        fields.put(name, |text| text.push_str(self));
    }

    fn parse_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl FieldText for i32 {
    const EXPECTED: &'static str = "an integer of 32 bits";

    fn put_text(&self, name: &'static str, fields: &mut ExtFields) {
        fields.put(name, |text| text.push_str(Decimal::of(i64::from(*self)).as_str()));
    }

    fn parse_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FieldText for i64 {
    const EXPECTED: &'static str = "an integer of 64 bits";

    fn put_text(&self, name: &'static str, fields: &mut ExtFields) {
        fields.put(name, |text| text.push_str(Decimal::of(*self).as_str()));
    }

    fn parse_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FieldText for bool {
    const EXPECTED: &'static str = "true or false";

    fn parse_text(text: &str) -> Option<Self> {
        // As Java's Boolean.parseBoolean, which takes any case; but other text is an error here, not false.
        if text.eq_ignore_ascii_case("true") {
            Some(true)
        } else if text.eq_ignore_ascii_case("false") {
            Some(false)
        } else {
            None
        }
    }
}

fn parse<T: FieldText>(field: &'static str, text: &str) -> Result<T, HeaderError> {
    T::parse_text(text).ok_or_else(|| HeaderError::Invalid {
        field,
        value: text.chars().take(64).collect(),
        expected: T::EXPECTED,
    })
}

impl<T: FieldText> HeaderField for T {
    fn put(&self, name: &'static str, fields: &mut ExtFields) {
        self.put_text(name, fields);
    }

    fn take(name: &'static str, fields: &ExtFields) -> Result<Self, HeaderError> {
        match fields.get(name) {
            Some(text) => parse(name, text),
            None => Err(HeaderError::Missing { field: name }),
        }
    }
}

impl<T: FieldText> HeaderField for Option<T> {
    fn put(&self, name: &'static str, fields: &mut ExtFields) {
        if let Some(value) = self {
            value.put_text(name, fields);
        }
    }

    fn take(name: &'static str, fields: &ExtFields) -> Result<Self, HeaderError> {
        match fields.get(name) {
            Some("") if T::EMPTY_IS_ABSENT => Ok(None),
            Some(text) => parse(name, text).map(Some),
            None => Ok(None),
        }
    }
}

/// Which of several equal timestamps an offset search means (RocketMQ: BoundaryType).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoundaryType {
    /// The first message at or after the time: what Java sends.
    #[default]
    Lower,
    /// The last message at or before the time.
    Upper,
}

impl fmt::Display for BoundaryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lower => "LOWER",
            Self::Upper => "UPPER",
        })
    }
}

impl FieldText for BoundaryType {
    const EXPECTED: &'static str = "LOWER or UPPER";

    fn parse_text(text: &str) -> Option<Self> {
        match text {
            text if text.eq_ignore_ascii_case("LOWER") => Some(Self::Lower),
            text if text.eq_ignore_ascii_case("UPPER") => Some(Self::Upper),
            _ => None,
        }
    }
}

/// Declares a header: its fields, their names on the wire, and the default of an absent required field, if any.
macro_rules! command_header {
    ($(
        $(#[$doc:meta])*
        $name:ident {
            $( $(#[$field_doc:meta])* $field:ident: $type:ty = $wire:literal $(or $default:expr)?, )*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
        }

        impl $crate::CommandHeader for $name {
            fn encode_fields(&self, fields: &mut $crate::ExtFields) {
                $( $crate::header::HeaderField::put(&self.$field, $wire, fields); )*
            }

            fn decode_fields(fields: &$crate::ExtFields) -> Result<Self, $crate::HeaderError> {
                Ok(Self { $( $field: command_header!(@take fields, $wire $(, $default)?), )* })
            }
        }
    )*};
    (@take $fields:ident, $wire:literal) => { $crate::header::HeaderField::take($wire, $fields)? };
    (@take $fields:ident, $wire:literal, $default:expr) => {
        <Option<_> as $crate::header::HeaderField>::take($wire, $fields)?.unwrap_or($default)
    };
}
