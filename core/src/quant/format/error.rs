//! Why a model file is refused.

use super::limits::FORMAT_VERSION;

/// What is wrong with a model file, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ModelError {
    /// The first bytes are not the magic of a model file.
    NotAModel,
    /// A version of the format that this program does not know.
    UnknownVersion {
        /// The version in the file.
        got: u32,
    },
    /// The file is shorter or longer than its header says.
    WrongLength {
        /// Bytes according to the header.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// The file's contents are not those that were written.
    WrongChecksum {
        /// CRC-32 at the file's end.
        stored: u32,
        /// CRC-32 of what precedes it.
        computed: u32,
    },
    /// A part ends before its contents do.
    Truncated {
        /// Name of the part.
        what: &'static str,
        /// Offset of its first byte.
        at: usize,
    },
    /// A section's tag or size is not the one that belongs here.
    WrongSection {
        /// Name of the section that belongs here.
        expected: &'static str,
        /// Offset of its first byte.
        at: usize,
    },
    /// A value outside the range that the format allows.
    OutOfRange {
        /// Name of the value.
        what: &'static str,
        /// Offset of its first byte, or of the array that holds it.
        at: usize,
    },
    /// A row of weights whose sum could leave 32 bits.
    AccumulatorOverflow {
        /// Offset of the row's first byte.
        at: usize,
    },
    /// The working memory is shorter than [`Model::scratch_len`](super::model::Model::scratch_len).
    ScratchTooSmall {
        /// Words of 8 bytes needed.
        needed: usize,
        /// Words given.
        available: usize,
    },
}

impl core::fmt::Display for ModelError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::NotAModel => write!(f, "not a model file (wrong magic at byte 0)"),
            Self::UnknownVersion { got } => write!(
                f,
                "model format version {got} at byte 8, this program reads version {FORMAT_VERSION}: \
                 `pusht quantize` makes the file anew from its float policy"
            ),
            Self::WrongLength { expected, got } => {
                write!(f, "model file of {expected} bytes, {got} given")
            }
            Self::WrongChecksum { stored, computed } => {
                write!(
                    f,
                    "model file damaged: checksum {stored:08x}, contents give {computed:08x}"
                )
            }
            Self::Truncated { what, at } => write!(f, "{what} at byte {at} is cut short"),
            Self::WrongSection { expected, at } => {
                write!(
                    f,
                    "section {expected} is missing or of the wrong size at byte {at}"
                )
            }
            Self::OutOfRange { what, at } => write!(f, "{what} at byte {at} is out of range"),
            Self::AccumulatorOverflow { at } => {
                write!(f, "weights of the row at byte {at} could overflow 32 bits")
            }
            Self::ScratchTooSmall { needed, available } => {
                write!(
                    f,
                    "a plan needs {needed} words of working memory, {available} are there"
                )
            }
        }
    }
}

impl core::error::Error for ModelError {}
