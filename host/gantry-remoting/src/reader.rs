//! Bytes from the peer to commands.

use std::sync::Arc;

use bytes::BufMut as _;
use gantry_protocol::FrameDecoder;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::Instant,
};

use crate::{
    connection::Shared,
    error::CloseReason,
    read_buffer::{LARGE, LARGE_FRAME, ReadBuffer},
};

/// With less room than this nothing is read.
const LEAST_ROOM: usize = 16 * 1024;

/// Where much is missing of a large frame, little more than that is read: what has come of the next one may have to be moved.
const LOOK_AHEAD: usize = 16 * 1024;

/// Reads until the connection ends, from either side.
pub(crate) async fn read_frames(source: impl AsyncRead + Unpin, shared: Arc<Shared>) {
    tokio::select! {
        () = shared.stopped() => {}
        reason = read_to_end(source, &shared) => shared.close(reason),
    }
}

async fn read_to_end(mut source: impl AsyncRead + Unpin, shared: &Arc<Shared>) -> CloseReason {
    let decoder = FrameDecoder::new(shared.settings().max_frame);
    let mut buffer = ReadBuffer::new();
    let (mut missing, mut last) = (0, 0);
    loop {
        // The next frame is likely to be about as long as the last one. A buffer with nothing in it is changed at no cost.
        let likely = if buffer.filled().is_empty() { last.min(LARGE) } else { 0 };
        buffer.make_room(LEAST_ROOM.max(likely));
        let most = if missing > LARGE_FRAME { missing + LOOK_AHEAD } else { usize::MAX };
        match source.read_buf(&mut buffer.filled().limit(most)).await {
            Ok(0) => return end_of_stream(buffer.filled()),
            Ok(count) => shared.heard(count, Instant::now()),
            Err(error) => return CloseReason::Io(Arc::new(error)),
        }
        loop {
            missing = decoder.missing(buffer.filled());
            buffer.make_room(missing);
            let before = buffer.filled().len();
            match decoder.decode(buffer.filled()) {
                Ok(Some(command)) => {
                    last = before - buffer.filled().len();
                    shared.receive(command);
                }
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
