use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use gantry_protocol::{FrameDecoder, MAX_FRAME, RemotingCommand};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::output::{Frame, Output};
use super::secure::{Halves, Reading, Writing};
use super::{Call, CloseReason, Peer};
use crate::core::Core;
use crate::handlers;
use crate::store::Lot;

/// Bytes read, and bytes of replies gathered, at once.
const BLOCK: usize = 64 * 1024;
const GATHER: usize = 256 * 1024;

/// Lets a connection in, through TLS where it comes that way, and starts its two tasks.
pub(super) async fn admit(core: Arc<Core>, socket: TcpStream, address: SocketAddr, id: u64) {
    // Replies are small and awaited; a failure to say so only costs latency.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, %address, "TCP_NODELAY was refused");
    }
    let addresses = (address, socket.local_addr().ok());
    let halves = tokio::select! {
        halves = core.gate.pass(socket) => halves,
        () = core.tasks.stopping.cancelled() => Err(CloseReason::Stopping),
    };
    match halves {
        Ok(halves) => start(core, halves, addresses, id),
        Err(reason) => {
            core.server.count(&reason);
            core.server.open.fetch_sub(1, Ordering::Relaxed);
            log_close(address, &reason);
        }
    }
}

fn start(core: Arc<Core>, halves: Halves, addresses: (SocketAddr, Option<SocketAddr>), id: u64) {
    let (address, _) = addresses;
    let Halves { reading, writing } = halves;
    let (outgoing, queued) = mpsc::channel(core.config.limits.output_frames);
    let peer = Arc::new(Peer::new(id, addresses, outgoing, core.config.limits.output_bytes));
    let drain = core.config.timing.drain;
    core.tasks.spawn("write", write(Arc::clone(&peer), writing, queued, drain));
    let tasks = core.tasks.clone();
    tasks.spawn("read", async move {
        let ended = read(&core, &peer, reading).await;
        if matches!(ended, CloseReason::Stopping) {
            // What was sent before is stored and answered before the connection closes.
            core.store.settled().await;
        }
        peer.close(ended.clone());
        let reason = peer.closed_for().unwrap_or(ended);
        core.server.count(&reason);
        core.server.open.fetch_sub(1, Ordering::Relaxed);
        log_close(address, &reason);
        core.peer_gone(&peer);
    });
}

fn log_close(address: SocketAddr, reason: &CloseReason) {
    match reason {
        CloseReason::Client | CloseReason::Stopping => {
            tracing::debug!(%address, %reason, "connection closed")
        }
        CloseReason::Broken(_) | CloseReason::Silent => {
            tracing::info!(%address, %reason, "connection closed")
        }
        CloseReason::BadFrame(_) | CloseReason::SlowReader | CloseReason::Handshake(_) => {
            tracing::warn!(%address, %reason, "connection closed");
        }
    }
}

/// Reads requests until the connection ends, and says why it did.
async fn read(core: &Arc<Core>, peer: &Arc<Peer>, mut reading: Reading) -> CloseReason {
    let decoder = FrameDecoder::new(MAX_FRAME);
    let mut buffer = BytesMut::with_capacity(BLOCK);
    let idle = core.config.timing.member_expiry;
    let mut lot = Lot::default();
    loop {
        let cut = loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(command)) => take(core, peer, command, &mut lot).await,
                Ok(None) => break Ok(()),
                Err(error) => break Err(CloseReason::BadFrame(error.to_string())),
            }
        };
        core.store.write_last(&mut lot, &|| handlers::arrived(core)).await;
        if let Err(reason) = cut {
            return reason;
        }
        if buffer.capacity() - buffer.len() < BLOCK / 4 {
            buffer.reserve(BLOCK);
        }
        let read = tokio::select! {
            read = tokio::time::timeout(idle, reading.read_buf(&mut buffer)) => read,
            () = core.tasks.stopping.cancelled() => return CloseReason::Stopping,
            () = peer.closing.cancelled() => return CloseReason::Client,
        };
        match read {
            Ok(Ok(0)) if buffer.is_empty() => return CloseReason::Client,
            Ok(Ok(0)) => return CloseReason::BadFrame("the client closed it within a frame".to_owned()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return CloseReason::Broken(error.to_string()),
            Err(_) => return CloseReason::Silent,
        }
    }
}

async fn take(core: &Arc<Core>, peer: &Arc<Peer>, command: RemotingCommand, lot: &mut Lot) {
    if command.is_response() {
        peer.answered(command);
        return;
    }
    let call = Call::new(Arc::clone(peer), &command);
    handlers::dispatch(core, call, command, lot).await;
}

/// Writes what is queued; when the connection closes, what is left, for a bounded time.
async fn write(peer: Arc<Peer>, mut writing: Writing, mut queued: mpsc::Receiver<Frame>, drain: Duration) {
    let mut output = Output::new();
    loop {
        let first = tokio::select! {
            first = queued.recv() => first,
            () = peer.closing.cancelled() => break,
        };
        let Some(first) = first else { break };
        gather(&peer, first, &mut queued, &mut output);
        // write_all_buf takes from the output what it has written, so nothing is sent twice after a cancellation.
        let written = tokio::select! {
            written = writing.write_all_buf(&mut output) => written,
            () = peer.closing.cancelled() => break,
        };
        if let Err(error) = written {
            peer.close(CloseReason::Broken(error.to_string()));
            return;
        }
    }
    queued.close();
    while let Ok(frame) = queued.try_recv() {
        output.push(frame);
    }
    // The client may be gone, and then nobody misses these.
    drop(tokio::time::timeout(drain, writing.write_all_buf(&mut output)).await);
    drop(tokio::time::timeout(drain, writing.shutdown()).await);
}

fn gather(peer: &Peer, first: Frame, queued: &mut mpsc::Receiver<Frame>, output: &mut Output) {
    let mut next = Some(first);
    while let Some(frame) = next {
        peer.written(frame.weight());
        output.push(frame);
        next = if output.remaining() < GATHER { queued.try_recv().ok() } else { None };
    }
}
