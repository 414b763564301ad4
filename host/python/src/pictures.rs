//! gym-pusht's pictures.

use pusht_core::pusht::env::PushTEnv;
use pusht_gym::pixels::{Frame, PictureError, Renderer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rayon::prelude::*;
use std::cell::RefCell;

/// Width and height, pixels.
pub type Size = [usize; 2];

/// Bytes of a picture.
pub fn len([width, height]: Size) -> usize {
    3 * width * height
}

/// What a picture shows: goal x, y, px, and angle, rad; and everything that moves.
pub struct View {
    goal: [f64; 3],
    frame: Frame,
}

impl View {
    /// The current view of an environment.
    pub fn of(env: &PushTEnv) -> Self {
        let params = env.params();
        Self {
            goal: [params.goal_px.x, params.goal_px.y, params.goal_angle_rad],
            frame: Frame::of_env(env),
        }
    }

    /// Draws it into `out`, (height, width, 3), with the marker of `action`.
    pub fn draw(&self, size: Size, action: Option<[f64; 2]>, out: &mut [u8]) -> PyResult<()> {
        self.paint(size, action, out).map_err(refused)
    }

    fn paint(
        &self,
        [width, height]: Size,
        action: Option<[f64; 2]>,
        out: &mut [u8],
    ) -> Result<(), PictureError> {
        thread_local! {
            /// This thread's renderer, and the goal that it draws.
            static RENDERER: RefCell<Option<([f64; 3], Renderer)>> = const { RefCell::new(None) };
        }
        RENDERER.with_borrow_mut(|kept| {
            let (_, renderer) = match kept {
                Some(kept) if kept.0 == self.goal => kept,
                _ => kept.insert((self.goal, Renderer::new(self.goal))),
            };
            renderer.render(&self.frame, width, height, action, out)
        })
    }
}

/// Draws each view into its part of `out`, on all cores and without the interpreter's lock.
pub fn draw_all(py: Python<'_>, views: &[View], size: Size, out: &mut [u8]) -> PyResult<()> {
    py.detach(|| {
        let pictures = out.par_chunks_exact_mut(len(size));
        let pairs = views.par_iter().zip(pictures);
        pairs.try_for_each(|(view, picture)| view.paint(size, None, picture))
    })
    .map_err(refused)
}

fn refused(error: PictureError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
