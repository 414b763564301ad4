//! Pictures of one frame after another, of any size.

use super::colors::{LIGHT_GRAY, WHITE};
use super::error::PictureError;
use super::frame::{Frame, WITHIN_WALLS, draw_walls};
use super::marker;
use super::resize::Resize;
use super::surface::{Area, Surface};
use std::ops::Range;

/// Sizes whose pictures are kept.
const MAX_SIZES: usize = 4;
/// Largest width and height, pixels.
pub(crate) const MAX_SIDE: usize = 1 << 14;

/// Draws gym-pusht's pictures.
///
/// Goal and walls are drawn once, for the surface and for each size, and again when a frame has
/// another goal than the one before. Otherwise only block, agent and contact points are drawn and
/// reduced. Nothing is allocated after the first picture of a size.
///
/// ```
/// use pusht_gym::pixels::{Renderer, Frame};
///
/// let goal = [256.0, 256.0, std::f64::consts::FRAC_PI_4];
/// let frame = Frame::of_state(&[100.0, 400.0, 330.0, 140.0, 0.3], goal);
/// let mut renderer = Renderer::new();
/// let mut observation = vec![0; 96 * 96 * 3];
/// renderer.observation(&frame, 96, 96, &mut observation)?;
/// assert_eq!(observation[..3], [255, 255, 255]);
/// # Ok::<(), pusht_gym::pixels::PictureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Renderer {
    /// Goal and walls of `shown`.
    background: Surface,
    surface: Surface,
    /// What is drawn on the surface, and where.
    shown: Option<Frame>,
    drawn: [Area; 3],
    pictures: Vec<Picture>,
}

/// The picture of one size.
#[derive(Clone, Debug)]
struct Picture {
    resize: Resize,
    /// Goal and walls of `shown`.
    background: Vec<u8>,
    pixels: Vec<u8>,
    /// What `pixels` shows, and where on the surface that is.
    shown: Option<Frame>,
    drawn: [Area; 3],
    /// Columns and rows of the marker.
    marker: Option<[Range<usize>; 2]>,
}

impl Default for Renderer {
    fn default() -> Self {
        Self::new()
    }
}

impl Renderer {
    /// A renderer that has drawn nothing.
    pub fn new() -> Self {
        Self {
            background: Surface::new(WHITE),
            surface: Surface::new(WHITE),
            shown: None,
            drawn: std::array::from_fn(|_| Area::empty()),
            pictures: Vec::new(),
        }
    }

    /// Draws goal and walls of `frame`, and nothing else.
    fn draw_background(&mut self, frame: &Frame) {
        let background = &mut self.background;
        background.fill(WHITE);
        frame.draw_goal(background);
        draw_walls(background);
        background.forget_changed();
        self.surface.copy(background, &Area::whole());
        self.drawn.fill(Area::empty());
    }

    /// The surface of 512 x 512 pixels with goal, block, agent, walls and contact points: what
    /// gym-pusht's `_draw` returns.
    pub fn draw(&mut self, frame: &Frame) -> &Surface {
        if self.shown.as_ref() == Some(frame) {
            return &self.surface;
        }
        if !self.shown.is_some_and(|shown| shown.has_goal_of(frame)) {
            self.draw_background(frame);
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
        out.copy_from_slice(self.picture(frame, width, height, action)?);
        Ok(())
    }

    /// [`Self::render`] without the copy: the picture stays with the renderer, which changes only
    /// what differs from the last one of this size. For large pictures, most of the time goes into
    /// that copy.
    ///
    /// # Errors
    /// [`PictureError::Size`]; [`PictureError::NoRoomForMarker`] with an action.
    pub fn picture(
        &mut self,
        frame: &Frame,
        width: usize,
        height: usize,
        action: Option<[f64; 2]>,
    ) -> Result<&[u8], PictureError> {
        let at = self.index_of(width, height)?;
        self.draw(frame);
        let picture = &mut self.pictures[at];
        picture.unmark(&self.surface);
        picture.update([&self.background, &self.surface], frame, &self.drawn);
        if let Some(action) = action {
            let marker = marker::draw(&mut picture.pixels, [width, height], action)?;
            picture.marker = Some(marker);
        }
        Ok(&picture.pixels)
    }

    /// Allocates what pictures of this size need, instead of with the first one.
    ///
    /// # Errors
    /// [`PictureError::Size`].
    pub fn prepare(&mut self, width: usize, height: usize) -> Result<(), PictureError> {
        self.index_of(width, height).map(|_| ())
    }

    /// Index of a size in `pictures`, where it is put if it is new.
    fn index_of(&mut self, width: usize, height: usize) -> Result<usize, PictureError> {
        let is_it = |picture: &Picture| {
            [picture.resize.width(), picture.resize.height()] == [width, height]
        };
        if let Some(at) = self.pictures.iter().position(is_it) {
            return Ok(at);
        }
        let len = bytes(width, height, 1)?;
        if self.pictures.len() == MAX_SIZES {
            self.pictures.remove(0);
        }
        let resize = Resize::new(width, height);
        self.pictures.push(Picture::new(resize, len));
        Ok(self.pictures.len() - 1)
    }
}

impl Picture {
    fn new(resize: Resize, len: usize) -> Self {
        Self {
            resize,
            background: vec![0; len],
            pixels: vec![0; len],
            shown: None,
            drawn: std::array::from_fn(|_| Area::empty()),
            marker: None,
        }
    }

