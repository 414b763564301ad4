//! Errors of a model file.

use super::limits::{
    FORMAT_VERSION, MAX_ACTION_DIM, MAX_CHANNELS, MAX_HORIZON, MAX_KERNEL_SIZE, MAX_LEVELS,
    MAX_PASSES, MAX_WINDOW_LEN, OLDEST_FORMAT_VERSION,
};
use crate::quant::kernels::linear::LANES;

/// Defect of a model file, with its byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ModelError {
    /// The file does not begin with [`MAGIC`](super::limits::MAGIC).
    NotAModel,
    /// Unknown version of the format.
    UnknownVersion {
        /// Version in the file.
        got: u32,
    },
    /// File shorter or longer than its header states.
    WrongLength {
        /// Length in the header, bytes.
        expected: usize,
        /// Length of the file, bytes.
        got: usize,
    },
    /// Checksum of other contents.
    WrongChecksum {
        /// CRC-32 at the end of the file.
        stored: u32,
        /// CRC-32 of all bytes before it.
        computed: u32,
    },
    /// A part longer than the rest of its section.
    Truncated {
        /// Name of the part.
        what: &'static str,
        /// Byte offset of the part.
        at: usize,
    },
    /// Wrong tag or size of a section.
    WrongSection {
        /// Expected section.
        expected: &'static str,
        /// Byte offset of the section.
        at: usize,
    },
    /// Number outside the limits of the format, or value that breaks a rule of it.
    OutOfRange {
        /// Name of the value.
        what: &'static str,
        /// Byte offset of the value or of its array.
        at: usize,
    },
    /// Row of weights whose sum could overflow 32 bits.
    AccumulatorOverflow {
        /// Byte offset of the row.
        at: usize,
    },
    /// Model file at an address that is not a multiple of 4, which the target's kernels need.
    Misaligned,
    /// Working memory shorter than [`Model::scratch_len`](super::model::Model::scratch_len).
    ScratchTooSmall {
        /// Required words of 8 bytes.
        needed: usize,
        /// Given words of 8 bytes.
        available: usize,
    },
}

/// Limits of numbers, for messages. Kept out of the error, which every step of the parser returns.
const LIMITS: [(&str, usize, usize); 10] = [
    ("values of an observation", 1, MAX_WINDOW_LEN),
    ("values of an action", 1, MAX_ACTION_DIM),
    ("observation steps", 1, MAX_WINDOW_LEN),
    ("horizon", 1, MAX_HORIZON),
    ("levels", 1, MAX_LEVELS),
    ("kernel size", 1, MAX_KERNEL_SIZE),
    ("passes", 1, MAX_PASSES),
    ("channels of a level", LANES, MAX_CHANNELS),
    ("conditioning", 0, 1),
    ("first executed action", 0, MAX_HORIZON),
];

impl core::fmt::Display for ModelError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::NotAModel => write!(f, "not a model file (wrong magic at byte 0)"),
            Self::UnknownVersion { got } => write!(
                f,
                "model format version {got} at byte 8, this program reads versions \
                 {OLDEST_FORMAT_VERSION} to {FORMAT_VERSION}: `pusht quantize` makes the file anew from \
                 its float policy"
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
            Self::OutOfRange { what, at } => {
                write!(f, "{what} at byte {at} is out of range")?;
                match LIMITS.iter().find(|(name, ..)| *name == what) {
                    Some((_, least, most)) => write!(f, ": a model file has {least} to {most}"),
                    None => write!(f, ", by the rules of docs/model-format.md"),
                }
            }
            Self::AccumulatorOverflow { at } => {
                write!(f, "weights of the row at byte {at} could overflow 32 bits")
            }
            Self::Misaligned => write!(
                f,
                "the model file's address is not a multiple of 4: \
                 embed it with `pusht_core::include_model!`"
            ),
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
