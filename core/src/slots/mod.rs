//! Two slots of NOR flash for model files: a new one is written beside the one that runs, and takes
//! over only when it is whole.
//!
//! Each slot is half of the storage:
//!
//! ```text
//!  0          32         64                  2048
//!  | record    | commit   | marks of progress  | model file ...
//! ```
//!
//! - *record*: magic, layout, length and CRC-32C of the file, generation, and its own CRC-32C;
//!   little-endian words, then ones. Written when a file is offered.
//! - *commit*: the record once more, written when the whole file has been read back and has its CRC.
//!   A slot is valid if both are equal and the file's CRC is right; of two valid slots the one of
//!   the later generation counts.
//! - *marks*: one write unit of zeros for each stretch of the slot that is written, so that an upload
//!   goes on after a power cut.
//!
//! A slot that runs is never written. A power cut at any byte leaves it valid, and the other one
//! invalid until the last byte of its commit is there.

mod loader;
#[cfg(test)]
mod tests;

pub use loader::{Loader, Mapped, Room};

use crate::link::frame::CRC;
use core::ops::Range;
use embedded_storage::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind};

/// Bytes of a slot in front of the model file.
pub const DATA_OFFSET: u32 = 2048;
/// Pieces of a file have a multiple of this length, except for the last one.
pub const PIECE_ALIGN: usize = RECORD_LEN;

const RECORD_LEN: usize = 32;
const COMMIT_OFFSET: u32 = RECORD_LEN as u32;
const MARKS_OFFSET: u32 = 2 * RECORD_LEN as u32;
const MAGIC: u32 = 0x4d54_5350;
const LAYOUT: u32 = 1;

/// Why a file is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SlotError {
    /// The storage has no room for two slots.
    NoRoom,
    /// The file is longer than a slot.
    TooLarge {
        /// Bytes of the longest file.
        there: u32,
    },
    /// A piece that is not the next one, or without an offer.
    OutOfPlace,
    /// The file is not whole, or its CRC is another.
    Damaged,
    /// The flash refuses.
    Flash,
}

impl SlotError {
    fn of(error: impl NorFlashError) -> Self {
        match error.kind() {
            NorFlashErrorKind::OutOfBounds => Self::NoRoom,
            _ => Self::Flash,
        }
    }
}

/// A file in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The slot, 0 or 1.
    pub slot: u8,
    /// Number of the upload: later ones are larger, modulo 2^32.
    pub generation: u32,
    /// Length of the file, bytes.
    pub len: u32,
    /// [`file_crc32c`](crate::link::file_crc32c) of the file.
    pub crc32c: u32,
    /// Place of the file in the storage.
    at: u32,
}

impl Stored {
    /// Place of the file in the storage, bytes.
    pub fn range(&self) -> Range<usize> {
        let at = self.at as usize;
        at..at + self.len as usize
    }

    fn record(&self) -> [u8; RECORD_LEN] {
        let mut record = [0xff; RECORD_LEN];
        let words = [MAGIC, LAYOUT, self.len, self.crc32c, self.generation];
        for (place, word) in record.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let crc = CRC.checksum(&record[..20]);
        record[20..24].copy_from_slice(&crc.to_le_bytes());
        record
    }

    /// What a record says, if it is whole and its file fits the slot at `base`.
    fn of_record(record: &[u8; RECORD_LEN], slot: u8, base: u32, room: u32) -> Option<Self> {
        let word = |i: usize| {
            let bytes = record.chunks_exact(4).nth(i)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let stored = Self {
            slot,
            generation: word(4)?,
            len: word(2)?,
            crc32c: word(3)?,
            at: base + DATA_OFFSET,
        };
        (stored.record() == *record && stored.len <= room).then_some(stored)
    }
}

/// A file that is being written.
struct Upload {
    stored: Stored,
    /// Bytes of the slot that are written, from its start.
    written: u32,
    /// Bytes of the slot that are erased or written.
    erased: u32,
}

/// Two slots in a flash.
pub struct Slots<F> {
    flash: F,
    slot_len: u32,
    active: Option<Stored>,
    upload: Option<Upload>,
}

impl<F: NorFlash> Slots<F> {
    /// Sizes of the flash that the layout can use.
    const SIZES: () = assert!(
        RECORD_LEN.is_multiple_of(F::WRITE_SIZE)
            && RECORD_LEN.is_multiple_of(F::READ_SIZE)
            && F::ERASE_SIZE.is_multiple_of(RECORD_LEN)
    );

