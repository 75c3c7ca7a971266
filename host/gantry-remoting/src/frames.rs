//! Frames that leave together in one vectored write.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};
use tokio::sync::OwnedSemaphorePermit;

/// One encoded frame in the output queue, with the room it takes there.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) frame: Bytes,
    /// Held, not read: dropping it makes room for another frame.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// Frames being written, in order. A frame gives its room in the output queue back when it has left in full.
#[derive(Debug, Default)]
pub(crate) struct FrameBatch {
    frames: VecDeque<Outgoing>,
    left: usize,
}

impl FrameBatch {
    pub(crate) fn extend(&mut self, frames: impl Iterator<Item = Outgoing>) {
        for outgoing in frames {
            self.left += outgoing.frame.len();
            self.frames.push_back(outgoing);
        }
    }
}

impl Buf for FrameBatch {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.frames.front().map_or(&[], |outgoing| &outgoing.frame)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(&self.frames);
        filled.map(|(slice, outgoing)| *slice = IoSlice::new(&outgoing.frame)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.left = self.left.saturating_sub(count);
        while let Some(front) = self.frames.front_mut() {
            let whole = front.frame.len();
            if count < whole {
                front.frame.advance(count);
                return;
            }
            count -= whole;
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    fn outgoing(room: &Arc<Semaphore>, bytes: &'static [u8]) -> Outgoing {
        let permit = Arc::clone(room).try_acquire_many_owned(bytes.len() as u32).unwrap();
        Outgoing { frame: Bytes::from_static(bytes), _room: permit }
    }

    #[test]
    fn a_partial_write_keeps_the_rest_and_frees_only_whole_frames() {
        let room = Arc::new(Semaphore::new(100));
        let mut batch = FrameBatch::default();
        batch.extend([outgoing(&room, b"abc"), outgoing(&room, b"defgh")].into_iter());
        batch.advance(4);
        assert_eq!(batch.remaining(), 4);
        assert_eq!(batch.chunk(), b"efgh");
        assert_eq!(room.available_permits(), 95);
        batch.advance(4);
        assert!(!batch.has_remaining());
        assert_eq!(room.available_permits(), 100);
    }

    #[test]
    fn all_frames_go_into_one_vectored_write() {
        let room = Arc::new(Semaphore::new(100));
        let mut batch = FrameBatch::default();
        batch.extend([outgoing(&room, b"ab"), outgoing(&room, b"cd"), outgoing(&room, b"ef")].into_iter());
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(batch.chunks_vectored(&mut slices), 3);
        assert_eq!(&*slices[2], b"ef");
    }
}
