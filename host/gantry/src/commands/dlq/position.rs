//! How far the dead letters of a group were replayed: kept at the brokers, in a file, or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gantry_host::client_instance::ClientInstance;
use gantry_protocol::MessageQueue;
use serde::{Deserialize, Serialize};

use super::REPLAY_GROUP;

/// Where the position is kept.
#[derive(Debug)]
pub(super) enum Position {
    /// As the offsets of group GANTRY_REPLAY.
    Brokers,
    /// In a file.
    File(PositionFile),
    /// Nowhere: every replay begins at the oldest dead letter.
    Nowhere,
}

/// A file with positions.
#[derive(Debug)]
pub(super) struct PositionFile {
    path: PathBuf,
    kept: Kept,
}

/// What is in the file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// By topic, then by broker name and queue id as `broker:0`: the offset of the next dead letter to replay.
    topics: BTreeMap<String, BTreeMap<String, i64>>,
}

impl Position {
    /// The position in a file, which is made with the first replayed message.
    pub(super) fn in_file(path: &Path) -> anyhow::Result<Self> {
        let kept = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is no position file of `gantry dlq replay`", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Self::File(PositionFile { path: path.to_owned(), kept }))
    }

    /// The offset to go on at; none where nothing was replayed.
    pub(super) async fn offset(
        &self,
        client: &ClientInstance,
        mq: &MessageQueue,
    ) -> anyhow::Result<Option<i64>> {
        Ok(match self {
            Self::Brokers => client.query_offset(REPLAY_GROUP, mq).await?,
            Self::File(file) => {
                file.kept.topics.get(&*mq.topic).and_then(|queues| queues.get(&key(mq))).copied()
            }
            Self::Nowhere => None,
        })
    }

    /// Keeps that everything before `offset` was replayed.
    pub(super) async fn keep(
        &mut self,
        client: &ClientInstance,
        mq: &MessageQueue,
        offset: i64,
    ) -> anyhow::Result<()> {
        match self {
            Self::Brokers => client.update_offset(REPLAY_GROUP, mq, offset).await.with_context(|| {
                format!(
                    "the position cannot be kept at broker {}; --position keeps it in a file",
                    mq.broker_name
                )
            }),
            Self::File(file) => file.keep(mq, offset),
            Self::Nowhere => Ok(()),
        }
    }
}

impl PositionFile {
    /// Put in place whole, so that a kill leaves the old or the new.
    fn keep(&mut self, mq: &MessageQueue, offset: i64) -> anyhow::Result<()> {
        self.kept.topics.entry(mq.topic.to_string()).or_default().insert(key(mq), offset);
        let mut aside = self.path.clone().into_os_string();
        aside.push(".new");
        let written = std::fs::write(&aside, serde_json::to_vec(&self.kept)?)
            .and_then(|()| std::fs::rename(&aside, &self.path));
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn key(mq: &MessageQueue) -> String {
    format!("{}:{}", mq.broker_name, mq.queue_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(position: &Position) -> &PositionFile {
        match position {
            Position::File(file) => file,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_keeps_positions_of_several_topics_and_is_no_other_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("position.json");
        let (first, second) =
            (MessageQueue::new("%DLQ%a", "broker-a", 0), MessageQueue::new("%DLQ%b", "broker-b", 1));
        for (mq, offset) in [(&first, 3), (&second, 5), (&first, 4)] {
            let mut position = Position::in_file(&path).unwrap();
            match &mut position {
                Position::File(file) => file.keep(mq, offset).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        let kept = Position::in_file(&path).unwrap();
        let kept = &of(&kept).kept.topics;
        assert_eq!((kept["%DLQ%a"]["broker-a:0"], kept["%DLQ%b"]["broker-b:1"]), (4, 5));
        std::fs::write(&path, "{\"offsets\":{}}").unwrap();
        let error = Position::in_file(&path).unwrap_err().to_string();
        assert!(error.contains("is no position file"), "{error}");
    }
}
