//! The window of one queue: what was pulled and is not settled yet (RocketMQ: ProcessQueue).
//!
//! Offsets only grow, with gaps where messages were filtered, so the window is a ring in the order of offsets. A message
//! is named by its place counted from the window's start ([`Seq`]), which makes putting and settling O(1). A settled
//! message is freed at once; its place goes when everything before it is settled, and the span gate of flow control
//! bounds how many such places there are.

use std::collections::VecDeque;
use std::time::Instant;

use crate::flow_control::WindowLoad;
use crate::places::Seq;

#[derive(Debug)]
struct Slot<T> {
    offset: i64,
    size: u32,
    since: Instant,
    /// Not handed to a listener yet.
    pending: bool,
    /// None once settled.
    message: Option<T>,
}

#[derive(Debug)]
pub(crate) struct ProcessQueue<T> {
    slots: VecDeque<Slot<T>>,
    first: u64,
    /// Every message before this offset has been put or is not wanted.
    end: i64,
    count: usize,
    bytes: u64,
}

impl<T> ProcessQueue<T> {
    /// An empty window of a queue that is read from `start`.
    pub(crate) fn new(start: i64) -> Self {
        Self { slots: VecDeque::new(), first: 0, end: start, count: 0, bytes: 0 }
    }

    /// Makes room for so many more messages.
    pub(crate) fn reserve(&mut self, messages: usize) {
        self.slots.reserve(messages);
    }

    /// Takes a message; none when the window has gone past its offset already.
    pub(crate) fn put(&mut self, now: Instant, offset: i64, size: u32, message: T) -> Option<Seq> {
        if offset < self.end {
            return None;
        }
        let seq = Seq(self.first + self.slots.len() as u64);
        self.slots.push_back(Slot { offset, size, since: now, pending: true, message: Some(message) });
        self.end = offset.saturating_add(1);
        self.count += 1;
        self.bytes += u64::from(size);
        Some(seq)
    }

    /// There is nothing more to come before `offset`.
    pub(crate) fn advance_to(&mut self, offset: i64) {
        self.end = self.end.max(offset);
    }

    /// Settles a message and frees it; none when it is settled already. Its place goes with the next [`Self::trim`].
    pub(crate) fn settle(&mut self, seq: Seq) -> Option<T> {
        let slot = self.slot_mut(seq)?;
        let message = slot.message.take()?;
        slot.pending = false;
        let size = u64::from(slot.size);
        self.count -= 1;
        self.bytes -= size;
        Some(message)
    }

