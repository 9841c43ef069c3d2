//! Large byte buffers that connections borrow only while data is under way.
//!
//! Each thread keeps a few free buffers; what is beyond that is given back to the allocator, so
//! that a burst leaves nothing behind. There is no I/O and no notion of records here, except that
//! the size is a whole number of the largest records that are sent.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Most plaintext that one TLS record holds.
pub(crate) const PLAINTEXT_MAX: usize = 16 * 1024;
/// Wire size of a full record of any suite that is offered: header, explicit nonce of TLS 1.2 or
/// type byte of TLS 1.3, tag.
pub(crate) const WIRE_RECORD_MAX: usize = 5 + 8 + PLAINTEXT_MAX + 16;
/// Records that one buffer holds, and therefore that one system call sends.
pub(crate) const RECORDS: usize = 4;
/// Size of every buffer, in bytes.
pub(crate) const BUFFER_BYTES: usize = RECORDS * WIRE_RECORD_MAX;
/// Free buffers that a thread keeps.
const KEPT: usize = 4;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`BUFFER_BYTES`]; its content is whatever the last user left there.
pub(crate) struct Buffer(Option<Box<[u8]>>);

impl Buffer {
    /// Takes a free buffer of this thread, or makes one.
    pub(crate) fn take() -> Self {
        let free = FREE.with(|free| free.borrow_mut().pop());
        Self(Some(free.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(bytes) = self.0.take() else { return };
        // At the end of a thread its free list may be gone already; then the buffer goes too.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT {
                free.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> usize {
        FREE.with(|free| free.borrow().len())
    }

    #[test]
    fn a_dropped_buffer_is_used_again_and_few_are_kept() {
        let first = Buffer::take();
        assert_eq!(first.len(), BUFFER_BYTES);
        let address = first.as_ptr();
        drop(first);
        let again = Buffer::take();
        assert_eq!(again.as_ptr(), address);
        let many: Vec<_> = (0..KEPT + 7).map(|_| Buffer::take()).collect();
        drop(many);
        drop(again);
        assert_eq!(kept(), KEPT);
    }
}
