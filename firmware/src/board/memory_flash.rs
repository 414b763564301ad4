//! The model slots of Arm's MPS2 boards. Their program memory is RAM, which keeps what is written
//! until the power goes off; here it has the rules of NOR flash.
// SAFETY of the whole file: `take` returns one owner of the memory, which `memory.x` keeps for it
// alone. It is read as a slice only while no write is under way.
#![allow(unsafe_code)]

use core::ptr::addr_of;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use pusht_core::slots::{Mapped, Stored};

unsafe extern "C" {
    // Symbols of the memory map; only the addresses have a meaning.
    static _slots_start: u8;
    static _slots_end: u8;
}

/// The memory between `_slots_start` and `_slots_end`.
pub struct Storage {
    start: *mut u8,
    len: usize,
}

impl Storage {
    /// Takes the memory; `None` after the first call.
    pub fn take() -> Option<Self> {
        static IS_TAKEN: AtomicBool = AtomicBool::new(false);
        if IS_TAKEN.load(Ordering::Relaxed) {
            return None;
        }
        IS_TAKEN.store(true, Ordering::Relaxed);
        let start = addr_of!(_slots_start);
        Some(Self {
            start: start.cast_mut(),
            len: addr_of!(_slots_end) as usize - start as usize,
        })
    }

    /// The file of the active slot, which is never written.
    pub fn file(&self, active: &Stored) -> Option<&'static [u8]> {
        // SAFETY: see the top of the file; no write goes to the active slot.
        let all = unsafe { slice::from_raw_parts(self.start, self.len) };
        all.get(active.range())
    }

    fn set(&mut self, at: usize, value: u8) {
        #[cfg(feature = "power-cuts")]
        power_cut(at, self.len / 2);
        // SAFETY: see the top of the file; the caller has checked `at`.
        unsafe { self.start.add(at).write_volatile(value) };
    }
}

/// Restarts before byte 0 of a slot is written for the first time, then before byte 100, and so on:
/// the start loses what the core knows, as with a power cut, and the memory stays.
#[cfg(feature = "power-cuts")]
fn power_cut(at: usize, slot_len: usize) {
    use core::sync::atomic::AtomicU32;
    const EVERY: u32 = 100;
    const MARK: u32 = 0x0c07_0c07;
    #[unsafe(link_section = ".uninit.CUTS")]
    static CUTS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
    let [mark, next] = &CUTS;
    if mark.load(Ordering::Relaxed) != MARK {
        mark.store(MARK, Ordering::Relaxed);
        next.store(0, Ordering::Relaxed);
    }
    // The first file is stored without a cut, in the first slot.
    let cut = next.load(Ordering::Relaxed);
    if at >= slot_len && (at - slot_len) as u32 == cut {
        next.store(cut + EVERY, Ordering::Relaxed);
        cortex_m::peripheral::SCB::sys_reset();
    }
}

impl ErrorType for Storage {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Storage {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        check_read(self, offset, bytes.len())?;
        let from = offset as usize;
        bytes.copy_from_slice(&self.mapped()[from..from + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.len
    }
}

impl NorFlash for Storage {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        check_erase(self, from, to)?;
        for at in from as usize..to as usize {
            self.set(at, 0xff);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        check_write(self, offset, bytes.len())?;
        for (at, byte) in (offset as usize..).zip(bytes) {
            let value = self.mapped()[at] & byte;
            self.set(at, value);
        }
        Ok(())
    }
}

impl Mapped for Storage {
    fn mapped(&self) -> &[u8] {
        // SAFETY: see the top of the file.
        unsafe { slice::from_raw_parts(self.start, self.len) }
    }
}
