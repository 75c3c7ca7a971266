use std::borrow::Cow;

use gantry_protocol::properties;

/// A message's properties on their way through the broker: in their order, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Properties<'a> {
    /// Reads the stored form; of a name that comes twice the last value stays, as in Java's map.
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut properties = Self { pairs: Vec::with_capacity(12) };
        for (name, value) in properties::parse(text) {
            properties.set(Cow::Borrowed(name), Cow::Borrowed(value));
        }
        properties
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    /// The value as a number; text that is none counts as absent.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.trim().parse().ok()
    }

    pub(crate) fn put(&mut self, name: &'a str, value: impl Into<Cow<'a, str>>) {
        self.set(Cow::Borrowed(name), value.into());
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.pairs.retain(|(known, _)| known != name);
    }

    /// The stored form.
    pub(crate) fn encode(&self) -> String {
        let length = self.pairs.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let mut text = String::with_capacity(length);
        self.pairs.iter().for_each(|(name, value)| properties::push(&mut text, name, value));
        text
    }

    fn set(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        match self.pairs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => self.pairs.push((name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_keep_order_and_the_last_value() {
        let mut properties = Properties::parse("a\u{1}1\u{2}b\u{1}2\u{2}a\u{1}3");
        properties.put("c", "4");
        properties.remove("b");
        assert_eq!(properties.encode(), "a\u{1}3\u{2}c\u{1}4\u{2}");
        assert_eq!(properties.number("a"), Some(3));
        assert_eq!(properties.number("d"), None);
    }
}
