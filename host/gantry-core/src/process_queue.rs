//! The window of one queue: what was pulled and is not settled yet (RocketMQ: ProcessQueue).
//!
//! Offsets only grow, with gaps where messages were filtered, so the window is a ring in the order of offsets: of what each pull brought,
//! as it came, with a byte of state beside each message. A message is named by its place counted from the window's start
//! ([`Seq`]). Batches share the messages of a pull; they are freed when the last of them is settled, and a pull's place goes when everything
//! before it is settled. The span gate of flow control bounds how many such places there are.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use gantry_protocol::MessageExt;

use crate::flow_control::WindowLoad;
use crate::messages::Messages;
use crate::places::{Places, Run, Seq};

/// What a window asks of a message.
pub(crate) trait Stored {
    /// Its offset in the queue.
    fn offset(&self) -> i64;
    /// Its size in bytes.
    fn size(&self) -> usize;
}

impl Stored for MessageExt {
    fn offset(&self) -> i64 {
        self.queue_offset()
    }

    fn size(&self) -> usize {
        self.stored_size()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not handed to a listener yet.
    Pending,
    Taken,
    Settled,
}

/// What one pull brought; at least one message.
#[derive(Debug)]
struct Pulled<T> {
    first: Seq,
    since: Instant,
    /// The first and the last offset.
    offsets: (i64, i64),
    /// None once all are settled.
    messages: Option<Arc<Vec<T>>>,
    /// Of each message.
    states: Vec<State>,
    unsettled: usize,
    /// Their bytes.
    unsettled_bytes: u64,
    /// How many at its front are known to be settled.
    settled_front: usize,
}

impl<T> Pulled<T> {
    fn index(&self, seq: Seq) -> Option<usize> {
        usize::try_from(seq.0.checked_sub(self.first.0)?).ok().filter(|index| *index < self.states.len())
    }

    fn messages(&self) -> &[T] {
        self.messages.as_ref().map_or(&[], |messages| messages.as_slice())
    }

    /// Marks these as handed to a listener, and gives those that were not yet.
    fn take(&mut self, range: Range<usize>) -> Messages<T>
    where
        T: Clone,
    {
        let Some(messages) = self.messages.as_ref() else { return Vec::new().into() };
        let states = self.states.get_mut(range.clone()).unwrap_or_default();
        if states.iter().all(|state| *state == State::Pending) {
            states.fill(State::Taken);
            return Messages::part(messages, range);
        }
        let mut taken = Vec::new();
        for (state, message) in states.iter_mut().zip(messages.iter().skip(range.start)) {
            if *state == State::Pending {
                *state = State::Taken;
                taken.push(message.clone());
            }
        }
        taken.into()
    }

    /// Each unsettled message with its state, by its place.
    fn unsettled(&self) -> impl Iterator<Item = (Seq, State, &T)> {
        let each = (self.first.0..).map(Seq).zip(&self.states).zip(self.messages());
        each.skip(self.settled_front)
            .filter(|((_, state), _)| **state != State::Settled)
            .map(|((seq, state), message)| (seq, *state, message))
    }
}

impl<T: Stored> Pulled<T> {
    /// Settles these: how many were not settled before, their bytes, and a look at the last one of them.
    fn settle(&mut self, range: Range<usize>, last: &mut impl FnMut(&T)) -> (usize, u64) {
        let Some(messages) = self.messages.as_ref() else { return (0, 0) };
        let (mut settled, mut bytes, mut newest) = (0, 0, None);
        if range.len() == self.unsettled && self.unsettled == self.states.len() {
            (settled, bytes, newest) = (self.unsettled, self.unsettled_bytes, messages.last());
            self.states.fill(State::Settled);
        } else {
            let each = self.states.iter_mut().zip(messages.iter()).take(range.end).skip(range.start);
            for (state, message) in each.filter(|(state, _)| **state != State::Settled) {
                *state = State::Settled;
                settled += 1;
                bytes += message.size() as u64;
                newest = Some(message);
            }
        }
        newest.into_iter().for_each(last);
        self.unsettled -= settled;
        self.unsettled_bytes -= bytes;
        if self.unsettled == 0 {
            self.messages = None;
        }
        (settled, bytes)
    }

