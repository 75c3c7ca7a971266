//! When a message comes again: its listener's wish, exactly, or RocketMQ's schedule.

use std::time::Duration;

use gantry_protocol::delay_level;

use crate::input::RetryDelay;

/// Seconds by reconsume times, from 0; the last for all beyond (RocketMQ: DefaultMQPushConsumerImpl.popDelayLevel).
const POP_DELAY_LEVEL: [u64; 16] =
    [10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1_200, 1_800, 3_600, 7_200];

/// The longest a message can be hidden: brokers refuse timers of more than three days (RocketMQ: timerMaxDelaySec).
const MOST: Duration = Duration::from_secs(3 * 24 * 3_600);

/// How long a message that has come `reconsume_times` before stays hidden.
pub(super) fn delay(wish: RetryDelay, reconsume_times: i32) -> Duration {
    let millis = match wish {
        RetryDelay::ByAttempts => {
            let place = usize::try_from(reconsume_times).unwrap_or(0).min(POP_DELAY_LEVEL.len() - 1);
            POP_DELAY_LEVEL.get(place).map_or(0, |seconds| seconds * 1_000)
        }
        RetryDelay::Level(level) => delay_level::delay_ms(i32::from(level).max(1)),
        RetryDelay::Millis(millis) => millis,
    };
    Duration::from_millis(millis.max(1)).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_read_like_the_table() {
        let table = include_str!("../testdata/pop_delays.txt");
        for line in table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let (asked, expected) = line.split_once("->").unwrap();
            let words: Vec<&str> = asked.split_whitespace().collect();
            let (wish, times) = match words[..] {
                ["by-attempts", times] => (RetryDelay::ByAttempts, times.parse().unwrap()),
                ["level", level] => (RetryDelay::Level(level.parse().unwrap()), 0),
                ["ms", millis] => (RetryDelay::Millis(millis.parse().unwrap()), 0),
                _ => panic!("unknown wish in {line:?}"),
            };
            let millis: u64 = expected.trim().parse().unwrap();
            assert_eq!(delay(wish, times), Duration::from_millis(millis), "{line}");
        }
    }
}
