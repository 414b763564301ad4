//! Pictures of one goal after another, of any size.

use super::colors::{LIGHT_GRAY, WHITE};
use super::error::PictureError;
use super::frame::{Frame, WITHIN_WALLS, draw_goal, draw_walls};
use super::marker;
use super::resize::Resize;
use super::surface::{Area, Surface};

/// Sizes whose tables and background are kept.
const MAX_SIZES: usize = 4;

/// Draws gym-pusht's pictures.
///
/// What does not move, goal and walls, is drawn once, for the surface and for each size. After that
/// only the surroundings of block and agent are drawn and reduced, without allocation.
///
/// ```
/// use pusht_gym::pixels::{Renderer, Frame};
///
/// let mut renderer = Renderer::new([256.0, 256.0, std::f64::consts::FRAC_PI_4]);
/// let frame = Frame::of_state(&[100.0, 400.0, 330.0, 140.0, 0.3]);
/// let mut observation = vec![0; 96 * 96 * 3];
/// renderer.observation(&frame, 96, 96, &mut observation)?;
/// assert_eq!(observation[..3], [255, 255, 255]);
/// # Ok::<(), pusht_gym::pixels::PictureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Renderer {
    background: Surface,
    surface: Surface,
    /// What is drawn on the surface, and where.
    shown: Option<Frame>,
    drawn: [Area; 3],
    sizes: Vec<Size>,
}

/// A size of pictures, with the picture of the background.
#[derive(Clone, Debug)]
struct Size {
    resize: Resize,
    background: Vec<u8>,
}

impl Renderer {
    /// A renderer of pictures with this goal: x, y, px; angle, rad.
    pub fn new(goal: [f64; 3]) -> Self {
        let mut background = Surface::new(WHITE);
        draw_goal(&mut background, goal);
        draw_walls(&mut background);
        background.take_changed(&mut Area::empty());
        Self {
            surface: background.clone(),
            background,
            shown: None,
            drawn: std::array::from_fn(|_| Area::empty()),
            sizes: Vec::new(),
        }
    }

    /// The surface of 512 x 512 pixels with goal, block, agent, walls and contact points: what
    /// gym-pusht's `_draw` returns.
    pub fn draw(&mut self, frame: &Frame) -> &Surface {
        if self.shown.as_ref() == Some(frame) {
            return &self.surface;
        }
        for area in &self.drawn {
            self.surface.copy(&self.background, area);
        }
        let surface = &mut self.surface;
        let [block, agent, marks] = &mut self.drawn;
        frame.draw_block(surface);
        surface.take_changed(block);
        frame.draw_agent(surface);
        surface.take_changed(agent);
        for area in [&*block, &*agent] {
            surface.cover(&self.background, area, WITHIN_WALLS, LIGHT_GRAY);
        }
        frame.draw_marks(surface);
        surface.take_changed(marks);
        self.shown = Some(*frame);
        &self.surface
    }

    /// Draws an observation into `out`, (height, width, 3).
    ///
    /// # Errors
    /// [`PictureError::Size`], [`PictureError::BufferLength`].
    pub fn observation(
        &mut self,
        frame: &Frame,
        width: usize,
        height: usize,
        out: &mut [u8],
    ) -> Result<(), PictureError> {
        self.render(frame, width, height, None, out)
    }

    /// Draws a picture into `out`, (height, width, 3), with the marker of `action`, px: what
    /// gym-pusht's `render` returns after a step with this action.
    ///
    /// # Errors
    /// [`PictureError::Size`], [`PictureError::BufferLength`]; [`PictureError::NoRoomForMarker`]
    /// with an action.
    pub fn render(
        &mut self,
        frame: &Frame,
        width: usize,
        height: usize,
        action: Option<[f64; 2]>,
        out: &mut [u8],
    ) -> Result<(), PictureError> {
        check_length(width, height, 1, out)?;
        self.draw(frame);
        let at = self.size(width, height);
        let Size { resize, background } = &self.sizes[at];
        out.copy_from_slice(background);
        for area in &self.drawn {
            resize.draw(&self.surface, area, out);
        }
        match action {
            Some(action) => marker::draw(out, [width, height], action),
            None => Ok(()),
        }
    }

    /// Index of a size in `sizes`, where it is put if it is new.
    fn size(&mut self, width: usize, height: usize) -> usize {
        let is_it = |size: &Size| [size.resize.width(), size.resize.height()] == [width, height];
        if let Some(at) = self.sizes.iter().position(is_it) {
            return at;
        }
        if self.sizes.len() == MAX_SIZES {
            self.sizes.remove(0);
        }
        let resize = Resize::new(width, height);
        let mut background = vec![0; 3 * width * height];
        resize.draw(&self.background, &Area::whole(), &mut background);
        self.sizes.push(Size { resize, background });
        self.sizes.len() - 1
    }
}

/// Checks that `out` has room for exactly `n` pictures.
pub(crate) fn check_length(
    width: usize,
    height: usize,
    n: usize,
    out: &[u8],
) -> Result<(), PictureError> {
    let len = [width, height, n]
        .into_iter()
        .try_fold(3, usize::checked_mul);
    match len.filter(|_| width > 0 && height > 0) {
        None => Err(PictureError::Size { width, height }),
        Some(expected) if expected != out.len() => Err(PictureError::BufferLength {
            expected,
            got: out.len(),
        }),
        Some(_) => Ok(()),
    }
}
