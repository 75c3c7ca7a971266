//! The memory cap of one instance.

use wasmtime::ResourceLimiter;

/// Counts the linear memory of one store, over all its memories, and refuses growth past the cap.
///
/// Growth is refused the way WebAssembly refuses it (`memory.grow` answers -1), so a guest that can cope goes on. One
/// that traps afterwards in the same call is reported as having run out of memory.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    max_bytes: usize,
    used_bytes: usize,
    /// What the last permitted growth added: taken back when the growth fails after all.
    last_growth: usize,
    refused: Option<usize>,
}

/// Entries in one table: a function pointer each, far beyond what compilers emit, far below what would hurt.
const MAX_TABLE_ELEMENTS: usize = 100_000;

impl MemoryLimit {
    pub(crate) const fn new(max_bytes: usize) -> Self {
        Self { max_bytes, used_bytes: 0, last_growth: 0, refused: None }
    }

    pub(crate) const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// What the instance holds now, in bytes: linear memory never shrinks.
    pub(crate) const fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Forgets an earlier refusal: called before each call.
    pub(crate) fn begin_call(&mut self) {
        self.refused = None;
    }

    /// How many bytes in total the guest asked for when it was refused, in this call.
    pub(crate) const fn refused(&self) -> Option<usize> {
        self.refused
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let total = self.used_bytes.saturating_add(growth);
        if total > self.max_bytes {
            self.refused = Some(total);
            return Ok(false);
        }
        self.used_bytes = total;
        self.last_growth = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.used_bytes = self.used_bytes.saturating_sub(std::mem::take(&mut self.last_growth));
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 65_536;

    #[test]
    fn the_cap_is_over_all_memories_together() {
        let mut limit = MemoryLimit::new(3 * PAGE);
        assert!(limit.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(limit.memory_growing(0, PAGE, None).unwrap());
        assert_eq!(limit.refused(), None);
        assert!(!limit.memory_growing(PAGE, 2 * PAGE, None).unwrap());
        assert_eq!(limit.refused(), Some(4 * PAGE));
        limit.begin_call();
        assert_eq!(limit.refused(), None);
    }

    #[test]
    fn growth_that_fails_after_all_is_not_counted() {
        let mut limit = MemoryLimit::new(2 * PAGE);
        assert!(limit.memory_growing(0, 2 * PAGE, None).unwrap());
        limit.memory_grow_failed(wasmtime::Error::msg("no pages")).unwrap();
        assert!(limit.memory_growing(0, 2 * PAGE, None).unwrap());
    }
}
