//! What is read of a connection, in memory that is used again.
//!
//! Bodies are slices of what was read, and live as long as somebody wants them. A buffer that is full is put aside, and filled anew when
//! the last body in it is gone: memory that is there already costs no page faults, and no work of the allocator.

use std::collections::VecDeque;

use bytes::BytesMut;

/// Bytes of a buffer. Bodies are slices of it, so a large one saves copies and system calls.
const USUAL: usize = 128 * 1024;

/// Bytes of a buffer where frames are large. One for a still larger frame is not put aside.
pub(crate) const LARGE: usize = 512 * 1024;

/// A frame of more bytes than this is large.
pub(crate) const LARGE_FRAME: usize = USUAL / 2;

/// Most buffers put aside.
const MOST_ASIDE: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    filled: BytesMut,
    /// Bytes of the whole buffer.
    size: usize,
    aside: VecDeque<BytesMut>,
}

impl ReadBuffer {
    pub(crate) fn new() -> Self {
        Self { filled: BytesMut::with_capacity(USUAL), size: USUAL, aside: VecDeque::new() }
    }

    /// What was read and is not taken off, with room behind it.
    pub(crate) fn filled(&mut self) -> &mut BytesMut {
        &mut self.filled
    }

    /// Sees to it that this many more bytes can be read.
    pub(crate) fn make_room(&mut self, room: usize) {
        if self.filled.capacity() - self.filled.len() >= room {
            return;
        }
        if self.filled.is_empty() && self.filled.try_reclaim(room) {
            return;
        }
        let needed = self.filled.len() + room;
        let usual = if needed > LARGE_FRAME { LARGE } else { USUAL };
        let free = self.aside.iter_mut().rposition(|aside| aside.try_reclaim(needed));
        let reclaimed = free.and_then(|place| self.aside.remove(place));
        let mut next = reclaimed.unwrap_or_else(|| BytesMut::with_capacity(needed.max(usual)));
        next.extend_from_slice(&self.filled);
        // One that is used again has nothing before its room: that is all of it.
        let size = std::mem::replace(&mut self.size, next.capacity());
        let mut full = std::mem::replace(&mut self.filled, next);
        if size > LARGE {
            return;
        }
        full.clear();
        self.aside.push_back(full);
        if self.aside.len() > MOST_ASIDE {
            self.aside.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &mut ReadBuffer, bytes: usize) {
        buffer.filled().resize(bytes, 7);
    }

    #[test]
    fn a_full_buffer_is_filled_anew_once_its_last_body_is_gone() {
        let mut buffer = ReadBuffer::new();
        read(&mut buffer, USUAL);
        let first = buffer.filled().as_ptr();
        let body = buffer.filled().split_to(USUAL).freeze();
        buffer.make_room(1);
        assert_ne!(buffer.filled().as_ptr(), first, "the body is still there");
        let second = buffer.filled().as_ptr();
        read(&mut buffer, USUAL);
        drop(buffer.filled().split_to(USUAL));
        buffer.make_room(1);
        assert_eq!(buffer.filled().as_ptr(), second, "nobody wants anything of it");
        read(&mut buffer, USUAL);
        let _other = buffer.filled().split_to(USUAL).freeze();
        assert!(body.iter().all(|byte| *byte == 7));
        drop(body);
        buffer.make_room(1);
        assert_eq!((buffer.filled().as_ptr(), buffer.filled().capacity()), (first, USUAL));
    }

    #[test]
    fn what_has_begun_to_come_moves_along() {
        let mut buffer = ReadBuffer::new();
        buffer.filled().extend_from_slice(b"whole");
        read(&mut buffer, USUAL - 4);
        buffer.filled().extend_from_slice(b"part");
        let _body = buffer.filled().split_to(USUAL - 4).freeze();
        buffer.make_room(300 * 1024);
        assert_eq!(&buffer.filled()[..], b"part");
        assert_eq!(buffer.filled().capacity(), LARGE);
        buffer.make_room(2 * LARGE);
        assert_eq!(&buffer.filled()[..], b"part");
        assert_eq!(buffer.filled().capacity(), 2 * LARGE + 4);
    }

    #[test]
    fn what_is_put_aside_is_bounded() {
        let mut buffer = ReadBuffer::new();
        let mut bodies = Vec::new();
        for _ in 0..3 * MOST_ASIDE {
            read(&mut buffer, USUAL);
            bodies.push(buffer.filled().split_to(USUAL).freeze());
            buffer.make_room(1);
        }
        assert_eq!(buffer.aside.len(), MOST_ASIDE);
        buffer.make_room(2 * LARGE);
        read(&mut buffer, 2 * LARGE);
        bodies.push(buffer.filled().split_to(2 * LARGE).freeze());
        buffer.make_room(1);
        drop(bodies);
        assert!(buffer.aside.iter_mut().all(|aside| !aside.try_reclaim(LARGE + 1)), "none that is larger");
    }
}
