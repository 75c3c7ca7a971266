//! Rates of the last minute and failures of the last hour, from samples of the counters (RocketMQ:
//! ConsumerStatsManager).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_protocol::body::ConsumeStatus;

use super::tally::{Counts, Tallies};

/// How often the counters are sampled.
const SAMPLING: Duration = Duration::from_secs(10);
/// What rates and mean times are about.
const MINUTE: Duration = Duration::from_secs(60);
/// What failures are counted over.
const HOUR: Duration = Duration::from_secs(3600);

/// Samples of the last hour, oldest first; before the first, everything was 0.
#[derive(Debug, Default)]
pub(super) struct Rates {
    samples: VecDeque<(Instant, BTreeMap<Arc<str>, Counts>)>,
}

impl Rates {
    /// Takes a sample, if the last one is old enough. To be called at least as often as that.
    pub(super) fn sample(&mut self, now: Instant, tallies: &Tallies) {
        let due = |(last, _): &(Instant, _)| now.saturating_duration_since(*last) >= SAMPLING;
        if !self.samples.back().is_none_or(due) {
            return;
        }
        self.samples.push_back((now, tallies.counts()));
        // One that is older than the hour stays, to count from.
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= HOUR) {
            self.samples.pop_front();
        }
    }

    /// The rates of every topic. Where the group is younger than a minute, of the time there was.
    pub(super) fn status_table(&self, now: Instant, tallies: &Tallies) -> BTreeMap<String, ConsumeStatus> {
        let (minute, hour) = (self.before(now, MINUTE), self.before(now, HOUR));
        let status = |(topic, present): (Arc<str>, Counts)| {
            let since = |sample: Option<&Sample>| sample.and_then(|(_, counts)| counts.get(&topic)).copied();
            let began = minute.map_or(now, |(at, _)| *at);
            let mut status =
                rates(since(minute).unwrap_or_default(), present, now.saturating_duration_since(began));
            let failed = present.failed - since(hour).unwrap_or_default().failed;
            status.consume_failed_msgs = i64::try_from(failed).unwrap_or(i64::MAX);
            (topic.to_string(), status)
        };
        tallies.counts().into_iter().map(status).collect()
    }

    /// The youngest sample that is at least so old, or else the oldest.
    fn before(&self, now: Instant, age: Duration) -> Option<&Sample> {
        let old = self.samples.iter().rev().find(|(at, _)| now.saturating_duration_since(*at) >= age);
        old.or_else(|| self.samples.front())
    }
}

type Sample = (Instant, BTreeMap<Arc<str>, Counts>);

fn rates(then: Counts, now: Counts, time: Duration) -> ConsumeStatus {
    let seconds = time.as_secs_f64();
    let per_second = |then: u64, now: u64| if seconds > 0.0 { (now - then) as f64 / seconds } else { 0.0 };
    let mean_millis = |micros: u64, times: u64| match times {
        0 => 0.0,
        times => micros as f64 / 1000.0 / times as f64,
    };
    ConsumeStatus {
        consume_failed_msgs: 0,
        consume_failed_tps: per_second(then.failed, now.failed),
        consume_ok_tps: per_second(then.succeeded, now.succeeded),
        consume_rt: mean_millis(now.call_micros - then.call_micros, now.calls - then.calls),
        pull_rt: mean_millis(now.pull_micros - then.pull_micros, now.pulls - then.pulls),
        pull_tps: per_second(then.pulled, now.pulled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn rates_are_those_of_the_last_minute_and_failures_those_of_the_last_hour() {
        let (mut rates, tallies, start) = (Rates::default(), Tallies::default(), Instant::now());
        let tally = tallies.of(&"t".into());
        let mut table = |second: u64| {
            rates.sample(start + seconds(second), &tallies);
            rates.status_table(start + seconds(second), &tallies)["t"].clone()
        };
        table(0);
        tally.pulled(600, seconds(3));
        tally.consumed(1, 500, 100, seconds(6));
        let young = table(10);
        assert_eq!((young.pull_tps, young.consume_ok_tps, young.consume_failed_tps), (60.0, 50.0, 10.0));
        assert_eq!((young.pull_rt, young.consume_rt, young.consume_failed_msgs), (3_000.0, 6_000.0, 100));
        tally.consumed(1, 60, 0, Duration::from_millis(30));
        (20..=70).step_by(10).for_each(|second| _ = table(second));
        let later = table(70);
        assert_eq!((later.consume_ok_tps, later.consume_failed_tps, later.pull_tps), (1.0, 0.0, 0.0));
        assert_eq!((later.consume_rt, later.pull_rt, later.consume_failed_msgs), (30.0, 0.0, 100));
        (80..=3_600).step_by(10).for_each(|second| _ = table(second));
        assert_eq!(table(3_600).consume_failed_msgs, 100);
        (3_610..=3_620).step_by(10).for_each(|second| _ = table(second));
        assert_eq!(table(3_620).consume_failed_msgs, 0);
    }

    #[test]
    fn samples_of_more_than_an_hour_ago_are_forgotten() {
        let (mut rates, tallies, start) = (Rates::default(), Tallies::default(), Instant::now());
        (0..20_000).for_each(|second| rates.sample(start + seconds(second), &tallies));
        assert_eq!(rates.samples.len(), 361);
    }
}
