//! The circuit breaker of one plugin: a machine that is told how batches ended and says whether it may have more.
//!
//! Closed, everything passes. Once the plugin keeps failing it opens: nothing passes for a pause. Then one batch passes, the
//! probe: if it ends well the breaker closes, else it opens for twice as long.

use std::time::{Duration, Instant};

use crate::config::BreakerSettings;

/// What may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Every batch.
    All,
    /// One.
    Probe,
    /// Nothing, before this moment or the end of the probe that is under way.
    Nothing {
        /// When to ask again; none while a probe is under way.
        until: Option<Instant>,
    },
}

/// What has just changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It gives the plugin nothing for this long.
    Opened {
        /// How long.
        pause: Duration,
        /// Why, for people.
        why: String,
    },
    /// The plugin has everything again.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant, pause: Duration },
    Probing { pause: Duration, taken: bool },
}

#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: State,
    why: String,
    /// Batches in a row that failed whole.
    streak: u32,
    window: Window,
    opened: u64,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    batches: u64,
    messages: u64,
    failed: u64,
}

impl Breaker {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        let (state, window) = (State::Closed, Window::default());
        Self { settings, state, why: String::new(), streak: 0, window, opened: 0 }
    }

    /// A batch has ended, with so many of its messages failed through the plugin's fault.
    pub(super) fn batch(&mut self, now: Instant, messages: u64, failed: u64) -> Option<Change> {
        if !self.settings.enabled || messages == 0 {
            return None;
        }
        let whole = failed >= messages;
        match self.state {
            State::Closed => {
                self.streak = if whole { self.streak.saturating_add(1) } else { 0 };
                self.window.count(now, self.settings.window.duration(), messages, failed);
                let why = self.too_much()?;
                Some(self.open(now, self.settings.pause.duration(), why))
            }
            // What was at the plugin already.
            State::Open { .. } => None,
            State::Probing { pause, .. } if whole => {
                let longer = (pause * 2).min(self.settings.max_pause.duration());
                Some(self.open(now, longer, self.why.clone()))
            }
            State::Probing { .. } => {
                self.reset();
                Some(Change::Closed)
            }
        }
    }

    /// Batches have ended in which nothing failed.
    pub(super) fn successes(&mut self, now: Instant, batches: u64, messages: u64) -> Option<Change> {
        let change = self.batch(now, messages, 0);
        self.window.batches += batches.saturating_sub(1);
        change
    }

    /// What may pass now.
    pub(super) fn admission(&mut self, now: Instant) -> Admission {
        if let State::Open { until, pause } = self.state
            && now >= until
        {
            self.state = State::Probing { pause, taken: false };
        }
        match self.state {
            State::Closed => Admission::All,
            State::Open { until, .. } => Admission::Nothing { until: Some(until) },
            State::Probing { taken: false, .. } => Admission::Probe,
            State::Probing { taken: true, .. } => Admission::Nothing { until: None },
        }
    }

    /// The probe is at the plugin.
    pub(super) fn probe_left(&mut self) {
        if let State::Probing { taken, .. } = &mut self.state {
            *taken = true;
        }
    }

    /// Another version serves: it begins with a clean record.
    pub(super) fn reset(&mut self) {
        (self.state, self.streak, self.window) = (State::Closed, 0, Window::default());
    }

    /// `closed`, `open` or `probing`; why it is not closed; and how often it has opened.
    pub(super) fn report(&self) -> (&'static str, Option<&str>, u64) {
        let state = match self.state {
            State::Closed => "closed",
            State::Open { .. } => "open",
            State::Probing { .. } => "probing",
        };
        (state, (self.state != State::Closed).then_some(self.why.as_str()), self.opened)
    }

    fn too_much(&self) -> Option<String> {
        let Window { batches, messages, failed, .. } = self.window;
        if self.streak >= self.settings.failures {
            return Some(format!("{} batches in a row failed whole", self.streak));
        }
        let rate = failed as f64 / messages.max(1) as f64;
        (batches >= self.settings.min_batches && rate >= self.settings.rate.ratio()).then(|| {
            format!("{failed} of {messages} messages failed within {:?}", self.settings.window.duration())
        })
    }

    fn open(&mut self, now: Instant, pause: Duration, why: String) -> Change {
        self.state = State::Open { until: now + pause, pause };
        self.opened += 1;
        (self.streak, self.window) = (0, Window::default());
        self.why.clone_from(&why);
        Change::Opened { pause, why }
    }
}

