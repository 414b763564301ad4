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

#[cfg(test)]
mod tests {
    use super::*;

    /// A section of three words, and a byte behind it.
    const FILE: [u8; 21] = *b"CONF\x0c\0\0\0\x05\0\0\0\x06\0\0\0\x07\0\0\0\x09";
    /// Where it begins in a longer file.
    const AT: usize = 100;

    #[test]
    fn the_words_of_a_section_are_read_in_order_with_their_places() {
        let mut file = Reader::new(&FILE, AT);
        assert_eq!((file.at(), file.rest()), (100, &FILE[..]));
        let mut section = file.section("CONF").unwrap();
        assert_eq!((file.at(), file.rest()), (120, &[9][..]));
        assert_eq!((section.at(), section.rest()), (108, &FILE[8..20]));
        assert_eq!(section.word("first", 5), Ok(5));
        assert_eq!((section.at(), section.rest()), (112, &FILE[12..20]));
        assert_eq!(section.size("second", 6, 6), Ok(6));
        assert_eq!(section.take("third", 4), Ok(&FILE[16..20]));
        assert_eq!(section.at(), 120);
        assert_eq!(section.end("CONF"), Ok(()));
    }

    #[test]
    fn a_refusal_has_the_place_of_what_is_refused() {
        let mut section = Reader::new(&FILE, AT).section("CONF").unwrap();
        let (what, at) = ("first", 108);
        let out_of_range = ModelError::OutOfRange { what, at };
        assert_eq!(section.out_of_range(what), out_of_range);
        assert_eq!(section.clone().word(what, 4), Err(out_of_range));
        assert_eq!(section.clone().size(what, 0, 4), Err(out_of_range));
        assert_eq!(section.clone().size(what, 6, 9), Err(out_of_range));
        assert_eq!(section.clone().size(what, 4, 6), Ok(5));
        let expected = "CONF";
        let left = ModelError::WrongSection { expected, at };
        assert_eq!(section.end(expected), Err(left));
        assert_eq!(
            section.take(what, 13),
            Err(ModelError::Truncated { what, at })
        );
        assert_eq!((section.at(), section.rest()), (108, &FILE[8..20]));
    }

    #[test]
    fn a_section_has_its_tag_and_whole_words_that_are_there() {
        let refusal = |file: &[u8]| Reader::new(file, AT).section("CONF").err();
        let (expected, at) = ("CONF", AT);
        let wrong = Some(ModelError::WrongSection { expected, at });
        let with = |place: usize, byte: u8| {
            let mut file = FILE;
            file[place] = byte;
            refusal(&file)
        };
        assert_eq!(with(4, 12), None);
        assert_eq!(with(0, b'D'), wrong);
        assert_eq!(with(3, b'G'), wrong);
        assert_eq!(with(4, 11), wrong);
        assert_eq!(with(4, 16), wrong);
        assert_eq!(with(7, 0x80), wrong);
        let what = expected;
        assert_eq!(
            refusal(&FILE[..7]),
            Some(ModelError::Truncated { what, at })
        );
    }
}
