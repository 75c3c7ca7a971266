//! How long to wait after the n-th failure in a row.

use std::time::Duration;

/// Doubles from `min` up to `max`, and takes off up to half of it, so that many clients that lost the same broker do
/// not come back at one instant. `failures` counts from 1; `random` is in 0.0..1.0.
pub(crate) fn delay(min: Duration, max: Duration, failures: u32, random: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    let full = min.saturating_mul(1 << doublings).min(max);
    full.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(10);

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let waits: Vec<_> = (1..=9).map(|n| delay(MIN, MAX, n, 0.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(delay(MIN, MAX, u32::MAX, 0.0), MAX);
    }

    #[test]
    fn jitter_takes_off_at_most_half() {
        assert_eq!(delay(MIN, MAX, 3, 1.0), Duration::from_millis(200));
        assert_eq!(delay(MIN, MAX, 3, 0.5), Duration::from_millis(300));
    }
}
