use std::collections::VecDeque;

use super::run::Run;

/// Most bytes kept of runs read from the database; the last one is kept whatever its size.
const RECENT_BYTES: usize = 4 * 1024 * 1024;

/// Runs read from the database lately: a reader takes a part of one, and comes back for the next part.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// By physical offset, which is never used again; the last used in front.
    runs: VecDeque<(i64, Run)>,
}

impl Recent {
    pub(super) fn get(&mut self, physical: i64) -> Option<Run> {
        let index = self.runs.iter().position(|(known, _)| *known == physical)?;
        let found = self.runs.remove(index)?;
        let run = found.1.clone();
        self.runs.push_front(found);
        Some(run)
    }

    pub(super) fn put(&mut self, physical: i64, run: Run) {
        self.runs.push_front((physical, run));
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

    fn run(size: u32) -> Run {
        let entry = Entry { end: size, messages: 1, tags: 0 };
        Run::of((0, 1), 1, [entry].into(), Bytes::from(vec![0; size as usize])).unwrap()
    }

    #[test]
    fn the_least_used_runs_go_first_and_the_last_one_stays() {
        let mut recent = Recent::default();
        (1..=4).for_each(|physical| recent.put(physical, run(1 << 20)));
        assert!(recent.get(2).is_some());
        assert!(recent.get(1).is_none());
        recent.put(5, run(1 << 20));
        assert!(recent.get(2).is_some());
        assert!(recent.get(3).is_none());
        recent.put(6, run(5 << 20));
        assert!(recent.get(6).is_some());
        assert!(recent.get(2).is_none());
    }
}
