//! Stands in for the flash of Arm's MPS2 boards. Their program memory is RAM, which keeps what is
//! written until the power goes off; here it has the rules of NOR flash.
// SAFETY of the whole file: `flash` returns one owner of the memory behind the image, which nothing
// else uses. That owner, `Storage`, checks each range.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

/// Where the program memory begins.
pub const FLASH_START: usize = 0;
/// The region FLASH of `memory.x`.
const LEN: usize = 4 * 1024 * 1024;

/// The program memory.
pub struct Flash(());

/// Takes the program memory; `None` after the first call.
pub fn flash() -> Option<Flash> {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    if IS_TAKEN.load(Ordering::Relaxed) {
        return None;
    }
    IS_TAKEN.store(true, Ordering::Relaxed);
    Some(Flash(()))
}

fn get(at: usize) -> u8 {
    // SAFETY: see the top of the file.
    unsafe { (at as *const u8).read_volatile() }
}

fn set(at: usize, value: u8) {
    // SAFETY: see the top of the file.
    unsafe { (at as *mut u8).write_volatile(value) }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for (at, byte) in (offset as usize..).zip(bytes) {
            *byte = get(at);
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        LEN
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        (from as usize..to as usize).for_each(|at| set(at, 0xff));
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        for (at, byte) in (offset as usize..).zip(bytes) {
            set(at, get(at) & byte);
        }
        Ok(())
    }
}
