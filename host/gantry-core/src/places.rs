//! Places in a queue's window, and many of them in their order: those of a batch, and those that wait for one.

use std::collections::VecDeque;

/// A message's place in its window; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seq(pub(crate) u64);

impl Seq {
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Places in a row: from the first to before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: Seq,
    pub(crate) end: Seq,
}

impl Run {
    const EMPTY: Self = Self { first: Seq(0), end: Seq(0) };

    pub(crate) fn one(seq: Seq) -> Self {
        Self { first: seq, end: seq.next() }
    }

    fn len(self) -> usize {
        (self.end.0 - self.first.0) as usize
    }

    fn split(&mut self, most: usize) -> Self {
        let middle = Seq(self.first.0 + self.len().min(most) as u64);
        let front = Self { first: self.first, end: middle };
        self.first = middle;
        front
    }
}

/// Places in their order, kept as runs: most often one, which takes no room of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    front: Run,
    more: VecDeque<Run>,
    count: usize,
}

impl Default for Places {
    fn default() -> Self {
        Self { front: Run::EMPTY, more: VecDeque::new(), count: 0 }
    }
}

impl Places {
    /// Adds a place behind all others.
    pub(crate) fn push(&mut self, seq: Seq) {
        self.push_run(Run::one(seq));
    }

    /// Adds places behind all others; at least one.
    pub(crate) fn push_run(&mut self, run: Run) {
        let last = self.more.back_mut().unwrap_or(&mut self.front);
        if self.count == 0 {
            self.front = run;
        } else if last.end == run.first {
            last.end = run.end;
        } else {
            self.more.push_back(run);
        }
        self.count += run.len();
    }

    /// Takes up to so many off the front.
    pub(crate) fn take(&mut self, most: usize) -> Self {
        let mut taken = Self::default();
        while taken.count < most && self.count > 0 {
            let run = self.front.split(most - taken.count);
            self.count -= run.len();
            taken.push_run(run);
            if self.front.len() == 0 {
                self.front = self.more.pop_front().unwrap_or(Run::EMPTY);
            }
        }
        taken
    }

    pub(crate) fn first(&self) -> Option<Seq> {
        (self.count > 0).then_some(self.front.first)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What lies in a row, at least one place each.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> {
        let runs = std::iter::once(&self.front).chain(&self.more);
        runs.filter(|run| run.len() > 0).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Seq> {
        self.runs().flat_map(|run| (run.first.0..run.end.0).map(Seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_in_their_order_whatever_lies_between_them() {
        let mut places = Places::default();
        let all = [1, 2, 3, 7, 9, 10].map(Seq);
        for seq in all {
            places.push(seq);
        }
        assert_eq!((places.first(), places.len()), (Some(Seq(1)), 6));
        assert_eq!(places.iter().collect::<Vec<_>>(), all);
        assert_eq!(places.take(2).iter().collect::<Vec<_>>(), all[..2]);
        assert_eq!(places.take(3).iter().collect::<Vec<_>>(), all[2..5]);
        places.push(Seq(11));
        assert_eq!(places.take(9).iter().collect::<Vec<_>>(), [10, 11].map(Seq));
        assert!(places.is_empty() && places.take(1).is_empty() && places.first().is_none());
    }
}
