//! What stands between an attribute's brackets: `name = "orders"`, `batch = 32`, `orderly`.

use std::ops::RangeInclusive;

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, Lit, LitInt, LitStr, Result, Token};

/// One argument.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    value: Option<Lit>,
}

/// All of them, in their order.
pub(crate) struct Arguments(Punctuated<Argument, Token![,]>);

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        let value = input.parse::<Option<Token![=]>>()?.map(|_| input.parse()).transpose()?;
        Ok(Self { name, value })
    }
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Punctuated::parse_terminated(input).map(Self)
    }
}

impl Arguments {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Argument> {
        self.0.iter()
    }
}

impl Argument {
    /// Its value, a text.
    pub(crate) fn text(&self) -> Result<&LitStr> {
        match &self.value {
            Some(Lit::Str(text)) => Ok(text),
            _ => Err(self.wrong("a text, such as", "\"...\"")),
        }
    }

    /// Its value, a number within bounds.
    pub(crate) fn number(&self, bounds: RangeInclusive<u64>) -> Result<&LitInt> {
        let (least, most) = (bounds.start(), bounds.end());
        let bounded = || format!("a number from {least} to {most}, such as");
        match &self.value {
            Some(Lit::Int(number)) => match number.base10_parse::<u64>() {
                Ok(value) if bounds.contains(&value) => Ok(number),
                _ => Err(Error::new(
                    number.span(),
                    format!("`{}` is {}", self.name, self.means(&bounded(), &least.to_string())),
                )),
            },
            _ => Err(self.wrong(&bounded(), &least.to_string())),
        }
    }

    /// Checks that it has no value.
    pub(crate) fn flag(&self) -> Result<()> {
        match &self.value {
            None => Ok(()),
            Some(value) => {
                Err(Error::new(value.span(), format!("`{0}` stands for itself: write `{0}`", self.name)))
            }
        }
    }

    /// Its value where it is a number, for an argument that may be either.
    pub(crate) fn as_number(&self) -> Option<&LitInt> {
        match &self.value {
            Some(Lit::Int(number)) => Some(number),
            _ => None,
        }
    }

    /// An error at its value, or at its name where it has none.
    pub(crate) fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(self.value.as_ref().map_or_else(|| self.name.span(), Lit::span), what)
    }

    fn wrong(&self, kind: &str, example: &str) -> Error {
        self.error(format!("`{}` is {}", self.name, self.means(kind, example)))
    }

    fn means(&self, kind: &str, example: &str) -> String {
        format!("{kind} `{} = {example}`", self.name)
    }
}

/// What is given once is given once.
pub(crate) fn once<T>(place: &mut Option<T>, argument: &Argument, value: T) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(argument.name.span(), format!("`{}` is given twice", argument.name))),
    }
}

/// An argument that there is not.
pub(crate) fn unknown(argument: &Argument, known: &[&str]) -> Error {
    let known = known.join(", ");
    Error::new(argument.name.span(), format!("there is no `{}`; the arguments are {known}", argument.name))
}
