//! Bytes from the peer to commands.

use std::sync::Arc;

use bytes::BytesMut;
use gantry_protocol::FrameDecoder;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::Instant,
};

use crate::{connection::Shared, error::CloseReason};

/// What one read may bring. Bodies are slices of this buffer, so a large one saves copies and system calls.
const READ_CAPACITY: usize = 128 * 1024;

/// With less room than this a new buffer is taken.
const LEAST_ROOM: usize = 16 * 1024;

/// Reads until the connection ends, from either side.
pub(crate) async fn read_frames(source: impl AsyncRead + Unpin, shared: Arc<Shared>) {
    tokio::select! {
        () = shared.stopped() => {}
        reason = read_to_end(source, &shared) => shared.close(reason),
    }
}

async fn read_to_end(mut source: impl AsyncRead + Unpin, shared: &Arc<Shared>) -> CloseReason {
    let decoder = FrameDecoder::new(shared.settings().max_frame);
    let mut buffer = BytesMut::with_capacity(READ_CAPACITY);
    loop {
        if buffer.capacity() - buffer.len() < LEAST_ROOM {
            buffer.reserve(READ_CAPACITY);
        }
        match source.read_buf(&mut buffer).await {
            Ok(0) => return end_of_stream(&buffer),
            Ok(count) => shared.heard(count, Instant::now()),
            Err(error) => return CloseReason::Io(Arc::new(error)),
        }
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(command)) => shared.receive(command),
                Ok(None) => break,
                Err(error) => return CloseReason::BadFrame(Arc::new(error)),
            }
        }
    }
}

fn end_of_stream(rest: &[u8]) -> CloseReason {
    if rest.is_empty() {
        return CloseReason::PeerClosed;
    }
    let total = rest.first_chunk::<4>().map_or(4, |prefix| u32::from_be_bytes(*prefix) as usize + 4);
    CloseReason::HalfFrame { missing: total.saturating_sub(rest.len()).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_inside_a_frame_says_how_much_is_missing() {
        assert!(matches!(end_of_stream(&[]), CloseReason::PeerClosed));
        assert!(matches!(end_of_stream(&[0, 0]), CloseReason::HalfFrame { missing: 2 }));
        assert!(matches!(end_of_stream(&[0, 0, 0, 9, 1]), CloseReason::HalfFrame { missing: 8 }));
    }
}
