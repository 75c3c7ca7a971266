//! What a group keeps on this machine: a broadcasting group's offsets, and what is settled above the commit points.

use std::sync::Arc;

use gantry_core::{ConsumerGroup, MessageModel, QueueJournal, SettledOffsets};
use gantry_protocol::MessageQueue;

use super::settings::client_settings;
use crate::config::{GantryConfig, group_name};
use crate::plugins::ListenerPlan;
use crate::state::StateDirectory;
use crate::state::journal::{self, Journal, Snapshot};
use crate::state::offsets_file::OffsetsFile;

/// What all groups of a host keep their things in.
#[derive(Debug, Clone)]
pub(crate) struct Keeping {
    pub(crate) state: Arc<StateDirectory>,
    /// None where it cannot be kept.
    pub(crate) journal: Option<Arc<Journal>>,
}

/// What one group keeps.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// What the journal knows the group by: its cluster and its name, since another cluster has other messages at the same
    /// offsets.
    journal_name: Arc<str>,
    journal: Option<Arc<Journal>>,
    /// A broadcasting group's offsets (RocketMQ: LocalFileOffsetStore); none where they are at the brokers.
    pub(super) offsets: Option<Arc<OffsetsFile>>,
    settled: Vec<(MessageQueue, SettledOffsets)>,
}

impl Keeping {
    /// Opens what the group that `plan` founds has kept, under its name at the brokers. Blocks for some file operations.
    pub(super) fn open(&self, plan: &ListenerPlan, config: &GantryConfig) -> Kept {
        let given = config.group_settings(&plan.group);
        let (cluster, client) = (plan.cluster.as_deref(), client_settings(plan, config));
        let consumer_group = client.namespace.wrap(&plan.consumer_group);
        let group = &*group_name(&consumer_group, cluster);
        let tenant: String = client.namespace_v2.iter().map(|tenant| format!("{tenant}/")).collect();
        let name_server = config.name_server_of(cluster);
        let journal_name: Arc<str> = format!("{name_server}/{tenant}{consumer_group}").into();
        let offsets = (plan.message_model == MessageModel::Broadcasting).then(|| {
            let path = given.offset_store_file.clone();
            let (file, warning) = OffsetsFile::open(path.unwrap_or_else(|| self.state.offsets_file(group)));
            if let Some(warning) = warning {
                tracing::warn!(group = plan.group, "{warning}");
            }
            Arc::new(file)
        });
        let journal = self.journal.clone().filter(|_| given.settled_journal != Some(false));
        let settled = journal.as_ref().map(|journal| journal.load(&journal_name)).unwrap_or_default();
        let settled = settled.into_iter().map(|(mq, kept)| (mq, settled_offsets(kept))).collect();
        Kept { journal_name, journal, offsets, settled }
    }

    /// The machine with what it knew in its former life.
    pub(super) fn remind(&self, machine: ConsumerGroup, kept: &mut Kept) -> ConsumerGroup {
        let settled = std::mem::take(&mut kept.settled);
        machine.with_former_ids(self.state.former_client_ids()).with_settled(settled)
    }
}

impl Kept {
    /// What a group keeps whose messages are settled one by one at the brokers.
    pub(super) fn nothing() -> Self {
        Self { journal_name: Arc::default(), journal: None, offsets: None, settled: Vec::new() }
    }

    /// Keeps a queue's settled offsets in place of what was kept of it. Costs no more than the lock of a map.
    pub(super) fn journal(&self, QueueJournal { mq, settled }: QueueJournal) {
        let Some(journal) = &self.journal else { return };
        match settled {
            None => journal.remove(&self.journal_name, mq),
            Some(SettledOffsets { stored, commit, newest_store_timestamp, ranges }) => {
                journal.put(
                    &self.journal_name,
                    mq,
                    Snapshot { stored, commit, newest_store_timestamp, ranges },
                );
            }
        }
    }
}

fn settled_offsets(kept: journal::QueueJournal) -> SettledOffsets {
    let journal::QueueJournal { stored, commit, newest_store_timestamp, ranges, .. } = kept;
    SettledOffsets { stored, commit, newest_store_timestamp, ranges }
}
