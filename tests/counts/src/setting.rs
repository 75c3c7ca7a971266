//! How messages are pulled and given out.

use std::fmt;

/// Most messages of a pull and of a batch (RocketMQ: pullBatchSize, consumeMessageBatchMaxSize).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) pull: usize,
    pub(crate) batch: usize,
}

/// RocketMQ's defaults, batches as large as its pulls, and the largest of both.
pub(crate) const SETTINGS: [Setting; 3] =
    [Setting { pull: 32, batch: 1 }, Setting { pull: 32, batch: 32 }, Setting { pull: 1024, batch: 1024 }];

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pull {}, batch {}", self.pull, self.batch)
    }
}