    /// Finds the valid slots in `flash`. The active one is the later of those that `is_usable`.
    ///
    /// # Errors
    /// [`SlotError::NoRoom`] if the flash has no room for two slots, [`SlotError::Flash`] if it can't
    /// be read.
    pub fn open(
        flash: F,
        mut is_usable: impl FnMut(&F, &Stored) -> bool,
    ) -> Result<Self, SlotError> {
        let () = Self::SIZES;
        let erase = F::ERASE_SIZE;
        let slot_len = flash.capacity() / 2 / erase * erase;
        let slot_len = u32::try_from(slot_len).map_err(|_| SlotError::NoRoom)?;
        if slot_len <= DATA_OFFSET.next_multiple_of(erase as u32) {
            return Err(SlotError::NoRoom);
        }
        let mut slots = Self {
            flash,
            slot_len,
            active: None,
            upload: None,
        };
        for slot in [0, 1] {
            let Some(stored) = slots.valid(slot)? else {
                continue;
            };
            let is_later = slots.active.is_none_or(|active| {
                (stored.generation.wrapping_sub(active.generation) as i32) > 0
            });
            if is_later && is_usable(&slots.flash, &stored) {
                slots.active = Some(stored);
            }
        }
        Ok(slots)
    }

    /// The file that counts.
    pub fn active(&self) -> Option<Stored> {
        self.active
    }

    /// The storage.
    pub fn flash(&self) -> &F {
        &self.flash
    }

    /// Bytes of the longest file.
    pub fn room(&self) -> u32 {
        self.slot_len - DATA_OFFSET
    }

    /// The file that is being written.
    pub fn upload(&self) -> Option<Stored> {
        self.upload.as_ref().map(|upload| upload.stored)
    }

    /// Begins to write a file, or goes on with it if it was interrupted. Returns the bytes of it
    /// that are there.
    ///
    /// # Errors
    /// [`SlotError::TooLarge`], [`SlotError::Flash`].
    pub fn begin(&mut self, len: u32, crc32c: u32) -> Result<u32, SlotError> {
        let there = self.room();
        if len > there {
            return Err(SlotError::TooLarge { there });
        }
        self.upload = None;
        let slot = self.active.map_or(0, |active| 1 - active.slot);
        let base = self.base(slot);
        let stored = Stored {
            slot,
            generation: self.active.map_or(1, |a| a.generation.wrapping_add(1)),
            len,
            crc32c,
            at: base + DATA_OFFSET,
        };
        // Flash that has been written in part may refuse to be written again.
        let commit = self.read_record(base + COMMIT_OFFSET)?;
        let is_resumed = self.read_record(base)? == stored.record() && commit == [0xff; RECORD_LEN];
        let mut written = match is_resumed {
            true => self.marked(base)?.min(DATA_OFFSET + len),
            false => 0,
        };
        let first = DATA_OFFSET.next_multiple_of(F::ERASE_SIZE as u32);
        if written <= DATA_OFFSET {
            self.erase(base, base + first)?;
            self.write(base, &stored.record())?;
            written = DATA_OFFSET;
        }
        let erased = written.max(first);
        self.upload = Some(Upload {
            stored,
            written,
            erased,
        });
        Ok(written - DATA_OFFSET)
    }

    /// Writes the piece of the file from byte `at` on. Returns the first byte that is missing.
    ///
    /// # Errors
    /// [`SlotError::OutOfPlace`] if it is not the next piece, or is none whose length is a multiple
    /// of [`PIECE_ALIGN`] or reaches the file's end; [`SlotError::Flash`].
    pub fn piece(&mut self, at: u32, bytes: &[u8]) -> Result<u32, SlotError> {
        let upload = self.upload.as_ref().ok_or(SlotError::OutOfPlace)?;
        let Upload {
            stored,
            written,
            erased,
        } = *upload;
        let left = (DATA_OFFSET + stored.len).saturating_sub(written) as usize;
        let is_last = bytes.len() == left;
        if at != written - DATA_OFFSET
            || bytes.is_empty()
            || bytes.len() > left
            || !(is_last || bytes.len().is_multiple_of(PIECE_ALIGN))
        {
            return Err(SlotError::OutOfPlace);
        }
        let base = self.base(stored.slot);
        let end = written + bytes.len().next_multiple_of(PIECE_ALIGN) as u32;
        let reached = end.next_multiple_of(F::ERASE_SIZE as u32);
        if reached > erased {
            self.erase(base + erased, base + reached)?;
        }
        let (whole, rest) = bytes.as_chunks::<PIECE_ALIGN>();
        let mut place = base + written;
        for unit in whole {
            self.write(place, unit)?;
            place += PIECE_ALIGN as u32;
        }
        if !rest.is_empty() {
            let mut unit = [0xff; PIECE_ALIGN];
            unit[..rest.len()].copy_from_slice(rest);
            self.write(place, &unit)?;
        }
        let stretch = self.stretch();
        for mark in written / stretch..end / stretch {
            // Without its mark, which was perhaps cut off before, a stretch is written once more.
            let place = self.mark_place(base, mark);
            let _ = self.write(place, &[0; RECORD_LEN][..F::WRITE_SIZE]);
        }
        self.upload = Some(Upload {
            stored,
            written: end,
            erased: erased.max(reached),
        });
        Ok(at + bytes.len() as u32)
    }

