//! A register of a part without a crate for its peripherals.
#![allow(unsafe_code)]

/// A register at a fixed address: one of the part that the firmware is built for.
pub(super) struct Register(pub(super) usize);

impl Register {
    pub(super) fn read(&self) -> u32 {
        // SAFETY: a register of the part, which is accessed as a whole word.
        unsafe { (self.0 as *const u32).read_volatile() }
    }

    pub(super) fn write(&self, value: u32) {
        // SAFETY: as above.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }
}
