//! What waits in one queue's window, by who is to have it: a batch never has two listeners, nor two topics.

use std::sync::Arc;

use crate::places::{Places, Seq};

#[derive(Debug)]
struct Lane {
    listener: usize,
    topic: Arc<str>,
    waiting: Places,
}

/// The waiting messages of one batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) listener: usize,
    pub(crate) topic: Arc<str>,
    pub(crate) places: Places,
}

/// One lane for each listener and topic met; few, and most often one.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    /// The lane whose turn it is.
    turn: usize,
}

impl Lanes {
    pub(crate) fn push(&mut self, listener: usize, topic: &Arc<str>, seq: Seq) {
        let same = |lane: &Lane| Arc::ptr_eq(&lane.topic, topic) || lane.topic == *topic;
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.listener == listener && same(lane)) {
            return lane.waiting.push(seq);
        }
        let mut waiting = Places::default();
        waiting.push(seq);
        self.lanes.push(Lane { listener, topic: topic.clone(), waiting });
    }

    pub(crate) fn clear(&mut self) {
        self.lanes.clear();
        self.turn = 0;
    }

    /// The next batch, lanes taking turns. `most` tells a listener's largest batch, or none while it is paused.
    pub(crate) fn take(&mut self, most: impl Fn(usize) -> Option<usize>) -> Option<Taken> {
        let count = self.lanes.len();
        for step in 0..count {
            let place = (self.turn + step) % count;
            let Some(lane) = self.lanes.get_mut(place).filter(|lane| !lane.waiting.is_empty()) else {
                continue;
            };
            let Some(most) = most(lane.listener) else { continue };
            let places = lane.waiting.take(most.max(1));
            self.turn = place + 1;
            return Some(Taken { listener: lane.listener, topic: lane.topic.clone(), places });
        }
        None
    }

    /// The next batch in the order of offsets: of the lane that has the oldest message, as far as no other lane has an older
    /// one. None while that lane's listener is paused.
    pub(crate) fn take_in_order(&mut self, most: impl Fn(usize) -> Option<usize>) -> Option<Taken> {
        let waiting = || self.lanes.iter().filter(|lane| !lane.waiting.is_empty());
        let mut fronts: Vec<Seq> = waiting().filter_map(|lane| lane.waiting.first()).collect();
        fronts.sort_unstable();
        let (oldest, next) = (*fronts.first()?, fronts.get(1).copied());
        let lane = self.lanes.iter_mut().find(|lane| lane.waiting.first() == Some(oldest))?;
        let most = most(lane.listener)?.max(1);
        let before = |seq: &Seq| next.is_none_or(|next| *seq < next);
        let size = lane.waiting.iter().take(most).take_while(|seq| before(seq)).count();
        let places = lane.waiting.take(size);
        Some(Taken { listener: lane.listener, topic: lane.topic.clone(), places })
    }

    /// Whether a listener that is not paused has something waiting.
    pub(crate) fn has_work(&self, most: impl Fn(usize) -> Option<usize>) -> bool {
        self.lanes.iter().any(|lane| !lane.waiting.is_empty() && most(lane.listener).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_one_listener_and_one_topic_and_lanes_take_turns() {
        let seqs: Vec<Seq> = (0..6).map(Seq).collect();
        let (t, u): (Arc<str>, Arc<str>) = ("t".into(), "u".into());
        let mut lanes = Lanes::default();
        for (place, (listener, topic)) in
            [(0, &t), (0, &t), (1, &t), (0, &u), (0, &t), (1, &t)].into_iter().enumerate()
        {
            lanes.push(listener, topic, seqs[place]);
        }
        let two = |_| Some(2);
        let taken = |listener, topic: &Arc<str>, places: &[usize]| {
            let mut expected = Places::default();
            places.iter().for_each(|&place| expected.push(seqs[place]));
            Some(Taken { listener, topic: topic.clone(), places: expected })
        };
        assert_eq!(lanes.take(two), taken(0, &t, &[0, 1]));
        assert_eq!(
            lanes.take(|listener| (listener == 0).then_some(2)),
            taken(0, &u, &[3]),
            "listener 1 is paused"
        );
        assert!(!lanes.has_work(|_| None));
        assert_eq!(lanes.take(two), taken(0, &t, &[4]));
        assert_eq!(lanes.take(two), taken(1, &t, &[2, 5]));
        assert_eq!(lanes.take(two), None);
        assert!(!lanes.has_work(two));
    }

    #[test]
    fn in_order_no_batch_passes_an_older_message() {
        let seqs: Vec<Seq> = (0..6).map(Seq).collect();
        let t: Arc<str> = "t".into();
        let mut lanes = Lanes::default();
        for (place, listener) in [0, 0, 1, 0, 0, 0].into_iter().enumerate() {
            lanes.push(listener, &t, seqs[place]);
        }
        let mut places = |most: fn(usize) -> Option<usize>| {
            let taken = lanes.take_in_order(most)?;
            Some((taken.listener, taken.places.len()))
        };
        assert_eq!(places(|_| Some(8)), Some((0, 2)));
        assert_eq!(
            places(|listener| (listener == 0).then_some(8)),
            None,
            "the oldest waits for its listener"
        );
        assert_eq!(places(|_| Some(8)), Some((1, 1)));
        assert_eq!(places(|_| Some(2)), Some((0, 2)));
        assert_eq!(places(|_| Some(2)), Some((0, 1)));
        assert_eq!(places(|_| Some(2)), None);
    }
}
