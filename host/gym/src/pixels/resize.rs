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
    sources: [u16; 2],
    weights: [u32; 2],
}

/// The pixels of one axis of the destination.
#[derive(Clone, Debug)]
struct Axis {
    taps: Vec<Tap>,
    /// For each source `s`, the number of destinations whose first source is below `s`.
    first_below: Vec<usize>,
    /// For each source `s`, the number of destinations whose second source is below `s`.
    second_below: Vec<usize>,
}

impl Axis {
    fn new(len: usize) -> Self {
        let taps: Vec<Tap> = (0..len).map(|at| tap(at, len)).collect();
        let below = |which: usize| -> Vec<usize> {
            let sources = 0..=SIDE;
            let is_below = |source| move |tap: &Tap| usize::from(tap.sources[which]) < source;
            sources
                .map(|source| taps.partition_point(is_below(source)))
                .collect()
        };
        Self {
            first_below: below(0),
            second_below: below(1),
            taps,
        }
    }

    /// The destinations that have a source in `sources`.
    fn reached(&self, sources: Range<usize>) -> Range<usize> {
        if sources.is_empty() {
            return 0..0;
        }
        let (from, to) = (
            self.second_below[sources.start],
            self.first_below[sources.end],
        );
        from..to.max(from)
    }
}

/// A size of pictures, and how their pixels are made from those of the surface.
#[derive(Clone, Debug)]
pub(super) struct Resize {
    columns: Axis,
    rows: Axis,
}

impl Resize {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let mut columns = Axis::new(width);
        // In a row, the outermost pixels count in full; across rows they count twice in part.
        for tap in &mut columns.taps {
            if tap.sources[0] == tap.sources[1] {
                tap.weights = [ONE, 0];
            }
        }
        Self {
            columns,
            rows: Axis::new(height),
        }
    }

    pub(super) fn width(&self) -> usize {
        self.columns.taps.len()
    }

    pub(super) fn height(&self) -> usize {
        self.rows.taps.len()
    }

    /// Computes the pixels of the destination, (height, width, 3), that `area` of the surface has
    /// an influence on.
    pub(super) fn draw(&self, surface: &Surface, area: &Area, out: &mut [u8]) {
        for y in self.rows.reached(area.rows()) {
            self.draw_line(surface, y, self.columns_reached(area, y), out);
        }
    }

    /// Computes these columns and rows of the destination.
    pub(super) fn draw_box(
        &self,
        surface: &Surface,
        [columns, rows]: [Range<usize>; 2],
        out: &mut [u8],
    ) {
        for y in rows {
            self.draw_line(surface, y, columns.clone(), out);
        }
    }

    /// Copies the pixels that `area` of the surface has an influence on.
    pub(super) fn copy(&self, from: &[u8], area: &Area, out: &mut [u8]) {
        for y in self.rows.reached(area.rows()) {
            let columns = self.columns_reached(area, y);
            let line = y * self.width();
            let bytes = 3 * (line + columns.start)..3 * (line + columns.end);
            out[bytes.clone()].copy_from_slice(&from[bytes]);
        }
    }

    /// The columns of row `y` of the destination that `area` has an influence on.
    fn columns_reached(&self, area: &Area, y: usize) -> Range<usize> {
        let [upper, lower] = self.rows.taps[y].sources;
        let columns = area.columns_of_both(usize::from(upper), usize::from(lower));
        self.columns.reached(columns)
    }

    /// Computes some columns of row `y` of the destination.
    fn draw_line(&self, surface: &Surface, y: usize, columns: Range<usize>, out: &mut [u8]) {
        let Tap { sources, weights } = self.rows.taps[y];
        let upper = surface.row(usize::from(sources[0]));
        let lower = surface.row(usize::from(sources[1]));
        let line = &mut out[3 * y * self.width()..3 * (y + 1) * self.width()];
        let mut x = columns.start;
        while x < columns.end {
            let tap = &self.columns.taps[x];
            let left = usize::from(tap.sources[0]) % SIDE;
            let mut right = usize::from(tap.sources[1]) % SIDE;
            let color = bits(upper[left]);
            let is_color = |x: usize| bits(upper[x]) == color && bits(lower[x]) == color;
            if bits(lower[left]) == color && is_color(right) {
                // An area of one colour, which the weights leave as it is.
                while right + 1 < SIDE && is_color(right + 1) {
                    right += 1;
                }
                let end = self.columns.second_below[right + 1].min(columns.end);
                fill(&mut line[3 * x..3 * end], rgb(upper[left]));
                x = end;
            } else {
                let pixels = [upper[left], upper[right], lower[left], lower[right]];
                line[3 * x..3 * x + 3].copy_from_slice(&mix(pixels, weights, tap.weights));
                x += 1;
            }
        }
    }
}

/// Fills `line` with pixels of one colour.
fn fill(line: &mut [u8], [red, green, blue]: Rgb) {
    const PIXELS: usize = 16;
    let mut pattern = [0; 3 * PIXELS];
    for pixel in pattern.chunks_exact_mut(3) {
        pixel.copy_from_slice(&[red, green, blue]);
    }
    let mut chunks = line.chunks_exact_mut(pattern.len());
    for chunk in &mut chunks {
        chunk.copy_from_slice(&pattern);
    }
    let rest = chunks.into_remainder();
    rest.copy_from_slice(&pattern[..rest.len()]);
}

fn tap(at: usize, len: usize) -> Tap {
    let place = ((at as f64 + 0.5) * (SIDE as f64 / len as f64) - 0.5) as f32;
    let (first, part) = (place.floor(), place - place.floor());
    let weight = |part: f32| (part * ONE as f32).round_ties_even() as u32;
    let source = |at: f32| at.clamp(0.0, SIDE as f32 - 1.0) as u16;
    Tap {
        sources: [source(first), source(first + 1.0)],
        weights: [weight(1.0 - part), weight(part)],
    }
}

/// Interpolates between four pixels, first along the rows.
#[inline]
fn mix([a, b, c, d]: [Pixel; 4], across: [u32; 2], along: [u32; 2]) -> Rgb {
    let row = |left: u8, right: u8| (u32::from(left) * along[0] + u32::from(right) * along[1]) >> 4;
    let channel = |at: usize| {
        let q0 = (across[0] * row(a[at], b[at])) >> 16;
        let q1 = (across[1] * row(c[at], d[at])) >> 16;
        ((q0 + q1 + 2) >> 2) as u8
    };
    [channel(0), channel(1), channel(2)]
}

/// A pixel as one number, to compare it.
#[inline]
fn bits(pixel: Pixel) -> u32 {
    u32::from_ne_bytes(pixel)
}
