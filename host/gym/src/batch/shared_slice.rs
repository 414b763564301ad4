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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_filled_at_the_same_time_are_the_whole_slice() {
        let mut bytes = [0; 12];
        let shared = SharedSlice::new(&mut bytes);
        std::thread::scope(|scope| {
            for part in 0..3_u8 {
                scope.spawn(move || {
                    let first = 4 * usize::from(part);
                    // SAFETY: the slice outlives the scope, and the parts are apart.
                    unsafe { shared.part(first..first + 4) }.fill(part);
                });
            }
        });
        assert_eq!(bytes, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    }

    #[test]
    #[should_panic(expected = "range.end <= self.len")]
    fn a_part_past_the_end_is_a_panic() {
        let mut bytes = [0; 4];
        // SAFETY: there is no other part.
        let _ = unsafe { SharedSlice::new(&mut bytes).part(2..5) };
    }
}
