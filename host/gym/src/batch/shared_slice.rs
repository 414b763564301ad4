//! A caller's slice that the threads of a pool fill together.
#![allow(unsafe_code)]

use std::ops::Range;

/// A `&mut [u8]` without its lifetime, for threads that outlive it.
#[derive(Clone, Copy)]
pub(super) struct SharedSlice {
    start: *mut u8,
    len: usize,
}

// SAFETY: It is only a place in memory; `part` has the conditions under which that is accessed.
unsafe impl Send for SharedSlice {}

impl SharedSlice {
    pub(super) fn new(slice: &mut [u8]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
        }
    }

    /// The bytes in `range`.
    ///
    /// # Safety
    /// The slice is still borrowed by the call that made `self`, and no byte of `range` is in
    /// another part that is in use.
    ///
    /// # Panics
    /// If `range` is not within the slice.
    pub(super) unsafe fn part<'a>(self, range: Range<usize>) -> &'a mut [u8] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: The range is within the slice; the caller promises the rest.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
