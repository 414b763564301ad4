//! The reduction, or enlargement, of the surface: the same pixels as those of `cv2.resize` with
//! bilinear interpolation (OpenCV 4.14).
//!
//! ```text
//! f = (d + 1/2) N / n - 1/2      place of destination pixel d of n on N source pixels
//! s = floor(f)                   its source pixels are s and s + 1
//! w1 = round(2048 (f - s)), w0 = round(2048 (1 - (f - s)))
//! h = w0 p[s] + w1 p[s + 1]                                        along a row
//! q = (w0 (h0 >> 4) >> 16) + (w1 (h1 >> 4) >> 16) + 2 >> 2         across two rows
//! ```

use super::colors::Rgb;
use super::surface::{Area, Pixel, SIDE, Surface, rgb};
use std::ops::Range;

/// 1 as a weight.
const ONE: u32 = 2048;

/// The source pixels of a row or column of the destination, and their weights.
#[derive(Clone, Copy, Debug)]
struct Tap {
    sources: [usize; 2],
    weights: [u32; 2],
}

/// A size of pictures, and how their pixels are made from those of the surface.
#[derive(Clone, Debug)]
pub(super) struct Resize {
    columns: Vec<Tap>,
    rows: Vec<Tap>,
}

impl Resize {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let mut columns: Vec<Tap> = (0..width).map(|at| tap(at, width)).collect();
        // In a row, the outermost pixels count in full; across rows they count twice in part.
        for tap in &mut columns {
            if tap.sources[0] == tap.sources[1] {
                tap.weights = [ONE, 0];
            }
        }
        Self {
            columns,
            rows: (0..height).map(|at| tap(at, height)).collect(),
        }
    }

    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn height(&self) -> usize {
        self.rows.len()
    }

    /// Columns and rows of the destination that `area` of the surface has an influence on.
    pub(super) fn destination(&self, area: &Area) -> [Range<usize>; 2] {
        [
            reached(&self.columns, area.columns()),
            reached(&self.rows, area.rows()),
        ]
    }

    /// Computes these columns and rows of the destination, (height, width, 3).
    pub(super) fn draw(
        &self,
        surface: &Surface,
        [columns, rows]: [Range<usize>; 2],
        out: &mut [u8],
    ) {
        let (pixels, _) = out.as_chunks_mut::<3>();
        for row in rows {
            let tap = &self.rows[row];
            let sources = tap.sources.map(|y| surface.row(y));
            let line = &mut pixels[row * self.width()..(row + 1) * self.width()];
            let line = &mut line[columns.clone()];
            for (out, column) in line.iter_mut().zip(&self.columns[columns.clone()]) {
                *out = interpolate(sources, tap.weights, column);
            }
        }
    }
}

fn tap(at: usize, len: usize) -> Tap {
    let place = ((at as f64 + 0.5) * (SIDE as f64 / len as f64) - 0.5) as f32;
    let (first, part) = (place.floor(), place - place.floor());
    let weight = |part: f32| (part * ONE as f32).round_ties_even() as u32;
    let source = |at: f32| at.clamp(0.0, SIDE as f32 - 1.0) as usize;
    Tap {
        sources: [source(first), source(first + 1.0)],
        weights: [weight(1.0 - part), weight(part)],
    }
}

/// The destinations that have a source in `sources`.
fn reached(taps: &[Tap], sources: Range<usize>) -> Range<usize> {
    let from = taps.partition_point(|tap| tap.sources[1] < sources.start);
    let to = taps.partition_point(|tap| tap.sources[0] < sources.end);
    from..to.max(from)
}

#[inline]
fn interpolate(rows: [&[Pixel]; 2], weights: [u32; 2], column: &Tap) -> Rgb {
    let [[a, b], [c, d]] = rows.map(|row| column.sources.map(|x| row[x]));
    // Most pixels lie within an area of one colour, which the weights leave as it is.
    if a == b && a == c && a == d {
        return rgb(a);
    }
    std::array::from_fn(|channel| {
        let [h0, h1] = [[a, b], [c, d]].map(|[left, right]| {
            u32::from(left[channel]) * column.weights[0]
                + u32::from(right[channel]) * column.weights[1]
        });
        let [q0, q1] = [weights[0] * (h0 >> 4), weights[1] * (h1 >> 4)];
        ((((q0 >> 16) + (q1 >> 16)) + 2) >> 2) as u8
    })
}
