//! gym-pusht's pictures, equal to them byte for byte: what pygame draws and OpenCV reduces.
//!
//! ```text
//! PushTEnv -> Frame: rounded to pixels -> Surface, 512 x 512: goal, block, agent, walls, contacts
//!          -> reduction to (height, width, 3) -> marker of the action
//! ```
//!
//! Everything is rounded to whole pixels before it is drawn, so a picture is a function of integers.
//! [`Renderer`] does it all; [`raster`] and [`soft_line()`] are its tools. `docs/pixels.md` has the
//! rules and how they were found. The anti-aliased pictures for people are in `scene` (feature
//! `render`).

pub mod colors;
mod error;
mod frame;
mod marker;
pub mod raster;
mod renderer;
mod resize;
mod soft_line;
mod surface;

pub use error::PictureError;
pub use frame::Frame;
pub use renderer::Renderer;
pub(crate) use renderer::{MAX_SIDE, check_length};
pub use soft_line::soft_line;
pub use surface::{Pixel, Point, SIDE, Surface};
