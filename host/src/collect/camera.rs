//! Pictures of recorded steps, as gym-pusht and diffusion_policy's image environment draw them.

use anyhow::Result;
use pusht_core::pusht::env::PushTEnv;
use pusht_gym::pixels::{Frame, Renderer};

/// Width and height of a picture, pixels.
pub const SIDE: usize = 96;
/// Bytes of a picture, (height, width, 3).
pub const PICTURE_LEN: usize = SIDE * SIDE * 3;

/// Draws the steps of an episode, or nothing.
pub struct Camera(Option<Renderer>);

impl Camera {
    /// A camera that is on or off.
    pub fn new(is_on: bool) -> Self {
        Self(is_on.then(Renderer::new))
    }

    /// Appends a picture of `env` to `pictures`, if the camera is on.
    ///
    /// # Errors
    /// None in practice: size and buffer are fixed.
    pub fn take(&mut self, env: &PushTEnv, pictures: &mut Vec<u8>) -> Result<()> {
        let Some(renderer) = &mut self.0 else {
            return Ok(());
        };
        let start = pictures.len();
        pictures.resize(start + PICTURE_LEN, 0);
        renderer.observation(&Frame::of_env(env), SIDE, SIDE, &mut pictures[start..])?;
        Ok(())
    }
}
