//! Pictures of the scene, in gym-pusht's colours: a frame as pixels, an episode as an animated GIF.

mod animation;
mod scene;

pub use animation::{Animation, FRAME_DELAY_CS};
pub use scene::{Scene, draw};
