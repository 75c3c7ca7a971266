//! How far a queue is settled, and how far the broker knows it (RocketMQ: RemoteBrokerOffsetStore).

/// One queue's entry. It only grows; where the broker moves an offset, the queue starts over with a new entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitOffset {
    value: i64,
    stored: Option<i64>,
    floor: i64,
    /// The broker had no offset of this group when the queue was taken.
    first: bool,
}

impl CommitOffset {
    /// An offset the broker has.
    pub(crate) fn stored(offset: i64) -> Self {
        Self { value: offset, stored: Some(offset), floor: offset, first: false }
    }

    /// An offset the broker does not have yet: a group's first in this queue. It is stored like any other, so that a
    /// restart continues from here and not from wherever the queue then ends.
    pub(crate) fn fresh(offset: i64) -> Self {
        Self { value: offset, stored: None, floor: offset, first: true }
    }

    pub(crate) fn value(&self) -> i64 {
        self.value
    }

    /// What each pull carries along, which repairs what was lost on its way. As in RocketMQ 0 is not worth it, unless it
    /// is where the group began: with nothing stored, a restart would begin at the end again.
    pub(crate) fn piggyback(&self) -> Option<i64> {
        (self.value > 0 || self.first).then_some(self.value)
    }

    /// Moves forward to `offset`; a smaller one changes nothing.
    pub(crate) fn advance(&mut self, offset: i64) {
        self.value = self.value.max(offset);
    }

    /// The offset the broker does not have yet.
    pub(crate) fn dirty(&self) -> Option<i64> {
        (self.stored != Some(self.value)).then_some(self.value)
    }

    /// `offset` is on its way or has arrived.
    pub(crate) fn mark_stored(&mut self, offset: i64) {
        self.floor = self.stored.unwrap_or(self.floor).min(offset);
        self.stored = Some(offset);
    }

    /// The least the broker is to be expected to have: what was given out to be stored before the last time, as the last may
    /// still be on its way.
    pub(crate) fn floor(&self) -> i64 {
        self.floor
    }

    /// What was on its way did not arrive.
    pub(crate) fn mark_lost(&mut self) {
        self.stored = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_only_grows_and_is_dirty_until_stored() {
        let mut offset = CommitOffset::stored(10);
        assert_eq!(offset.dirty(), None);
        offset.advance(9);
        assert_eq!((offset.value(), offset.dirty()), (10, None));
        offset.advance(12);
        assert_eq!(offset.dirty(), Some(12));
        offset.mark_stored(12);
        assert_eq!(offset.dirty(), None);
        offset.mark_lost();
        assert_eq!(offset.dirty(), Some(12));
    }

    #[test]
    fn a_groups_first_offset_is_dirty_at_once_and_goes_with_every_pull() {
        assert_eq!(CommitOffset::fresh(0).dirty(), Some(0));
        assert_eq!(CommitOffset::fresh(0).piggyback(), Some(0));
        assert_eq!(CommitOffset::stored(0).piggyback(), None);
        assert_eq!(CommitOffset::stored(1).piggyback(), Some(1));
    }
}
