//! Messages of one answer, or some of them, shared by all who look at them.

use std::ops::{Deref, Range};
use std::sync::Arc;

use gantry_protocol::MessageExt;

/// Messages in the order of their offsets. They are not copied: a window, a batch and its listener share what a pull brought.
#[derive(Debug)]
pub struct Messages<T = MessageExt> {
    all: Arc<Vec<T>>,
    range: Range<usize>,
}

impl<T> Messages<T> {
    /// Those of a range; none where there are not so many.
    pub(crate) fn part(all: &Arc<Vec<T>>, range: Range<usize>) -> Self {
        Self { all: Arc::clone(all), range }
    }
}

impl<T> Deref for Messages<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.all.get(self.range.clone()).unwrap_or_default()
    }
}

impl<T> From<Vec<T>> for Messages<T> {
    fn from(all: Vec<T>) -> Self {
        let range = 0..all.len();
        Self { all: Arc::new(all), range }
    }
}

impl<T> Clone for Messages<T> {
    fn clone(&self) -> Self {
        Self { all: Arc::clone(&self.all), range: self.range.clone() }
    }
}

impl<T: PartialEq> PartialEq for Messages<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Messages<T> {}

impl<'m, T> IntoIterator for &'m Messages<T> {
    type Item = &'m T;
    type IntoIter = std::slice::Iter<'m, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