    /// The smallest offset that is not settled, where [`Self::settled_front`] is as it should be.
    fn oldest(&self) -> i64 {
        self.messages().get(self.settled_front).map_or(self.offsets.1, Stored::offset)
    }

    /// Runs of offsets, from the first to the last of each, and whether they are settled.
    fn runs(&self) -> impl Iterator<Item = (i64, i64, bool)> {
        let whole = self.messages.is_none().then_some((self.offsets.0, self.offsets.1, true));
        let each = self.states.iter().zip(self.messages()).skip(self.settled_front);
        let each =
            each.map(|(state, message)| (message.offset(), message.offset(), *state == State::Settled));
        whole.into_iter().chain(each)
    }
}

#[derive(Debug)]
pub(crate) struct ProcessQueue<T> {
    pulled: VecDeque<Pulled<T>>,
    /// The place of the next message.
    next: Seq,
    /// Every message before this offset has been put or is not wanted.
    end: i64,
    count: usize,
    bytes: u64,
}

impl<T: Stored> ProcessQueue<T> {
    /// An empty window of a queue that is read from `start`.
    pub(crate) fn new(start: i64) -> Self {
        Self { pulled: VecDeque::new(), next: Seq(0), end: start, count: 0, bytes: 0 }
    }

    /// The place of the next message that is put.
    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    /// Takes messages, whose offsets grow and begin at [`Self::end`] or behind it.
    pub(crate) fn put(&mut self, now: Instant, messages: Vec<T>) {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return };
        let (offsets, count) = ((first.offset(), last.offset()), messages.len());
        debug_assert!(offsets.0 >= self.end && messages.is_sorted_by(|a, b| a.offset() < b.offset()));
        self.end = offsets.1.saturating_add(1);
        self.count += count;
        let bytes = messages.iter().map(|message| message.size() as u64).sum();
        self.bytes += bytes;
        self.pulled.push_back(Pulled {
            first: self.next,
            since: now,
            offsets,
            messages: Some(Arc::new(messages)),
            states: vec![State::Pending; count],
            unsettled: count,
            unsettled_bytes: bytes,
            settled_front: 0,
        });
        self.next = Seq(self.next.0 + count as u64);
    }

    /// There is nothing more to come before `offset`.
    pub(crate) fn advance_to(&mut self, offset: i64) {
        self.end = self.end.max(offset);
    }

    /// Settles the messages of these places, and lets those have a look that see `last`: the last one of each pull that was not settled before.
    /// Their places go with the next [`Self::trim`].
    pub(crate) fn settle(&mut self, run: Run, mut last: impl FnMut(&T)) {
        for (pulled, range) in parts(&mut self.pulled, run) {
            let (settled, bytes) = pulled.settle(range, &mut last);
            self.count -= settled;
            self.bytes -= bytes;
        }
    }

    /// Gives up the places before the oldest message that is not settled; to be called when some have been.
    pub(crate) fn trim(&mut self) {
        while let Some(front) = self.pulled.front_mut() {
            if front.unsettled > 0 {
                let rest = front.states.iter().skip(front.settled_front);
                front.settled_front += rest.take_while(|state| **state == State::Settled).count();
                return;
            }
            self.pulled.pop_front();
        }
    }

    /// Marks messages as handed to a listener. Those that have been already, or are settled, are not among what it gives.
    pub(crate) fn take(&mut self, places: &Places) -> Messages<T>
    where
        T: Clone,
    {
        let mut all: Option<Messages<T>> = None;
        for run in places.runs() {
            for (pulled, range) in parts(&mut self.pulled, run) {
                let part = pulled.take(range);
                all = Some(match all.take() {
                    None => part,
                    Some(before) => before.iter().chain(&part).cloned().collect::<Vec<T>>().into(),
                });
            }
        }
        all.unwrap_or_else(|| Vec::new().into())
    }

    /// Marks a message as not handed to a listener after all.
    pub(crate) fn put_back(&mut self, seq: Seq) {
        for (pulled, range) in parts(&mut self.pulled, Run::one(seq)) {
            for state in pulled.states.get_mut(range).unwrap_or_default() {
                if *state == State::Taken {
                    *state = State::Pending;
                }
            }
        }
    }

