//! The 18 delay levels of a stock broker (RocketMQ: MessageStoreConfig.messageDelayLevel).

/// Delay of each level in milliseconds; level `n` is at index `n - 1`.
pub const LEVELS_MS: [u64; 18] = [
    1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 180_000, 240_000, 300_000, 360_000, 420_000, 480_000,
    540_000, 600_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000,
];

/// The longest level.
pub const MAX_LEVEL: i32 = LEVELS_MS.len() as i32;

/// What is added to a message's reconsume times to get the level of its next retry: the first waits 10 s.
pub const FIRST_RETRY_LEVEL: i32 = 3;

/// Delay of a level in milliseconds. Level 0 and below is no delay; above the longest counts as the longest.
pub fn delay_ms(level: i32) -> u64 {
    let index = usize::try_from(level).unwrap_or(0).min(LEVELS_MS.len());
    index.checked_sub(1).and_then(|index| LEVELS_MS.get(index)).copied().unwrap_or(0)
}

/// The level a broker uses for a retry when it may choose: 3 + reconsume times, at most the longest.
pub fn level_for_retry(reconsume_times: i32) -> i32 {
    FIRST_RETRY_LEVEL.saturating_add(reconsume_times).clamp(1, MAX_LEVEL)
}

/// The shortest level that waits at least `ms` milliseconds; the longest level if none does.
pub fn level_for_delay(ms: u64) -> i32 {
    let shorter = LEVELS_MS.iter().take_while(|&&level| level < ms).count();
    i32::try_from(shorter).unwrap_or(MAX_LEVEL).saturating_add(1).min(MAX_LEVEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_clamped_to_the_table() {
        assert_eq!([-1, 0, 1, 3, 18, 99].map(delay_ms), [0, 0, 1_000, 10_000, 7_200_000, 7_200_000]);
    }

    #[test]
    fn the_first_retry_waits_ten_seconds() {
        assert_eq!(delay_ms(level_for_retry(0)), 10_000);
        assert_eq!(level_for_retry(i32::MAX), 18);
    }

    #[test]
    fn a_wanted_delay_takes_the_next_longer_level() {
        assert_eq!([0, 1_000, 1_001, 9_999, 7_200_000, u64::MAX].map(level_for_delay), [1, 1, 2, 3, 18, 18]);
    }
}
