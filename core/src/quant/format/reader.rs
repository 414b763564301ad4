//! Sequential reader of a model file.

use super::error::ModelError;
use crate::quant::kernels::read;

/// A position in a model file. Offsets in errors count from the start of the file.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    /// Remainder of the current section.
    rest: &'a [u8],
    /// Byte offset of `rest` in the file.
    at: usize,
}

impl<'a> Reader<'a> {
    /// Creates a reader of `bytes`, which begin at offset `at` of the file.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { rest: bytes, at }
    }

    /// Offset of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Remaining bytes.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Error for the next value.
    pub(crate) fn out_of_range(&self, what: &'static str) -> ModelError {
        ModelError::OutOfRange { what, at: self.at }
    }

    /// Reads the next `len` bytes.
    pub(crate) fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], ModelError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(ModelError::Truncated { what, at: self.at });
        };
        self.rest = rest;
        self.at += len;
        Ok(taken)
    }

    /// Reads a word in `0..=most`.
    pub(crate) fn word(&mut self, what: &'static str, most: u32) -> Result<u32, ModelError> {
        let at = self.at;
        let word = read::i32_at(self.take(what, 4)?, 0) as u32;
        if word > most {
            return Err(ModelError::OutOfRange { what, at });
        }
        Ok(word)
    }

    /// Reads a size in `least..=most`.
    pub(crate) fn size(
        &mut self,
        what: &'static str,
        least: usize,
        most: usize,
    ) -> Result<usize, ModelError> {
        let at = self.at;
        let size = self.word(what, most as u32)? as usize;
        if size < least {
            return Err(ModelError::OutOfRange { what, at });
        }
        Ok(size)
    }

    /// Reads the next section: tag, length, contents in whole words. Its tag must equal `tag`.
    pub(crate) fn section(&mut self, tag: &'static str) -> Result<Self, ModelError> {
        let wrong = ModelError::WrongSection {
            expected: tag,
            at: self.at,
        };
        let header = self.take(tag, 8)?;
        let len = read::i32_at(header, 4) as u32 as usize;
        if &header[..4] != tag.as_bytes() || !len.is_multiple_of(4) {
            return Err(wrong);
        }
        let at = self.at;
        let contents = self.take(tag, len).map_err(|_| wrong)?;
        Ok(Self::new(contents, at))
    }

    /// Checks that no bytes remain.
    pub(crate) fn end(&self, expected: &'static str) -> Result<(), ModelError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(ModelError::WrongSection {
                expected,
                at: self.at,
            })
        }
    }
}
