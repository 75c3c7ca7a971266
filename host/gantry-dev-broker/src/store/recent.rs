use std::collections::VecDeque;

use super::run::Run;

/// Most bytes kept of runs read from the database; the last one is kept whatever its size.
const RECENT_BYTES: usize = 4 * 1024 * 1024;
/// Smaller runs are read whole by most pulls, and are not kept: many of them would take long to look through.
const SMALL: usize = 8 * 1024;

/// Runs read from the database lately: a reader takes a part of one, and comes back for the next part.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// By queue; the last used in front.
    runs: VecDeque<(i64, Run)>,
}

impl Recent {
    /// The run with this offset of a queue.
    pub(super) fn get(&mut self, queue: i64, offset: i64) -> Option<Run> {
        let has_it = |(known, run): &(i64, Run)| *known == queue && run.offset <= offset && offset < run.end;
        let index = self.runs.iter().position(has_it)?;
        let found = self.runs.remove(index)?;
        let run = found.1.clone();
        self.runs.push_front(found);
        Some(run)
    }

    pub(super) fn put(&mut self, queue: i64, run: Run) {
        if run.size() < SMALL {
            return;
        }
        self.runs.push_front((queue, run));
        let mut size = 0;
        let fits = |(_, run): &&(i64, Run)| {
            size += run.size();
            size <= RECENT_BYTES
        };
        let kept = self.runs.iter().take_while(fits).count().max(1);
        self.runs.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::run::Entry;
    use bytes::Bytes;

    fn run(offset: i64, size: u32) -> Run {
        let entry = Entry { end: size, messages: 10, tags: 0 };
        Run::of((offset, offset + 10), 1, [entry].into(), Bytes::from(vec![0; size as usize])).unwrap()
    }

    #[test]
    fn the_least_used_runs_go_first_and_the_last_one_stays() {
        let mut recent = Recent::default();
        (0..4).for_each(|number| recent.put(1, run(number * 10, 1 << 20)));
        assert_eq!(recent.get(1, 19).unwrap().offset, 10);
        assert!(recent.get(1, 0).is_none());
        assert!(recent.get(2, 19).is_none());
        assert!(recent.get(1, 40).is_none());
        recent.put(1, run(40, 1 << 20));
        assert!(recent.get(1, 10).is_some());
        assert!(recent.get(1, 20).is_none());
        recent.put(1, run(50, 5 << 20));
        assert!(recent.get(1, 50).is_some());
        assert!(recent.get(1, 10).is_none());
    }

    #[test]
    fn small_runs_are_not_kept() {
        let mut recent = Recent::default();
        recent.put(1, run(0, 100));
        assert!(recent.get(1, 0).is_none());
    }
}