    /// Removes the marker.
    fn unmark(&mut self, surface: &Surface) {
        if let Some(around) = self.marker.take() {
            self.resize.draw_box(surface, around, &mut self.pixels);
        }
    }

    /// Shows nothing but goal and walls.
    fn clear(&mut self, background: &Surface) {
        let pixels = &mut self.background;
        self.resize.draw(background, &Area::whole(), pixels);
        self.pixels.copy_from_slice(pixels);
        self.shown = None;
        self.drawn.fill(Area::empty());
    }

    /// Changes the pixels to those of the surface, on which the areas `drawn` show block, agent and
    /// marks of `frame`.
    fn update(&mut self, [background, surface]: [&Surface; 2], frame: &Frame, drawn: &[Area; 3]) {
        if self.shown.as_ref() == Some(frame) {
            return;
        }
        if !self.shown.is_some_and(|shown| shown.has_goal_of(frame)) {
            self.clear(background);
        }
        let block_rests = self.shown.is_some_and(|shown| shown.has_block_of(frame));
        if !block_rests {
            let block = &self.drawn[0];
            self.resize.copy(&self.background, block, &mut self.pixels);
        }
        // What was drawn over the block, or will be.
        let [block, over @ ..] = drawn;
        for area in self.drawn[1..].iter().chain(over) {
            self.resize.draw(surface, area, &mut self.pixels);
        }
        if !block_rests {
            self.resize.draw(surface, block, &mut self.pixels);
        }
        self.drawn.clone_from(drawn);
        self.shown = Some(*frame);
    }
}

/// Checks that `out` has room for exactly `n` pictures.
pub(crate) fn check_length(
    width: usize,
    height: usize,
    n: usize,
    out: &[u8],
) -> Result<(), PictureError> {
    match bytes(width, height, n)? {
        expected if expected != out.len() => Err(PictureError::BufferLength {
            expected,
            got: out.len(),
        }),
        _ => Ok(()),
    }
}

/// Bytes of `n` pictures.
fn bytes(width: usize, height: usize, n: usize) -> Result<usize, PictureError> {
    let sides = 1..=MAX_SIDE;
    let len = (3 * n).checked_mul(width.min(MAX_SIDE) * height.min(MAX_SIDE));
    len.filter(|_| sides.contains(&width) && sides.contains(&height))
        .ok_or(PictureError::Size { width, height })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::FRAC_PI_4;
    use tiny_skia::Pixmap;

    const GOAL: [f64; 3] = [256.0, 256.0, FRAC_PI_4];

    /// `tests/golden/render/generate.py` has the scene.
    #[test]
    fn two_whole_pictures_are_gym_pushts() {
        let frame = Frame::of_state(&[100.0, 400.0, 330.0, 140.0, 0.3], GOAL);
        let mut renderer = Renderer::new();
        for png in [
            include_bytes!("../../../../tests/golden/render/96.png").as_slice(),
            include_bytes!("../../../../tests/golden/render/680.png"),
        ] {
            let theirs = Pixmap::decode_png(png).unwrap();
            let side = theirs.width() as usize;
            let ours = renderer.picture(&frame, side, side, Some([200.0, 440.0]));
            let ours = ours.unwrap().chunks_exact(3);
            for (index, (ours, theirs)) in ours.zip(theirs.pixels()).enumerate() {
                let theirs = [theirs.red(), theirs.green(), theirs.blue()];
                assert_eq!(ours, theirs, "x {}, y {}", index % side, index / side);
            }
        }
    }

    /// Block and agent move, rest and jump, over the walls, too; the goal jumps; the marker comes
    /// and goes.
    #[test]
    fn a_picture_does_not_depend_on_those_before() {
        let mut random = crate::space::seeded(1);
        let mut uniform = |low, high| rand::RngExt::random_range(&mut random, low..high);
        let mut kept = Renderer::new();
        let mut state = [100.0, 400.0, 330.0, 140.0, 0.3];
        let mut goal = GOAL;
        let mut expected = vec![0; 3 * 100 * 130];
        for _ in 0..300 {
            let reach = uniform(0.0, 20.0);
            state[0] += uniform(-10.0, 10.0);
            state[1] += uniform(-10.0, 10.0);
            if reach > 10.0 {
                state[2] += uniform(-reach, reach);
                state[3] += uniform(-reach, reach);
                state[4] += uniform(-0.3, 0.3);
            }
            if reach > 18.0 {
                state = state.map(|_| uniform(0.0, 520.0));
            }
            if (9.0..10.0).contains(&reach) {
                goal = goal.map(|_| uniform(0.0, 520.0));
            }
            let frame = Frame::of_state(&state, goal);
            let action = (reach > 5.0).then(|| [uniform(0.0, 512.0), uniform(0.0, 512.0)]);
            let mut new = Renderer::new();
            new.render(&frame, 100, 130, action, &mut expected).unwrap();
            assert!(kept.picture(&frame, 100, 130, action).unwrap() == expected);
            assert!(kept.draw(&frame).rows().eq(new.draw(&frame).rows()));
        }
    }
}
