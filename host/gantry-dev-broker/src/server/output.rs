//! Frames on their way to a client: small ones gathered in one buffer, large bodies as they are, all of them in few writes.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use gantry_protocol::{RemotingCommand, ResponseCode};

/// Bytes the buffer begins with.
const BLOCK: usize = 64 * 1024;
/// A body of several pieces is taken as it is from this many bytes on, and copied below.
const LARGE: usize = 32 * 1024;

/// A command, and a body in pieces where it has one; its own is empty then.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) command: RemotingCommand,
    pub(super) pieces: Vec<Bytes>,
}

impl Frame {
    /// What it costs of a peer's bound.
    pub(super) fn weight(&self) -> usize {
        256 + self.command.body.len() + self.pieces.iter().map(Bytes::len).sum::<usize>()
    }
}

/// What is to be written, in order.
#[derive(Debug)]
pub(super) struct Output {
    buffer: BytesMut,
    /// What comes before the buffer.
    sealed: VecDeque<Bytes>,
    sealed_bytes: usize,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { buffer: BytesMut::with_capacity(BLOCK), sealed: VecDeque::new(), sealed_bytes: 0 }
    }

    /// Adds a frame; what cannot be sent as it is becomes an error that says so.
    pub(super) fn push(&mut self, Frame { command, pieces }: Frame) {
        let of_pieces = pieces.iter().map(Bytes::len).sum::<usize>();
        let large = of_pieces >= LARGE;
        if let Err(error) = command.encode_head(command.body.len() + of_pieces, &mut self.buffer) {
            tracing::warn!(%error, code = command.code, "a reply cannot be sent as it is");
            return self.push_error(command.opaque, &error.to_string());
        }
        self.buffer.extend_from_slice(&command.body);
        for piece in pieces {
            if large {
                self.seal();
                self.sealed_bytes += piece.len();
                self.sealed.push_back(piece);
            } else {
                self.buffer.extend_from_slice(&piece);
            }
        }
    }

    fn push_error(&mut self, opaque: i32, remark: &str) {
        let mut instead = RemotingCommand::response(ResponseCode::SYSTEM_ERROR).with_remark(remark);
        instead.opaque = opaque;
        if let Err(error) = instead.encode(&mut self.buffer) {
            tracing::error!(%error, "nor can the error that says so");
        }
    }

    fn seal(&mut self) {
        if !self.buffer.is_empty() {
            self.sealed_bytes += self.buffer.len();
            self.sealed.push_back(self.buffer.split().freeze());
        }
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.sealed_bytes + self.buffer.len()
    }

    fn chunk(&self) -> &[u8] {
        self.sealed.front().map_or(&self.buffer, |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let last = Some(&self.buffer[..]).filter(|buffer| !buffer.is_empty());
        let pieces = self.sealed.iter().map(|piece| &piece[..]).chain(last);
        slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(front) = self.sealed.front_mut() {
            let taken = count.min(front.len());
            front.advance(taken);
            (count, self.sealed_bytes) = (count - taken, self.sealed_bytes - taken);
            if !front.is_empty() {
                return;
            }
            self.sealed.pop_front();
        }
        self.buffer.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_protocol::{FrameDecoder, MAX_FRAME};

    fn frame(opaque: i32, body: &[u8], pieces: &[&[u8]]) -> Frame {
        let mut command =
            RemotingCommand::response(ResponseCode::SUCCESS).with_body(Bytes::copy_from_slice(body));
        command.opaque = opaque;
        Frame { command, pieces: pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect() }
    }

    fn decoded(mut bytes: BytesMut) -> Vec<(i32, usize)> {
        let decoder = FrameDecoder::default();
        std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap())
            .map(|command| (command.opaque, command.body.len()))
            .collect()
    }

    #[test]
    fn frames_leave_in_order_whatever_a_write_takes() {
        let large = vec![1; LARGE];
        for step in [1, 7, 1000, usize::MAX] {
            let mut output = Output::new();
            output.push(frame(1, b"one", &[]));
            output.push(frame(2, b"", &[&large, b"and more"]));
            output.push(frame(3, b"", &[b"a", b"b"]));
            output.push(frame(4, b"", &[&large]));
            output.push(frame(5, b"", &[]));
            let mut written = BytesMut::new();
            while output.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = output.chunks_vectored(&mut slices);
                let offered: Vec<u8> =
                    slices[..filled].iter().flat_map(|slice| slice.iter().copied()).take(step).collect();
                assert_eq!(output.chunk()[0], offered[0]);
                written.extend_from_slice(&offered);
                output.advance(offered.len());
            }
            assert_eq!(decoded(written), [(1, 3), (2, LARGE + 8), (3, 2), (4, LARGE), (5, 0)]);
        }
    }

    #[test]
    fn a_body_of_many_pieces_shares_their_memory() {
        let piece = Bytes::from(vec![1; LARGE]);
        let mut output = Output::new();
        output.push(Frame { pieces: vec![piece.clone()], ..frame(1, b"", &[]) });
        assert!(output.sealed.iter().any(|sealed| sealed.as_ptr() == piece.as_ptr()));
    }

    #[test]
    fn a_frame_that_is_too_long_becomes_an_error() {
        let mut output = Output::new();
        output.push(frame(7, b"", &[&vec![0; MAX_FRAME]]));
        let mut bytes = output.copy_to_bytes(output.remaining()).try_into_mut().unwrap();
        let error = FrameDecoder::default().decode(&mut bytes).unwrap().unwrap();
        assert_eq!((error.opaque, error.response_code()), (7, ResponseCode::SYSTEM_ERROR));
    }
}
