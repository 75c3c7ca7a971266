//! Whether a version on trial as a canary has proved itself: a decision from figures alone.

use std::time::Duration;

use gantry_engine::Figures;

use crate::config::CanarySettings;

/// What is to become of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on. What it waits for.
    Wait(String),
    /// It serves from now on. Why.
    Promote(String),
    /// It serves no more. Why.
    RollBack(String),
}

/// Judges a canary `watched` for so long. Both figures are of that time only; `tripped` says that it crashed too often in a
/// row.
pub(super) fn judge(
    settings: &CanarySettings,
    watched: Duration,
    tripped: bool,
    serving: &Figures,
    candidate: &Figures,
) -> Verdict {
    if tripped {
        return Verdict::RollBack(format!(
            "{} batches in a row cost it an instance (crash-streak)",
            settings.crash_streak
        ));
    }
    let missing = settings.min_messages.max(1).saturating_sub(candidate.messages);
    if missing > 0 {
        return Verdict::Wait(format!("{missing} more messages (min-messages = {})", settings.min_messages));
    }
    if let Some(reason) = fails(settings, serving, candidate) {
        return Verdict::RollBack(reason);
    }
    if let Some(left) = settings.window.duration().checked_sub(watched).filter(|left| !left.is_zero()) {
        return Verdict::Wait(format!("{} s more (window)", left.as_secs() + 1));
    }
    if let Some(reason) = is_slow(settings, serving, candidate) {
        return Verdict::RollBack(reason);
    }
    let (failed, messages) = (failures(settings, candidate), candidate.messages);
    Verdict::Promote(format!("{failed} of {messages} messages failed within {watched:.0?}"))
}

fn failures(settings: &CanarySettings, figures: &Figures) -> u64 {
    figures.failed() + if settings.count_reconsume_later { figures.later } else { 0 }
}

fn fails(settings: &CanarySettings, serving: &Figures, candidate: &Figures) -> Option<String> {
    let rate = |figures: &Figures| failures(settings, figures) as f64 / figures.messages.max(1) as f64;
    let (own, other) = (rate(candidate), rate(serving));
    let limit = settings.max_error_rate.ratio().max(settings.max_error_ratio * other);
    (own > limit).then(|| {
        format!(
            "{:.1} % of its {} messages failed, and {:.1} % may (max-error-rate = {}, or {} times the {:.1} % of the serving version)",
            own * 100.0,
            candidate.messages,
            limit * 100.0,
            settings.max_error_rate,
            settings.max_error_ratio,
            other * 100.0
        )
    })
}

/// Only a version that has something to be compared with is slow.
fn is_slow(settings: &CanarySettings, serving: &Figures, candidate: &Figures) -> Option<String> {
    if settings.max_latency_ratio == 0.0 || serving.messages < settings.min_messages.max(1) {
        return None;
    }
    let each = |figures: &Figures| figures.micros as f64 / figures.messages.max(1) as f64;
    // Below this, what is measured is the host.
    const NOISE_MICROS: f64 = 100.0;
    let (own, other) = (each(candidate), each(serving).max(NOISE_MICROS));
    (own > other * settings.max_latency_ratio).then(|| {
        format!(
            "it takes {own:.0} µs a message and the serving version {:.0} µs (max-latency-ratio = {})",
            each(serving),
            settings.max_latency_ratio
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: u64 = 30;
    const AFTER: u64 = 60;

    fn figures(messages: u64, failed: u64, millis_each: u64) -> Figures {
        Figures { messages, broken: failed, micros: messages * millis_each * 1000, ..Figures::default() }
    }

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Wait(_) => "wait",
            Verdict::Promote(_) => "promote",
            Verdict::RollBack(_) => "roll back",
        }
    }

    #[test]
    fn a_canary_is_judged_by_messages_errors_time_and_latency() {
        let settings = CanarySettings::default();
        let good = figures(1000, 0, 1);
        let table = [
            (AFTER, good, figures(99, 0, 1), "wait", "for its 100 messages, however long that takes"),
            (AFTER, good, figures(99, 99, 1), "wait", "few messages are no rate"),
            (BEFORE, good, figures(100, 0, 1), "wait", "for the window"),
            (AFTER, good, figures(100, 0, 1), "promote", ""),
            (AFTER, good, figures(100, 1, 1), "promote", "1 % may fail"),
            (BEFORE, good, figures(100, 2, 1), "roll back", "without waiting for the window"),
            (AFTER, figures(1000, 100, 1), figures(100, 15, 1), "promote", "1.5 times 10 %"),
            (AFTER, figures(1000, 100, 1), figures(100, 16, 1), "roll back", "more than that"),
            (AFTER, good, figures(100, 0, 2), "promote", "twice as long may be"),
            (AFTER, good, figures(100, 0, 3), "roll back", "three times may not"),
            (BEFORE, good, figures(100, 0, 3), "wait", "latency is judged at the end"),
            (AFTER, figures(99, 0, 1), figures(100, 0, 9), "promote", "too few to compare with"),
            (AFTER, figures(0, 0, 0), figures(100, 0, 9), "promote", "nothing to compare with"),
        ];
        for (watched, serving, candidate, expected, why) in table {
            let verdict = judge(&settings, Duration::from_secs(watched), false, &serving, &candidate);
            assert_eq!(word(&verdict), expected, "{why}: {verdict:?}");
        }
    }

    #[test]
    fn a_crash_streak_ends_it_at_once() {
        let verdict =
            judge(&CanarySettings::default(), Duration::ZERO, true, &figures(0, 0, 0), &figures(3, 3, 1));
        assert_eq!(
            verdict,
            Verdict::RollBack("3 batches in a row cost it an instance (crash-streak)".into())
        );
    }

    #[test]
    fn reconsume_later_counts_where_it_is_to() {
        let later = Figures { later: 50, ..figures(100, 0, 1) };
        let judged = |count_reconsume_later| {
            let settings = CanarySettings { count_reconsume_later, ..CanarySettings::default() };
            word(&judge(&settings, Duration::from_secs(AFTER), false, &figures(1000, 0, 1), &later))
        };
        assert_eq!((judged(false), judged(true)), ("promote", "roll back"));
    }
}
