//! The error of pictures.

use super::renderer::MAX_SIDE;
use std::fmt;

/// Why a picture was not drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PictureError {
    /// The picture has no pixels, or a side of more than 16384.
    Size {
        /// Width, pixels.
        width: usize,
        /// Height, pixels.
        height: usize,
    },
    /// An anti-aliased picture (`scene`) is to have sides that differ.
    NotSquare {
        /// Width, pixels.
        width: usize,
        /// Height, pixels.
        height: usize,
    },
    /// The buffer does not have height x width x 3 bytes per picture.
    BufferLength {
        /// Bytes needed.
        expected: usize,
        /// Bytes of the buffer.
        got: usize,
    },
    /// The picture is too small for the marker of the action, which has a thickness of 0 below 96
    /// pixels. OpenCV refuses it too.
    NoRoomForMarker {
        /// Width, pixels.
        width: usize,
        /// Height, pixels.
        height: usize,
    },
}

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Size { width, height } => write!(
                f,
                "a picture of {width} x {height} pixels; 1 to {MAX_SIDE} a side are supported"
            ),
            Self::NotSquare { width, height } => write!(
                f,
                "a smooth picture is square, {width} x {height} pixels are not"
            ),
            Self::BufferLength { expected, got } => {
                write!(
                    f,
                    "the picture buffer has {got} bytes, {expected} are needed"
                )
            }
            Self::NoRoomForMarker { width, height } => write!(
                f,
                "a picture of {width} x {height} pixels has no room for the action's marker, which \
                 needs 96 x 96"
            ),
        }
    }
}

impl std::error::Error for PictureError {}
