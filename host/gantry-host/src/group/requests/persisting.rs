//! Offsets on their way: to the brokers in one lane, so that none overtakes another of its queue, or into the local file.

use std::sync::Arc;

use gantry_core::{PersistId, PersistMode};
use gantry_protocol::MessageQueue;
use tokio::sync::mpsc;

use super::Requests;
use crate::group::input::Input;
use crate::state::offsets_file::OffsetsFile;

/// An offset on its way to the broker.
#[derive(Debug)]
pub(super) struct Persist {
    pub(super) id: PersistId,
    pub(super) mq: MessageQueue,
    pub(super) offset: i64,
    pub(super) mode: PersistMode,
}

impl Requests {
    pub(super) fn persist(&self, persist: Persist) {
        if let Err(refused) = self.0.persists.try_send(persist) {
            let id = refused.into_inner().id;
            self.ask("persist-refused", async move |_: Self| {
                Some(Input::Persisted(id, Err("too many offsets are on their way to the broker".to_owned())))
            });
        }
    }

    /// Sends offsets in the order they were asked to be stored: brokers keep what comes last, so one sent one-way must
    /// not overtake or be overtaken by another of its queue.
    pub(super) async fn run_persists(&self, mut persists: mpsc::Receiver<Persist>) {
        while let Some(Persist { id, mq, offset, mode }) = persists.recv().await {
            match mode {
                PersistMode::Oneway => {
                    if let Err(error) = self.0.client.update_offset_oneway(&self.0.group, &mq, offset).await {
                        let _group_gone =
                            self.0.inputs.send(Input::Persisted(id, Err(error.to_string()))).await;
                    }
                }
                // Nothing is stored for this queue any more before this one is answered.
                PersistMode::Sync => self.ask("persist-offset", async move |this: Self| {
                    let result = this.0.client.update_offset(&this.0.group, &mq, offset).await;
                    Some(Input::Persisted(id, result.map_err(|error| error.to_string())))
                }),
            }
        }
    }

    /// Writes offsets into the local file, those that come together at once.
    pub(super) async fn run_local_persists(
        &self,
        file: &Arc<OffsetsFile>,
        mut persists: mpsc::Receiver<Persist>,
    ) {
        while let Some(first) = persists.recv().await {
            let mut taken = vec![first];
            while let Ok(next) = persists.try_recv() {
                taken.push(next);
            }
            for Persist { mq, offset, .. } in &taken {
                file.set(mq, *offset);
            }
            let writing = Arc::clone(file);
            let written = tokio::task::spawn_blocking(move || writing.persist()).await;
            let result = match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            for Persist { id, mode, .. } in taken {
                if mode == PersistMode::Sync || result.is_err() {
                    let _group_gone = self.0.inputs.send(Input::Persisted(id, result.clone())).await;
                }
            }
        }
    }
}
