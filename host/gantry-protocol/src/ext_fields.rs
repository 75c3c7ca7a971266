use std::fmt::{self, Write as _};

/// The ext fields of a command: a small ordered map of text to text (RocketMQ: extFields).
///
/// Keys and values live in one string, so a header of any number of fields costs two allocations. Order is the
/// order of insertion and is kept on the wire; two maps are equal when they hold the same pairs in any order.
#[derive(Clone, Default)]
pub struct ExtFields {
    text: String,
    spans: Vec<FieldSpan>,
}

/// Where one key and its value lie in [`ExtFields::text`].
#[derive(Clone, Copy)]
struct FieldSpan {
    key: (usize, usize),
    value: (usize, usize),
}

impl ExtFields {
    /// An empty map; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for a header of ordinary size, made when the first field comes.
    fn make_room(&mut self) {
        if self.text.capacity() == 0 {
            self.text.reserve(256);
            self.spans.reserve(16);
        }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The value of a field, `None` where there is no such field.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.position(key).and_then(|at| self.spans.get(at)).map(|span| self.slice(span.value))
    }

    /// Sets a field. A field that is already there keeps its place and gets the new value.
    pub fn insert(&mut self, key: &str, value: impl fmt::Display) {
        // Writing to a String cannot fail; a Display that fails on its own leaves what it wrote so far.
        self.put(key, |text| {
            let _ = write!(text, "{value}");
        });
    }

    /// As [`Self::insert`], for a value that is appended without the detour of a formatter.
    pub(crate) fn put(&mut self, key: &str, append: impl FnOnce(&mut String)) {
        self.make_room();
        let start = self.text.len();
        append(&mut self.text);
        let value = (start, self.text.len());
        self.set_span(key, value);
    }

    /// Removes a field and says whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let found = self.position(key);
        if let Some(at) = found {
            self.spans.remove(at);
        }
        found.is_some()
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spans.iter().map(|span| (self.slice(span.key), self.slice(span.value)))
    }

    /// The text that a reader appends a key and then its value to, before it closes the field.
    pub(crate) fn text_mut(&mut self) -> &mut String {
        self.make_room();
        &mut self.text
    }

    /// The text of all keys and values, and of values that were replaced.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// How much text there is: where the next key or value starts.
    pub(crate) fn mark(&self) -> usize {
        self.text.len()
    }

    /// Forgets text that was appended since `mark`.
    pub(crate) fn discard(&mut self, mark: usize) {
        self.text.truncate(mark);
    }

    /// Records the appended text from `start` as a key up to `middle` and a value after it.
    /// The last of two equal keys wins, as in Java's map.
    pub(crate) fn close_field(&mut self, start: usize, middle: usize) {
        let span = FieldSpan { key: (start, middle), value: (middle, self.text.len()) };
        let known = self.position(self.slice(span.key));
        match known.and_then(|at| self.spans.get_mut(at)) {
            Some(slot) => slot.value = span.value,
            None => self.spans.push(span),
        }
    }

    fn set_span(&mut self, key: &str, value: (usize, usize)) {
        if let Some(slot) = self.position(key).and_then(|at| self.spans.get_mut(at)) {
            slot.value = value;
            return;
        }
        let start = self.text.len();
        self.text.push_str(key);
        self.spans.push(FieldSpan { key: (start, self.text.len()), value });
    }

    fn position(&self, key: &str) -> Option<usize> {
        let (text, first) = (self.text.as_bytes(), key.as_bytes().first());
        // Most keys differ in their first letter, and a comparison of slices is a call.
        let same = |(start, end): (usize, usize)| {
            end - start == key.len()
                && (start == end || text.get(start) == first)
                && self.slice((start, end)) == key
        };
        self.spans.iter().position(|span| same(span.key))
    }

    fn slice(&self, (start, end): (usize, usize)) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }
}

impl PartialEq for ExtFields {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl Eq for ExtFields {}

impl fmt::Debug for ExtFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: AsRef<str>, V: fmt::Display> FromIterator<(K, V)> for ExtFields {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut fields = Self::new();
        for (key, value) in pairs {
            fields.insert(key.as_ref(), value);
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserting_twice_keeps_the_place_and_the_last_value() {
        let mut fields = ExtFields::new();
        fields.insert("a", 1);
        fields.insert("b", true);
        fields.insert("a", "two");
        assert_eq!(fields.iter().collect::<Vec<_>>(), [("a", "two"), ("b", "true")]);
    }

    #[test]
    fn equality_ignores_order() {
        let one: ExtFields = [("a", 1), ("b", 2)].into_iter().collect();
        let other: ExtFields = [("b", 2), ("a", 1)].into_iter().collect();
        assert_eq!(one, other);
        let more: ExtFields = [("b", 2), ("a", 1), ("c", 3)].into_iter().collect();
        assert_ne!(one, more);
    }

    #[test]
    fn removing_a_field_leaves_the_others() {
        let mut fields: ExtFields = [("a", 1), ("b", 2)].into_iter().collect();
        assert!(fields.remove("a"));
        assert!(!fields.remove("a"));
        assert_eq!(fields.get("a"), None);
        assert_eq!(fields.get("b"), Some("2"));
    }
}
