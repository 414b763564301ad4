//! The flash of the STM32L475: two banks of 256 pages, erased by pages of 2 KiB, written by double
//! words, each of which has a code that corrects errors (RM0351, "Embedded Flash memory (FLASH)").
//!
//! The core stands still while it reads from a bank that is written: some 90 us for a double word,
//! 25 ms for a page (data sheet, "Flash memory characteristics").
// SAFETY of the whole file: `flash` returns one owner of the flash behind the image, `Storage`, which
// checks each range, and the handler changes nothing but the register that reports what it is for.
#![allow(unsafe_code)]

use super::chip::set_data_cache;
use crate::{fault, image};
use core::sync::atomic::{AtomicBool, Ordering};
use cortex_m_rt::exception;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use stm32_metapac::FLASH;
use stm32_metapac::flash::regs::{Cr, Sr};

/// Where the flash begins.
pub const FLASH_START: usize = 0x0800_0000;
const LEN: usize = 1024 * 1024;
const PAGE: u32 = 2048;
const PAGES_OF_A_BANK: u32 = 256;
/// What unlocks the control register (RM0351, "Unlocking the Flash memory").
const KEYS: [u32; 2] = [0x4567_0123, 0xcdef_89ab];
/// Bits of the status register that report errors, and are cleared by writing ones.
const ERRORS: Sr = Sr(0xc3fa);
/// Most looks at a busy controller: more than 60 ms at 80 MHz and five cycles each.
const MOST_LOOKS: u32 = 1_000_000;

/// The flash.
pub struct Flash(());

/// Takes the flash; `None` after the first call, or without a controller, whose control register is
/// locked after each reset.
pub fn flash() -> Option<Flash> {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    if IS_TAKEN.load(Ordering::Relaxed) {
        return None;
    }
    IS_TAKEN.store(true, Ordering::Relaxed);
    if !FLASH.cr().read().lock() {
        defmt::warn!("absent: FLASH.CR; no place for another model");
        return None;
    }
    Some(Flash(()))
}

/// Returns when no operation is under way.
fn wait() -> Result<(), NorFlashErrorKind> {
    for _ in 0..MOST_LOOKS {
        let state = FLASH.sr().read();
        if !state.bsy() {
            let has_failed = state.0 & ERRORS.0 != 0;
            return if has_failed {
                Err(NorFlashErrorKind::Other)
            } else {
                Ok(())
            };
        }
    }
    Err(NorFlashErrorKind::Other)
}

impl Flash {
    /// Runs an operation with the control register unlocked. The data cache is off meanwhile, and
    /// empty afterwards: it keeps what was in the flash before.
    fn unlocked(
        &mut self,
        operate: impl FnOnce() -> Result<(), NorFlashErrorKind>,
    ) -> Result<(), NorFlashErrorKind> {
        for key in KEYS {
            FLASH.keyr().write_value(key);
        }
        if FLASH.cr().read().lock() {
            return Err(NorFlashErrorKind::Other);
        }
        set_data_cache(false);
        // An error of an earlier operation refuses the next one.
        FLASH.sr().write_value(ERRORS);
        let result = wait().and_then(|()| operate());
        FLASH.cr().write(|w| w.set_lock(true));
        set_data_cache(true);
        result
    }
}

/// Erases the page of this number (RM0351, "Page erase").
fn erase_page(page: u32) -> Result<(), NorFlashErrorKind> {
    let mut control = Cr(0);
    control.set_per(true);
    control.set_bker(page >= PAGES_OF_A_BANK);
    control.set_pnb((page % PAGES_OF_A_BANK) as u8);
    FLASH.cr().write_value(control);
    control.set_start(true);
    FLASH.cr().write_value(control);
    wait()
}

/// Writes a double word (RM0351, "Standard programming").
fn write_double(at: usize, bytes: &[u8; 8]) -> Result<(), NorFlashErrorKind> {
    let (words, _) = bytes.as_chunks::<4>();
    for (word, place) in words.iter().zip((FLASH_START + at..).step_by(4)) {
        // SAFETY: see the top of the file.
        unsafe { (place as *mut u32).write_volatile(u32::from_le_bytes(*word)) };
        // In this order, whatever buffers there are.
        cortex_m::asm::dmb();
    }
    wait()
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for (byte, place) in bytes.iter_mut().zip(FLASH_START + offset as usize..) {
            // SAFETY: flash is always readable.
            *byte = unsafe { (place as *const u8).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        LEN
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = PAGE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.unlocked(|| (from / PAGE..to / PAGE).try_for_each(erase_page))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.unlocked(|| {
            FLASH.cr().write(|w| w.set_pg(true));
            let (doubles, _) = bytes.as_chunks::<8>();
            let mut places = (offset as usize..).step_by(8);
            (doubles.iter().zip(&mut places)).try_for_each(|(double, at)| write_double(at, double))
        })
    }
}

/// Two wrong bits in a double word, which can't be corrected (RM0351, "Error code correction (ECC)").
/// Power that goes while one is written leaves that behind the image, where the slots' checksums
/// find it: the read goes on. The image has no such check.
#[exception]
unsafe fn NonMaskableInt() {
    let error = FLASH.eccr().read();
    let bank = usize::from(error.bk_ecc()) * (PAGES_OF_A_BANK * PAGE) as usize;
    let address = FLASH_START + bank + error.addr_ecc() as usize;
    if !error.eccd() || address < image::end() {
        fault::memory_is_damaged(address as u32);
    }
    FLASH.eccr().write(|w| w.set_eccd(true));
}
