//! What is sent next, and when: repetitions, batches, the rate.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::args::SendArgs;
use super::source::{Item, Source};

/// How far a pace may fall behind and still make it up: timers are no finer than a millisecond.
const SLACK: Duration = Duration::from_millis(20);

/// Gives out what is to be sent together: one message, or those of a batch.
pub(super) struct Parcels<'a> {
    args: &'a SendArgs,
    source: Source,
    pace: Option<Pace>,
    /// The message at hand, and how often it is still to be sent.
    repeated: Option<(Item, u64)>,
    /// The batch that is being gathered.
    gathered: Vec<Item>,
}

impl<'a> Parcels<'a> {
    pub(super) fn new(args: &'a SendArgs, source: Source) -> Self {
        Self { args, source, pace: args.rate.map(Pace::new), repeated: None, gathered: Vec::new() }
    }

    /// The next parcel, when it is time for it; none at the end. Nothing is lost when this is dropped before it is ready.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<Item>>> {
        let most = self.args.batch.unwrap_or(1);
        loop {
            let Some(topic) = self.next_topic().await? else { break };
            let fits = self.gathered.first().is_none_or(|first| first.message.topic == topic);
            if !fits || self.gathered.len() >= most {
                break;
            }
            if let Some(pace) = &mut self.pace {
                pace.turn().await;
            }
            let next = self.take();
            self.gathered.extend(next);
            if self.gathered.len() >= most {
                break;
            }
        }
        let parcel = std::mem::take(&mut self.gathered);
        Ok(Some(parcel).filter(|parcel| !parcel.is_empty()))
    }

    /// The topic of the next message, which stays the next one.
    async fn next_topic(&mut self) -> anyhow::Result<Option<String>> {
        if self.repeated.is_none() {
            let count = self.args.count;
            self.repeated = self.source.next(self.args).await?.map(|item| (item, count));
        }
        Ok(self.repeated.as_ref().map(|(item, _)| item.message.topic.clone()))
    }

    fn take(&mut self) -> Option<Item> {
        let (item, left) = self.repeated.take()?;
        if left > 1 {
            self.repeated = Some((item.clone(), left - 1));
        }
        Some(item)
    }
}

/// So many a second.
struct Pace {
    period: Duration,
    due: Instant,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self { period: Duration::from_secs(1) / rate, due: Instant::now() }
    }

    async fn turn(&mut self) {
        sleep_until(self.due).await;
        let now = Instant::now();
        self.due = self.due.max(now.checked_sub(SLACK).unwrap_or(now)) + self.period;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SendArgs,
    }

    async fn parcels(more: &[&str], jsonl: &str) -> (Vec<String>, Duration) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("messages.jsonl");
        std::fs::write(&file, jsonl).unwrap();
        let args = Line::parse_from([&["send", "t", "--jsonl", file.to_str().unwrap()], more].concat()).args;
        let began = Instant::now();
        let mut parcels = Parcels::new(&args, Source::open(&args).unwrap());
        let mut told = Vec::new();
        while let Some(parcel) = parcels.next().await.unwrap() {
            let shown = parcel.iter().map(|item| String::from_utf8_lossy(&item.message.body).into_owned());
            told.push(shown.collect::<Vec<_>>().join("+"));
        }
        (told, began.elapsed())
    }

    const LINES: &str = "{\"body\": \"a\"}\n\n// a note\n{\"body\": \"b\"}\n{\"body\": \"c\", \"topic\": \"u\"}\n{\"body\": \"d\"}\n";

    #[tokio::test]
    async fn each_message_is_a_parcel_as_often_as_wanted() {
        assert_eq!(parcels(&[], LINES).await.0, ["a", "b", "c", "d"]);
        let twice = parcels(&["--count", "2"], LINES).await.0;
        assert_eq!(twice, ["a", "a", "b", "b", "c", "c", "d", "d"]);
    }

    #[tokio::test]
    async fn a_batch_is_of_one_topic_and_ends_with_the_messages() {
        assert_eq!(parcels(&["--batch", "3"], LINES).await.0, ["a+b", "c", "d"]);
        assert_eq!(parcels(&["--batch", "3", "--count", "2"], LINES).await.0, ["a+a+b", "b", "c+c", "d+d"]);
    }

    #[tokio::test]
    async fn a_rate_is_kept_but_for_the_slack() {
        let (told, took) = parcels(&["--count", "25", "--rate", "1000"], LINES).await;
        assert_eq!(told.len(), 100);
        assert!(took >= Duration::from_millis(99) - SLACK, "{took:?}");
    }
}
