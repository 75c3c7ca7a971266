//! Whether a version that took over is so much worse than the one before it that it gives way: a decision from figures
//! alone.

use std::time::Duration;

use gantry_engine::Figures;

use crate::config::ProbationSettings;

/// Whether a version is on probation `since` it took over.
pub(super) fn lasts(settings: &ProbationSettings, since: Duration) -> bool {
    since < settings.window.duration()
}

/// Why the version gives way, if it does. `figures` are its own since it took over, `before` those of the one before it
/// while that served.
pub(super) fn fails(settings: &ProbationSettings, figures: &Figures, before: &Figures) -> Option<String> {
    let rate = |figures: &Figures| figures.fatal as f64 / figures.messages.max(1) as f64;
    let bad = figures.fatal >= settings.fatal_failures.max(1) && rate(figures) >= settings.fatal_rate.ratio();
    let was_better = rate(before) < settings.before_below.ratio();
    (bad && was_better).then(|| {
        format!(
            "{} of its {} messages cost it an instance, of the version before {} of {}",
            figures.fatal, figures.messages, before.fatal, before.messages
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(messages: u64, fatal: u64) -> Figures {
        Figures { messages, fatal, ..Figures::default() }
    }

    #[test]
    fn a_crash_loop_gives_way_and_nothing_less_does() {
        let table = [
            (figures(40, 20), figures(1000, 0), true, "20 failures, half of all"),
            (figures(20, 20), figures(0, 0), true, "the one before it had nothing to do"),
            (figures(19, 19), figures(1000, 0), false, "too few"),
            (figures(41, 20), figures(1000, 0), false, "less than half"),
            (figures(40, 40), figures(1000, 49), true, "the one before failed a little"),
            (figures(40, 40), figures(1000, 50), false, "the one before was no better"),
        ];
        for (version, before, expected, why) in table {
            let reason = fails(&ProbationSettings::default(), &version, &before);
            assert_eq!(reason.is_some(), expected, "{why}: {reason:?}");
        }
    }

    #[test]
    fn it_ends_with_its_window() {
        let settings = ProbationSettings::default();
        assert!(lasts(&settings, Duration::from_secs(299)));
        assert!(!lasts(&settings, Duration::from_secs(300)));
    }
}
