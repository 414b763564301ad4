//! The surface that everything is drawn on: 512 x 512 pixels, with the area that was drawn on.

use super::colors::Rgb;

/// Width and height of the surface, pixels (gym-pusht `_draw`).
pub const SIDE: usize = 512;

/// A pixel: red, green, blue, and an unused byte that keeps pixels aligned.
pub type Pixel = [u8; 4];

/// A pixel's place. It may lie outside of the surface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// A rectangle of pixels; `right` and `bottom` are excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) top: usize,
    pub(super) bottom: usize,
}

impl Area {
    pub(super) const EMPTY: Self = Self {
        left: SIDE,
        right: 0,
        top: SIDE,
        bottom: 0,
    };
    pub(super) const WHOLE: Self = Self {
        left: 0,
        right: SIDE,
        top: 0,
        bottom: SIDE,
    };

    /// The smallest area around both.
    pub(super) fn merge(&self, other: &Self) -> Self {
        Self {
            left: self.left.min(other.left),
            right: self.right.max(other.right),
            top: self.top.min(other.top),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// The columns; none if the area is empty.
    pub(super) fn columns(&self) -> std::ops::Range<usize> {
        self.left..self.right.max(self.left)
    }

    /// The rows; none if the area is empty.
    pub(super) fn rows(&self) -> std::ops::Range<usize> {
        self.top..self.bottom.max(self.top)
    }
}

/// A picture of [`SIDE`] x [`SIDE`] pixels.
#[derive(Clone, Debug)]
pub struct Surface {
    pixels: Vec<Pixel>,
    changed: Area,
}

impl Surface {
    /// A surface of one colour.
    pub fn new(color: Rgb) -> Self {
        Self {
            pixels: vec![pixel(color); SIDE * SIDE],
            changed: Area::EMPTY,
        }
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
            let changed = &mut self.changed;
            changed.left = changed.left.min(from);
            changed.right = changed.right.max(to);
            changed.top = changed.top.min(y);
            changed.bottom = changed.bottom.max(y + 1);
        }
    }

    /// The area that was drawn on since the last call.
    pub(super) fn take_changed(&mut self) -> Area {
        std::mem::replace(&mut self.changed, Area::EMPTY)
    }

    /// Copies the pixels of `area` from `other` where `is_wanted`.
    pub(super) fn copy(
        &mut self,
        other: &Self,
        area: &Area,
        is_wanted: impl Fn(Pixel) -> bool + Copy,
    ) {
        for y in area.rows() {
            let columns = y * SIDE + area.left..y * SIDE + area.columns().end;
            let from = &other.pixels[columns.clone()];
            for (pixel, from) in self.pixels[columns].iter_mut().zip(from) {
                if is_wanted(*from) {
                    *pixel = *from;
                }
            }
        }
    }

    /// The rows, from the top.
    pub fn rows(&self) -> impl Iterator<Item = &[Pixel]> {
        self.pixels.chunks_exact(SIDE)
    }

    pub(super) fn row(&self, y: usize) -> &[Pixel] {
        &self.pixels[y * SIDE..(y + 1) * SIDE]
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