    /// Whether every byte of the file is there and has the CRC that was offered.
    ///
    /// # Errors
    /// [`SlotError::Damaged`] if not, and the upload is over; [`SlotError::OutOfPlace`] without one.
    pub fn check(&mut self) -> Result<Stored, SlotError> {
        let Some(Upload {
            stored, written, ..
        }) = self.upload
        else {
            return Err(SlotError::OutOfPlace);
        };
        if written < DATA_OFFSET + stored.len || self.file_crc(&stored)? != stored.crc32c {
            self.cancel()?;
            return Err(SlotError::Damaged);
        }
        Ok(stored)
    }

    /// Makes a file that is whole the one that counts.
    ///
    /// # Errors
    /// As [`check`](Self::check), and [`SlotError::Flash`].
    pub fn commit(&mut self) -> Result<Stored, SlotError> {
        let stored = self.check()?;
        let base = self.base(stored.slot);
        self.write(base + COMMIT_OFFSET, &stored.record())?;
        self.upload = None;
        if !self.is_committed(base)? {
            return Err(SlotError::Flash);
        }
        self.active = Some(stored);
        Ok(stored)
    }

    /// Forgets the upload, so that the next one begins anew.
    ///
    /// # Errors
    /// [`SlotError::Flash`].
    pub fn cancel(&mut self) -> Result<(), SlotError> {
        match self.upload.take() {
            Some(upload) => {
                let base = self.base(upload.stored.slot);
                self.erase(base, base + F::ERASE_SIZE as u32)
            }
            None => Ok(()),
        }
    }

    fn base(&self, slot: u8) -> u32 {
        u32::from(slot) * self.slot_len
    }

    /// The file of a slot that is committed and whole.
    fn valid(&mut self, slot: u8) -> Result<Option<Stored>, SlotError> {
        let base = self.base(slot);
        let record = self.read_record(base)?;
        let stored = Stored::of_record(&record, slot, base, self.room());
        match stored {
            Some(stored) if self.is_committed(base)? => {
                let is_whole = self.file_crc(&stored)? == stored.crc32c;
                Ok(is_whole.then_some(stored))
            }
            _ => Ok(None),
        }
    }

    fn is_committed(&mut self, base: u32) -> Result<bool, SlotError> {
        Ok(self.read_record(base)? == self.read_record(base + COMMIT_OFFSET)?)
    }

    /// Bytes of the slot that a mark says are written.
    fn marked(&mut self, base: u32) -> Result<u32, SlotError> {
        let stretch = self.stretch();
        for mark in 0..self.slot_len / stretch {
            let mut unit = [0; RECORD_LEN];
            // A whole record is read, as some flashes cannot read less than a write unit.
            let place = self.mark_place(base, mark);
            let aligned = place - place % RECORD_LEN as u32;
            self.read(aligned, &mut unit)?;
            let from = (place - aligned) as usize;
            if unit[from..from + F::WRITE_SIZE]
                .iter()
                .any(|byte| *byte != 0)
            {
                return Ok(mark * stretch);
            }
        }
        Ok(self.slot_len)
    }

    /// Bytes of the slot that one mark stands for: whole erase units, as few as the marks' room
    /// allows, and more than what lies in front of the file.
    fn stretch(&self) -> u32 {
        let n_marks = (DATA_OFFSET - MARKS_OFFSET) / F::WRITE_SIZE as u32;
        let least = self.slot_len.div_ceil(n_marks).max(DATA_OFFSET + 1);
        least.next_multiple_of(F::ERASE_SIZE as u32)
    }

    fn mark_place(&self, base: u32, mark: u32) -> u32 {
        base + MARKS_OFFSET + mark * F::WRITE_SIZE as u32
    }

    fn file_crc(&mut self, stored: &Stored) -> Result<u32, SlotError> {
        let mut digest = CRC.digest();
        let mut unit = [0; RECORD_LEN];
        let mut left = stored.len as usize;
        let mut place = stored.at;
        while left > 0 {
            self.read(place, &mut unit)?;
            let n = left.min(RECORD_LEN);
            digest.update(&unit[..n]);
            left -= n;
            place += RECORD_LEN as u32;
        }
        Ok(digest.finalize())
    }

    fn read_record(&mut self, place: u32) -> Result<[u8; RECORD_LEN], SlotError> {
        let mut record = [0; RECORD_LEN];
        self.read(place, &mut record)?;
        Ok(record)
    }

    fn read(&mut self, place: u32, bytes: &mut [u8]) -> Result<(), SlotError> {
        self.flash.read(place, bytes).map_err(SlotError::of)
    }

    fn write(&mut self, place: u32, bytes: &[u8]) -> Result<(), SlotError> {
        self.flash.write(place, bytes).map_err(SlotError::of)
    }

    fn erase(&mut self, from: u32, to: u32) -> Result<(), SlotError> {
        self.flash.erase(from, to).map_err(SlotError::of)
    }
}