    /// Gives up the places before the oldest message that is not settled; to be called when some have been.
    pub(crate) fn trim(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.message.is_none()) {
            self.slots.pop_front();
            self.first += 1;
        }
    }

    /// Marks a message as handed to a listener, and gives a look at it.
    pub(crate) fn take(&mut self, seq: Seq) -> Option<&T> {
        let slot = self.slot_mut(seq).filter(|slot| slot.pending)?;
        slot.pending = false;
        slot.message.as_ref()
    }

    /// Marks a message as not handed to a listener after all.
    pub(crate) fn put_back(&mut self, seq: Seq) {
        if let Some(slot) = self.slot_mut(seq).filter(|slot| slot.message.is_some()) {
            slot.pending = true;
        }
    }

    /// Messages not handed to a listener, in the order of their offsets.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (Seq, &T)> {
        let places = self.slots.iter().zip(self.first..);
        places
            .filter(|(slot, _)| slot.pending)
            .filter_map(|(slot, place)| Some((Seq(place), slot.message.as_ref()?)))
    }

    /// The runs of settled messages behind the oldest that is not, each from its first offset to one past its last. What
    /// lies between two messages was never wanted.
    pub(crate) fn settled_runs(&self) -> impl Iterator<Item = (i64, i64)> {
        let mut slots = self.slots.iter().peekable();
        std::iter::from_fn(move || {
            let first = slots.find(|slot| slot.message.is_none())?.offset;
            let mut last = first;
            while let Some(slot) = slots.next_if(|slot| slot.message.is_none()) {
                last = slot.offset;
            }
            Some((first, last.saturating_add(1)))
        })
    }

    /// A message that is not settled.
    pub(crate) fn get(&self, seq: Seq) -> Option<&T> {
        self.slot(seq)?.message.as_ref()
    }

    /// Every message before this offset is settled or was never wanted: the smallest unsettled offset, or where the
    /// window ends.
    pub(crate) fn commit_point(&self) -> i64 {
        self.slots.front().map_or(self.end, |slot| slot.offset)
    }

    /// Where the next pull reads.
    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Since when the oldest unsettled message has been here.
    pub(crate) fn head_since(&self) -> Option<Instant> {
        self.slots.front().map(|slot| slot.since)
    }

    /// What flow control looks at. The span counts the places of settled messages behind an unsettled one, as these are
    /// what the ring keeps and what a crash would repeat.
    pub(crate) fn load(&self) -> WindowLoad {
        let span = match (self.slots.front(), self.slots.back()) {
            (Some(oldest), Some(newest)) => newest.offset.abs_diff(oldest.offset),
            _ => 0,
        };
        WindowLoad { count: self.count, bytes: self.bytes, span }
    }

    fn slot(&self, seq: Seq) -> Option<&Slot<T>> {
        self.slots.get(usize::try_from(seq.0.checked_sub(self.first)?).ok()?)
    }

    fn slot_mut(&mut self, seq: Seq) -> Option<&mut Slot<T>> {
        self.slots.get_mut(usize::try_from(seq.0.checked_sub(self.first)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn window(offsets: &[i64]) -> (ProcessQueue<i64>, Vec<Seq>) {
        let mut window = ProcessQueue::new(offsets[0]);
        let now = Instant::now();
        let seqs = offsets.iter().map(|&offset| window.put(now, offset, 10, offset).unwrap()).collect();
        (window, seqs)
    }

    fn settle<T>(window: &mut ProcessQueue<T>, seq: Seq) -> Option<T> {
        let message = window.settle(seq);
        window.trim();
        message
    }

    #[test]
    fn the_commit_point_waits_for_the_smallest_unsettled_offset() {
        let (mut window, seqs) = window(&[5, 6, 9]);
        settle(&mut window, seqs[1]);
        assert_eq!(window.commit_point(), 5);
        settle(&mut window, seqs[0]);
        assert_eq!(window.commit_point(), 9, "over the gap of filtered messages");
        window.advance_to(20);
        assert_eq!(window.commit_point(), 9);
        settle(&mut window, seqs[2]);
        assert_eq!(window.commit_point(), 20, "a filtered tail is committed once nothing is left");
    }

    #[test]
    fn settling_frees_the_message_at_once_even_behind_an_unsettled_one() {
        let mut window = ProcessQueue::new(0);
        let message = Rc::new(());
        let now = Instant::now();
        window.put(now, 0, 1, Rc::new(()));
        let behind = window.put(now, 1, 1, message.clone()).unwrap();
        drop(settle(&mut window, behind));
        assert_eq!(Rc::strong_count(&message), 1);
        assert_eq!(window.load(), WindowLoad { count: 1, bytes: 1, span: 1 });
    }

    #[test]
    fn a_message_is_settled_once_and_taken_once() {
        let (mut window, seqs) = window(&[0, 1]);
        assert_eq!(window.take(seqs[0]), Some(&0));
        assert_eq!(window.take(seqs[0]), None);
        window.put_back(seqs[0]);
        assert_eq!(window.pending().map(|(_, &offset)| offset).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(settle(&mut window, seqs[0]), Some(0));
        assert_eq!(settle(&mut window, seqs[0]), None);
        window.put_back(seqs[0]);
        assert_eq!(window.pending().count(), 1, "what is settled does not come back");
    }

    #[test]
    fn what_the_window_has_gone_past_is_not_put_again() {
        let (mut window, _) = window(&[3]);
        let now = Instant::now();
        assert_eq!(window.put(now, 3, 10, 3), None);
        window.advance_to(10);
        assert_eq!(window.put(now, 9, 10, 9), None);
        assert_eq!(window.len(), 1);
    }

    #[test]
    fn settled_runs_are_told_apart_by_what_is_not_settled() {
        let (mut window, seqs) = window(&[1, 2, 5, 6, 9, 10]);
        assert_eq!(window.settled_runs().count(), 0);
        for place in [1, 2, 4] {
            settle(&mut window, seqs[place]);
        }
        assert_eq!(window.settled_runs().collect::<Vec<_>>(), [(2, 6), (9, 10)]);
    }

    #[test]
    fn the_head_tells_its_age() {
        let start = Instant::now();
        let mut window = ProcessQueue::new(0);
        assert_eq!(window.head_since(), None);
        let head = window.put(start, 0, 1, 0).unwrap();
        window.put(start + Duration::from_secs(2), 1, 1, 1);
        settle(&mut window, head);
        assert_eq!(window.head_since(), Some(start + Duration::from_secs(2)));
    }

    proptest! {
        #[test]
        fn it_equals_a_tree_of_unsettled_offsets(steps in prop::collection::vec((0u8..4, 1i64..5, any::<prop::sample::Index>()), 1..200)) {
            let mut window = ProcessQueue::new(0);
            let mut tree: BTreeMap<i64, Seq> = BTreeMap::new();
            let mut end = 0;
            let now = Instant::now();
            for (step, gap, pick) in steps {
                match step {
                    0 | 1 => {
                        let offset = end + gap - 1;
                        tree.insert(offset, window.put(now, offset, 3, offset).unwrap());
                        end = offset + 1;
                    }
                    2 if !tree.is_empty() => {
                        let offset = *tree.keys().nth(pick.index(tree.len())).unwrap();
                        let seq = tree.remove(&offset).unwrap();
                        prop_assert_eq!(settle(&mut window, seq), Some(offset));
                    }
                    _ => {
                        end += gap;
                        window.advance_to(end);
                    }
                }
                prop_assert_eq!(window.commit_point(), tree.keys().next().copied().unwrap_or(end));
                prop_assert_eq!(window.len(), tree.len());
                prop_assert_eq!(window.load().bytes, 3 * tree.len() as u64);
                for (&offset, &seq) in &tree {
                    prop_assert_eq!(window.get(seq), Some(&offset));
                }
            }
        }
    }
}
