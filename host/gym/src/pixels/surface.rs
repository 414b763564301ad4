//! The surface that everything is drawn on: 512 x 512 pixels, with the area that was drawn on.

use super::colors::Rgb;
use std::ops::Range;

/// Width and height of the surface, pixels (gym-pusht `_draw`).
pub const SIDE: usize = 512;

/// A pixel: red, green, blue, and an unused byte that keeps pixels aligned.
pub type Pixel = [u8; 4];

/// A pixel's place. It may lie outside of the surface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Point {
    /// Column, to the right.
    pub x: i32,
    /// Row, downwards.
    pub y: i32,
}

impl Point {
    /// The pixel nearest to a position, px; at a tie the even one, as Python's `round`.
    pub fn nearest(x_px: f64, y_px: f64) -> Self {
        // Beyond the range of `i32` a conversion saturates: far outside either way.
        let [x, y] = [x_px, y_px].map(|v| v.round_ties_even() as i32);
        Self { x, y }
    }
}

/// A set of pixels: in each row, those from the first to the last that was drawn.
#[derive(Clone, Debug)]
pub(super) struct Area {
    /// First row, and the one after the last.
    top: usize,
    bottom: usize,
    /// First column in each row, and the one after the last; none outside of these rows.
    columns: [[u16; 2]; SIDE],
}

impl Area {
    const NO_COLUMNS: [u16; 2] = [SIDE as u16, 0];

    pub(super) fn empty() -> Self {
        Self {
            top: SIDE,
            bottom: 0,
            columns: [Self::NO_COLUMNS; SIDE],
        }
    }

    pub(super) fn whole() -> Self {
        Self {
            top: 0,
            bottom: SIDE,
            columns: [[0, SIDE as u16]; SIDE],
        }
    }

    fn clear(&mut self) {
        let rows = self.rows();
        self.columns[rows].fill(Self::NO_COLUMNS);
        (self.top, self.bottom) = (SIDE, 0);
    }

    fn add(&mut self, y: usize, columns: Range<usize>) {
        self.top = self.top.min(y);
        self.bottom = self.bottom.max(y + 1);
        let [from, to] = &mut self.columns[y];
        *from = (*from).min(columns.start as u16);
        *to = (*to).max(columns.end as u16);
    }

    /// The rows.
    pub(super) fn rows(&self) -> Range<usize> {
        self.top..self.bottom.max(self.top)
    }

    /// The columns in row `y`; none if it is empty.
    pub(super) fn columns(&self, y: usize) -> Range<usize> {
        self.columns_of_both(y, y)
    }

    /// The columns in either of two rows.
    pub(super) fn columns_of_both(&self, a: usize, b: usize) -> Range<usize> {
        let ([from_a, to_a], [from_b, to_b]) = (self.columns[a], self.columns[b]);
        let (from, to) = (from_a.min(from_b), to_a.max(to_b));
        usize::from(from)..usize::from(to.max(from))
    }
}

/// A picture of [`SIDE`] x [`SIDE`] pixels.
#[derive(Clone, Debug)]
pub struct Surface {
    pixels: Vec<Pixel>,
    /// What was drawn on since [`Self::take_changed`].
    changed: Area,
}

impl Surface {
    /// A surface of one colour.
    pub fn new(color: Rgb) -> Self {
        Self {
            pixels: vec![pixel(color); SIDE * SIDE],
            changed: Area::empty(),
        }
    }

    /// Fills the whole surface.
    pub(super) fn fill(&mut self, color: Rgb) {
        self.pixels.fill(pixel(color));
    }

    /// The colour of a pixel; `None` outside of the surface.
    pub fn get(&self, at: Point) -> Option<Rgb> {
        self.index(at).map(|index| rgb(self.pixels[index]))
    }

    /// Sets a pixel, if it is on the surface.
    pub(super) fn set(&mut self, at: Point, color: Rgb) {
        self.span(at.y, at.x, at.x, color);
    }

    /// Fills row `y` from column `from` to column `to`, both included.
    pub(super) fn span(&mut self, y: i32, from: i32, to: i32, color: Rgb) {
        const LAST: i32 = SIDE as i32 - 1;
        let (from, to) = (from.max(0), to.min(LAST));
        if (0..=LAST).contains(&y) && from <= to {
            let (y, from, to) = (y as usize, from as usize, to as usize + 1);
            self.pixels[y * SIDE + from..y * SIDE + to].fill(pixel(color));
            self.changed.add(y, from..to);
        }
    }

    /// Exchanges `area` for the area that was drawn on since the last call.
    pub(super) fn take_changed(&mut self, area: &mut Area) {
        area.clear();
        std::mem::swap(area, &mut self.changed);
    }

    /// Forgets the area that was drawn on.
    pub(super) fn forget_changed(&mut self) {
        self.changed.clear();
    }

    /// Copies the pixels of `area` from `other`.
    pub(super) fn copy(&mut self, other: &Self, area: &Area) {
        for y in area.rows() {
            let columns = area.columns(y);
            let columns = y * SIDE + columns.start..y * SIDE + columns.end;
            self.pixels[columns.clone()].copy_from_slice(&other.pixels[columns]);
        }
    }

    /// Copies the pixels of `area` and outside of `inside` (rows and columns alike) that have
    /// `color` in `other`.
    pub(super) fn cover(&mut self, other: &Self, area: &Area, inside: Range<usize>, color: Rgb) {
        let color = pixel(color);
        for y in area.rows() {
            let columns = area.columns(y);
            let end = columns.end;
            let first = if inside.contains(&y) {
                columns.start..end.min(inside.start)
            } else {
                columns.clone()
            };
            for x in first.chain(columns.start.max(inside.end)..end) {
                if other.pixels[y * SIDE + x] == color {
                    self.pixels[y * SIDE + x] = color;
                }
            }
        }
    }

    /// The rows, from the top.
    pub fn rows(&self) -> impl Iterator<Item = &[Pixel]> {
        self.pixels.chunks_exact(SIDE)
    }

    pub(super) fn row(&self, y: usize) -> &[Pixel; SIDE] {
        &self.pixels.as_chunks().0[y]
    }

    fn index(&self, at: Point) -> Option<usize> {
        let [x, y] = [at.x, at.y].map(|v| usize::try_from(v).ok().filter(|v| *v < SIDE));
        Some(y? * SIDE + x?)
    }
}

pub(super) fn pixel([red, green, blue]: Rgb) -> Pixel {
    [red, green, blue, 0]
}

pub(super) fn rgb([red, green, blue, _]: Pixel) -> Rgb {
    [red, green, blue]
}
