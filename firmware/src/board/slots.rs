//! The flash that the image leaves: room for the models that a host sends.
//!
//! It begins behind the image. So another image of another size moves it, and the models are lost.
// SAFETY of the whole file: `Flash` has one owner, here. The memory is read as a slice only while
// nothing is written to it, and no write goes to the slot that runs.
#![allow(unsafe_code)]

use super::part::{FLASH_START, Flash, flash};
use crate::image;
use core::slice;
use core::sync::atomic::{Ordering, compiler_fence};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read,
    check_write,
};
use pusht_core::slots::{Mapped, Stored};

/// The flash behind the image, in whole pages. It checks the range of each operation, so that a
/// board's `Flash` need not.
pub struct Storage {
    flash: Flash,
    /// Its place in the flash, bytes.
    from: u32,
    len: u32,
}

impl Storage {
    /// Takes the flash; `None` after the first call, or where it can't be written.
    pub fn take() -> Option<Self> {
        let flash = flash()?;
        let page = Flash::ERASE_SIZE;
        let from = (image::end() - FLASH_START).next_multiple_of(page);
        let len = (flash.capacity() / page * page).checked_sub(from)?;
        Some(Self {
            flash,
            from: u32::try_from(from).ok()?,
            len: u32::try_from(len).ok()?,
        })
    }

    /// The file of the active slot, which is never written.
    pub fn file(&self, active: &Stored) -> Option<&'static [u8]> {
        self.bytes().get(active.range())
    }

    fn bytes(&self) -> &'static [u8] {
        let start = FLASH_START + self.from as usize;
        // SAFETY: see the top of the file.
        unsafe { slice::from_raw_parts(start as *const u8, self.len as usize) }
    }

    /// Runs an operation that changes memory without the compiler's knowledge.
    fn change<E: NorFlashError>(
        &mut self,
        operate: impl FnOnce(&mut Flash) -> Result<(), E>,
    ) -> Result<(), NorFlashErrorKind> {
        let result = operate(&mut self.flash);
        compiler_fence(Ordering::SeqCst);
        result.map_err(|error| error.kind())
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
        bytes.copy_from_slice(&self.bytes()[from..from + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.len as usize
    }
}

impl NorFlash for Storage {
    const WRITE_SIZE: usize = Flash::WRITE_SIZE;
    const ERASE_SIZE: usize = Flash::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        check_erase(self, from, to)?;
        let start = self.from;
        self.change(|flash| flash.erase(start + from, start + to))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        check_write(self, offset, bytes.len())?;
        let start = self.from;
        self.change(|flash| flash.write(start + offset, bytes))
    }
}

impl Mapped for Storage {
    fn mapped(&self) -> &[u8] {
        self.bytes()
    }
}