    /// Messages not handed to a listener, in the order of their offsets.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (Seq, &T)> {
        let unsettled = self.pulled.iter().flat_map(Pulled::unsettled);
        unsettled.filter(|(_, state, _)| *state == State::Pending).map(|(seq, _, message)| (seq, message))
    }

    /// The runs of settled messages behind the oldest that is not, each from its first offset to one past its last. What
    /// lies between two messages was never wanted.
    pub(crate) fn settled_runs(&self) -> impl Iterator<Item = (i64, i64)> {
        let mut runs = self.pulled.iter().flat_map(Pulled::runs).peekable();
        std::iter::from_fn(move || {
            let (first, mut last, _) = runs.find(|(.., settled)| *settled)?;
            while let Some((_, more, _)) = runs.next_if(|(.., settled)| *settled) {
                last = more;
            }
            Some((first, last.saturating_add(1)))
        })
    }

    /// A message that is not settled.
    pub(crate) fn get(&self, seq: Seq) -> Option<&T> {
        let place = self.pulled.partition_point(|pulled| pulled.first <= seq).checked_sub(1)?;
        let pulled = self.pulled.get(place)?;
        let index = pulled.index(seq)?;
        let unsettled = pulled.states.get(index).is_some_and(|state| *state != State::Settled);
        pulled.messages().get(index).filter(|_| unsettled)
    }

    /// Every message before this offset is settled or was never wanted: the smallest unsettled offset, or where the
    /// window ends.
    pub(crate) fn commit_point(&self) -> i64 {
        self.pulled.front().map_or(self.end, Pulled::oldest)
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
        self.pulled.front().map(|pulled| pulled.since)
    }

    /// What flow control looks at. The span counts the places of settled messages behind an unsettled one, as these are
    /// what the ring keeps and what a crash would repeat.
    pub(crate) fn load(&self) -> WindowLoad {
        let span = match (self.pulled.front(), self.pulled.back()) {
            (Some(front), Some(back)) => back.offsets.1.abs_diff(front.oldest()),
            _ => 0,
        };
        WindowLoad { count: self.count, bytes: self.bytes, span }
    }
}

