//! Memory that runs are read into from files, used again: what is there already costs no page faults, and is not filled with zeros
//! before each read.

use std::sync::{Arc, Mutex};

use crate::sync::lock;

/// What is smaller than this, or larger than [`MOST`], has memory of its own.
const LEAST: usize = 16 * 1024;
const MOST: usize = 512 * 1024;
/// Most buffers kept while nobody has them.
const MOST_FREE: usize = 32;

/// The buffers that are free, each of a power of two of bytes.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

/// So many bytes of memory, which goes back when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    size: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// Memory of this size, in which anything may be.
    pub(super) fn lend(self: &Arc<Self>, size: usize) -> Buffer {
        let bytes =
            if (LEAST..=MOST).contains(&size) { self.kept(size.next_power_of_two()) } else { vec![0; size] };
        Buffer { bytes, size, home: Arc::clone(self) }
    }

    fn kept(&self, whole: usize) -> Vec<u8> {
        let mut free = lock(&self.free);
        match free.iter().rposition(|bytes| bytes.len() == whole) {
            Some(place) => free.swap_remove(place),
            None => {
                drop(free);
                vec![0; whole]
            }
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.size).unwrap_or_default()
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.size).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !(LEAST..=MOST).contains(&self.size) {
            return;
        }
        let mut free = lock(&self.home.free);
        if free.len() == MOST_FREE {
            // Sizes that are not asked for any more make room for those that are.
            free.remove(0);
        }
        free.push(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &Arc<Buffers>, size: usize) -> Buffer {
        let mut buffer = buffers.lend(size);
        assert_eq!(buffer.as_ref().len(), size);
        buffer.as_mut().fill(7);
        buffer
    }

    #[test]
    fn what_was_given_back_is_lent_again_for_about_as_much() {
        let buffers = Arc::new(Buffers::default());
        let (first, second) = (filled(&buffers, LEAST + 1), filled(&buffers, 2 * LEAST));
        let place = first.as_ref().as_ptr();
        drop(first);
        assert_ne!(filled(&buffers, LEAST).as_ref().as_ptr(), place);
        assert_eq!(filled(&buffers, 2 * LEAST - 1).as_ref().as_ptr(), place);
        assert!(second.as_ref().iter().all(|byte| *byte == 7));
    }

    #[test]
    fn few_are_kept_none_too_small_or_too_large_and_the_sizes_asked_for_last() {
        let buffers = Arc::new(Buffers::default());
        drop([0, 1, LEAST - 1, MOST + 1].map(|size| filled(&buffers, size)));
        assert!(lock(&buffers.free).is_empty());
        let many = |size: usize| (0..2 * MOST_FREE).map(|_| filled(&buffers, size)).collect::<Vec<_>>();
        drop(many(LEAST));
        drop(many(MOST));
        let free = lock(&buffers.free);
        assert_eq!(free.len(), MOST_FREE);
        assert!(free.iter().filter(|bytes| bytes.len() == MOST).count() > MOST_FREE / 2);
    }
}
