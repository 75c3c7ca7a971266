//! Queued frames to the peer.

use std::{io, pin::pin, sync::Arc};

use bytes::Buf as _;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::timeout,
};

use crate::{
    connection::Shared,
    error::CloseReason,
    frames::{FrameBatch, Outgoing},
};

/// Frames taken from the queue for one write; as many slices as one system call takes.
const BATCH_FRAMES: usize = 64;

/// Writes until the connection ends, from either side. When this side closes, what is queued still leaves.
pub(crate) async fn write_frames(
    mut sink: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
) {
    let mut batch = FrameBatch::default();
    let mut taken = Vec::with_capacity(BATCH_FRAMES);
    let mut stopped = pin!(shared.stopped());
    let failed = loop {
        tokio::select! {
            biased;
            () = &mut stopped => break None,
            _ = queue.recv_many(&mut taken, BATCH_FRAMES) => {}
        }
        shared.sent(taken.iter().map(|outgoing| outgoing.frame.len()));
        batch.extend(taken.drain(..));
        tokio::select! {
            biased;
            () = &mut stopped => break None,
            written = write_batch(&mut sink, &mut batch, &shared) => {
                if let Err(reason) = written {
                    break Some(reason);
                }
            }
        }
    };
    match failed {
        Some(reason) => shared.close(reason),
        None if shared.closed_by_this_side() => flush(sink, batch, queue, &shared).await,
        None => {}
    }
}

/// Cancel-safe: what was written has left the batch, what was not is still in it.
async fn write_batch(
    sink: &mut (impl AsyncWrite + Unpin),
    batch: &mut FrameBatch,
    shared: &Shared,
) -> Result<(), CloseReason> {
    let patience = shared.settings().silence_limit;
    while batch.has_remaining() {
        match timeout(patience, sink.write_buf(batch)).await {
            Err(_) => return Err(CloseReason::Silent(patience)),
            Ok(Ok(0)) => return Err(CloseReason::Io(Arc::new(io::ErrorKind::WriteZero.into()))),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(CloseReason::Io(Arc::new(error))),
        }
    }
    Ok(())
}

async fn flush(
    mut sink: impl AsyncWrite + Unpin,
    mut batch: FrameBatch,
    mut queue: mpsc::Receiver<Outgoing>,
    shared: &Shared,
) {
    queue.close();
    let rest = async {
        while let Some(outgoing) = queue.recv().await {
            shared.sent(std::iter::once(outgoing.frame.len()));
            batch.extend(std::iter::once(outgoing));
        }
        let written = write_batch(&mut sink, &mut batch, shared).await;
        // The peer sees an orderly end; if it is gone already there is nobody to tell.
        let _ = sink.shutdown().await;
        written
    };
    let left = match timeout(shared.settings().flush_limit, rest).await {
        Ok(Ok(())) => return,
        Ok(Err(reason)) => reason.to_string(),
        Err(_) => format!("the peer did not take it within {:?}", shared.settings().flush_limit),
    };
    tracing::warn!(peer = %shared.peer(), reason = %left, "not everything queued was written before the connection closed");
}