/// What of these places lies in each pull.
fn parts<T>(all: &mut VecDeque<Pulled<T>>, run: Run) -> impl Iterator<Item = (&mut Pulled<T>, Range<usize>)> {
    let begin = all.partition_point(|pulled| pulled.first <= run.first).saturating_sub(1);
    let met = all.iter_mut().skip(begin).take_while(move |pulled| pulled.first < run.end);
    met.map(move |pulled| {
        let start = run.first.0.saturating_sub(pulled.first.0) as usize;
        let end = (run.end.0 - pulled.first.0) as usize;
        let range = start..end.min(pulled.states.len());
        (pulled, range)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// A message of 10 bytes at its offset.
    impl Stored for i64 {
        fn offset(&self) -> i64 {
            *self
        }

        fn size(&self) -> usize {
            10
        }
    }

    impl Stored for (i64, Rc<()>) {
        fn offset(&self) -> i64 {
            self.0
        }

        fn size(&self) -> usize {
            1
        }
    }

    fn put<T: Stored>(window: &mut ProcessQueue<T>, now: Instant, messages: Vec<T>) -> Vec<Seq> {
        let (first, count) = (window.next().0, messages.len() as u64);
        window.put(now, messages);
        (first..first + count).map(Seq).collect()
    }

    fn window(offsets: &[i64]) -> (ProcessQueue<i64>, Vec<Seq>) {
        let mut window = ProcessQueue::new(offsets[0]);
        let seqs = put(&mut window, Instant::now(), offsets.to_vec());
        (window, seqs)
    }

    /// What it lets one have a look at.
    fn settle<T: Stored + Clone>(window: &mut ProcessQueue<T>, seqs: &[Seq]) -> Vec<T> {
        let mut seen = Vec::new();
        for run in places(seqs).runs() {
            window.settle(run, |last| seen.push(last.clone()));
        }
        window.trim();
        seen
    }

    fn places(seqs: &[Seq]) -> Places {
        let mut places = Places::default();
        seqs.iter().for_each(|seq| places.push(*seq));
        places
    }

    #[test]
    fn the_commit_point_waits_for_the_smallest_unsettled_offset() {
        let (mut window, seqs) = window(&[5, 6, 9]);
        settle(&mut window, &seqs[1..2]);
        assert_eq!(window.commit_point(), 5);
        settle(&mut window, &seqs[..1]);
        assert_eq!(window.commit_point(), 9, "over the gap of filtered messages");
        window.advance_to(20);
        assert_eq!(window.commit_point(), 9);
        settle(&mut window, &seqs[2..]);
        assert_eq!(window.commit_point(), 20, "a filtered tail is committed once nothing is left");
    }

    #[test]
    fn what_a_pull_brought_is_freed_when_the_last_of_it_is_settled_even_behind_an_unsettled_one() {
        let (mut window, now, message) = (ProcessQueue::new(0), Instant::now(), Rc::new(()));
        put(&mut window, now, vec![(0, Rc::new(()))]);
        let behind = put(&mut window, now, vec![(1, message.clone()), (2, message.clone())]);
        drop(settle(&mut window, &behind[1..]));
        assert_eq!(Rc::strong_count(&message), 3);
        assert_eq!(window.load(), WindowLoad { count: 2, bytes: 2, span: 2 });
        drop(settle(&mut window, &behind));
        assert_eq!(Rc::strong_count(&message), 1);
        assert_eq!(window.load(), WindowLoad { count: 1, bytes: 1, span: 2 });
        assert!(window.get(behind[0]).is_none());
    }

    #[test]
    fn a_message_is_settled_once_and_taken_once() {
        let (mut window, seqs) = window(&[0, 1]);
        assert_eq!(window.take(&places(&seqs[..1]))[..], [0]);
        assert!(window.take(&places(&seqs[..1])).is_empty());
        assert_eq!(window.pending().collect::<Vec<_>>(), [(seqs[1], &1)]);
        window.put_back(seqs[0]);
        assert_eq!(window.pending().map(|(_, &offset)| offset).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(settle(&mut window, &seqs[..1]), [0]);
        assert!(settle(&mut window, &seqs[..1]).is_empty());
        window.put_back(seqs[0]);
        assert_eq!(window.pending().count(), 1, "what is settled does not come back");
        assert_eq!(window.take(&places(&seqs))[..], [1]);
    }

    #[test]
    fn messages_of_several_pulls_are_taken_and_settled_together() {
        let (mut window, mut seqs) = window(&[0, 1, 4]);
        seqs.extend(put(&mut window, Instant::now(), vec![7, 8]));
        seqs.extend(put(&mut window, Instant::now(), vec![9]));
        let middle = &seqs[1..5];
        let taken = window.take(&places(middle));
        assert_eq!(taken[..], [1, 4, 7, 8]);
        assert_eq!(settle(&mut window, middle), [4, 8], "the last of each pull");
        assert_eq!((window.commit_point(), window.len(), window.load().bytes), (0, 2, 20));
        assert_eq!(settle(&mut window, &[seqs[0], seqs[5]]), [0, 9]);
        assert_eq!((window.commit_point(), window.len()), (10, 0));
        assert_eq!(taken[..], [1, 4, 7, 8], "who has them keeps them");
    }

    #[test]
    fn what_a_batch_has_of_one_pull_is_not_copied() {
        let (mut window, now, message) = (ProcessQueue::new(0), Instant::now(), Rc::new(()));
        let seqs =
            put(&mut window, now, vec![(0, message.clone()), (1, message.clone()), (2, message.clone())]);
        let taken = window.take(&places(&seqs[..2]));
        assert_eq!((taken.len(), Rc::strong_count(&message)), (2, 4));
        let apart = window.take(&places(&seqs));
        assert_eq!((apart.len(), apart[0].0, Rc::strong_count(&message)), (1, 2, 5), "not all were pending");
    }

    #[test]
    fn settled_runs_are_told_apart_by_what_is_not_settled() {
        let (mut window, mut seqs) = window(&[1, 2, 5, 6, 9, 10]);
        seqs.extend(put(&mut window, Instant::now(), vec![12, 15]));
        seqs.extend(put(&mut window, Instant::now(), vec![16, 17]));
        assert_eq!(window.settled_runs().count(), 0);
        settle(&mut window, &[seqs[1], seqs[2], seqs[4]]);
        assert_eq!(window.settled_runs().collect::<Vec<_>>(), [(2, 6), (9, 10)]);
        settle(&mut window, &[seqs[5], seqs[6], seqs[7], seqs[8]]);
        assert_eq!(window.settled_runs().collect::<Vec<_>>(), [(2, 6), (9, 17)]);
    }

    #[test]
    fn the_head_tells_its_age() {
        let start = Instant::now();
        let mut window = ProcessQueue::new(0);
        assert_eq!(window.head_since(), None);
        let head = put(&mut window, start, vec![0]);
        put(&mut window, start + Duration::from_secs(2), vec![1]);
        settle(&mut window, &head);
        assert_eq!(window.head_since(), Some(start + Duration::from_secs(2)));
    }

    proptest! {
        #[test]
        fn it_equals_a_tree_of_unsettled_offsets(
            steps in prop::collection::vec((0u8..6, prop::collection::vec(1i64..5, 0..6), any::<prop::sample::Index>()), 1..200),
        ) {
            let mut window = ProcessQueue::new(0);
            // Of each offset that is not settled its place, and whether it is with a listener.
            let mut tree: BTreeMap<i64, (Seq, bool)> = BTreeMap::new();
            let mut settled = std::collections::BTreeSet::new();
            let mut end = 0;
            let now = Instant::now();
            for (step, gaps, pick) in steps {
                let picked: Vec<i64> = match tree.len() {
                    0 => Vec::new(),
                    len => tree.keys().skip(pick.index(len)).take(gaps.len()).copied().collect(),
                };
                let seqs: Vec<Seq> = picked.iter().map(|offset| tree[offset].0).collect();
                match step {
                    0 | 1 => {
                        let offsets: Vec<i64> = gaps.iter().scan(end - 1, |at, gap| { *at += gap; Some(*at) }).collect();
                        let seqs = put(&mut window, now, offsets.clone());
                        end = offsets.last().map_or(end, |last| last + 1);
                        tree.extend(offsets.into_iter().zip(seqs.into_iter().map(|seq| (seq, false))));
                    }
                    2 | 3 => {
                        settle(&mut window, &seqs);
                        picked.iter().for_each(|offset| { tree.remove(offset); });
                        settled.extend(picked);
                    }
                    4 => {
                        let pending: Vec<i64> = picked.into_iter().filter(|offset| !tree[offset].1).collect();
                        prop_assert_eq!(&window.take(&places(&seqs))[..], &pending[..]);
                        pending.iter().for_each(|offset| tree.get_mut(offset).unwrap().1 = true);
                    }
                    _ => {
                        for (offset, seq) in picked.iter().zip(seqs) {
                            window.put_back(seq);
                            tree.get_mut(offset).unwrap().1 = false;
                        }
                        end += gaps.len() as i64;
                        window.advance_to(end);
                    }
                }
                prop_assert_eq!(window.commit_point(), tree.keys().next().copied().unwrap_or(end));
                prop_assert_eq!(window.len(), tree.len());
                prop_assert_eq!(window.load().bytes, 10 * tree.len() as u64);
                let pending: Vec<i64> = window.pending().map(|(_, offset)| *offset).collect();
                let expected: Vec<i64> = tree.iter().filter(|(_, (_, taken))| !taken).map(|(offset, _)| *offset).collect();
                prop_assert_eq!(pending, expected);
                for (&offset, &(seq, _)) in &tree {
                    prop_assert_eq!(window.get(seq), Some(&offset));
                }
                for (first, end) in window.settled_runs() {
                    prop_assert!(tree.range(first..end).next().is_none(), "{first}..{end} is not settled");
                    prop_assert!(settled.contains(&first) && settled.contains(&(end - 1)));
                }
            }
        }
    }
}
