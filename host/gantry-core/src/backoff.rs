//! Growing waits between attempts, a little apart from each other so that many queues do not try as one; and how long
//! an answer may take.

use std::time::Duration;

/// How long after its own time-out an answer is given up. A driver always answers; should one get lost all the same, no
/// queue, topic or message is to wait for it in silence for ever.
pub(crate) const ANSWER_OVERDUE: Duration = Duration::from_secs(60);

/// Waits that double from `first` to `most`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) most: Duration,
}

impl Backoff {
    /// The wait after this many failures in a row, from 1, with up to a tenth added.
    pub(crate) fn after(&self, failures: u32, random: &mut fastrand::Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let wait = self.first.saturating_mul(1 << doublings).min(self.most);
        wait + wait.mul_f64(random.f64() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_never_fall_short() {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(5) };
        let mut random = fastrand::Rng::with_seed(7);
        let mut wait = |failures| backoff.after(failures, &mut random).as_secs_f64();
        for (failures, least) in [(0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (u32::MAX, 5.0)] {
            let got = wait(failures);
            assert!((least..=least * 1.1).contains(&got), "after {failures}: {got}");
        }
    }
}