impl Window {
    fn count(&mut self, now: Instant, length: Duration, messages: u64, failed: u64) {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= length) {
            *self = Self { began: Some(now), ..Self::default() };
        }
        self.batches += 1;
        self.messages += messages;
        self.failed += failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Millis, Share};

    fn settings() -> BreakerSettings {
        BreakerSettings {
            failures: 3,
            min_batches: 4,
            rate: Share(500),
            max_pause: Millis(4_000),
            ..BreakerSettings::default()
        }
    }

    /// Plays a script: `f` a batch of two that fails whole, `h` one of which half fails, `g` a good one, `e` an empty
    /// one, `p` a probe that leaves, a digit that many seconds that pass, `!` another version. Answers with what may
    /// pass after each: `A`ll, a `P`robe, or nothing `.`.
    fn play(settings: BreakerSettings, script: &str) -> String {
        let (mut breaker, mut now) = (Breaker::new(settings), Instant::now());
        let step = |step: char| {
            match step {
                'f' => _ = breaker.batch(now, 2, 2),
                'h' => _ = breaker.batch(now, 2, 1),
                'g' => _ = breaker.batch(now, 2, 0),
                'e' => _ = breaker.batch(now, 0, 0),
                'p' => breaker.probe_left(),
                '!' => breaker.reset(),
                seconds => now += Duration::from_secs(u64::from(seconds.to_digit(10).unwrap())),
            }
            match breaker.admission(now) {
                Admission::All => 'A',
                Admission::Probe => 'P',
                Admission::Nothing { .. } => '.',
            }
        };
        script.chars().map(step).collect()
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_a_good_probe() {
        let table = [
            ("ffgff", "AAAAA", "a good batch ends the row"),
            ("fffff", "AA...", "three in a row"),
            ("ffe1f", "AAAA.", "an empty batch is nothing, and a pause no end"),
            ("fff1pg", "AA.P.A", "a second, a probe, closed"),
            ("fff1pf1", "AA.P...", "a failed probe: two seconds now"),
            ("fff1pf2pf3", "AA.P..P...", "then four"),
            ("fff1pf2pf4pf4", "AA.P..P..P..P", "which is the longest"),
            ("fff1pf2pgff", "AA.P..P.AAA", "all is forgotten once it closes"),
            ("fffg1", "AA..P", "what ends while it is open does not matter"),
            ("fff!ff", "AA.AAA", "another version begins anew"),
            ("fff9p9", "AA.P..", "one probe and no more, however long it takes"),
        ];
        let by_streak = BreakerSettings { min_batches: 1_000, ..settings() };
        for (script, expected, why) in table {
            assert_eq!(play(by_streak.clone(), script), expected, "{script}: {why}");
        }
    }

    #[test]
    fn it_opens_at_a_rate_over_the_window() {
        let table = [
            ("hhh", "AAA", "too few"),
            ("hhhh", "AAA.", "half of eight"),
            ("ghhh", "AAAA", "less than half"),
            ("hhh999h", "AAAAAA.", "within the window"),
            ("hhh9999h", "AAAAAAAA", "a new window begins"),
        ];
        for (script, expected, why) in table {
            assert_eq!(play(settings(), script), expected, "{script}: {why}");
        }
    }

    #[test]
    fn turned_off_it_never_opens() {
        let off = BreakerSettings { enabled: false, ..settings() };
        assert_eq!(play(off, "ffffffff"), "AAAAAAAA");
    }

    #[test]
    fn it_says_why() {
        let (mut breaker, now) = (Breaker::new(settings()), Instant::now());
        assert_eq!(breaker.batch(now, 1, 1), None);
        assert_eq!(breaker.report(), ("closed", None, 0));
        breaker.batch(now, 1, 1);
        let opened = breaker.batch(now, 1, 1);
        let why = "3 batches in a row failed whole";
        assert_eq!(opened, Some(Change::Opened { pause: Duration::from_secs(1), why: why.into() }));
        assert_eq!(breaker.report(), ("open", Some(why), 1));
    }
}
