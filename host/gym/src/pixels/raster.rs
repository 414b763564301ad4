//! Polygons, thick lines and discs: the same pixels as those of `pygame.draw` in pygame 2.6.1. The
//! rules were found by comparing pictures. Integers only.

use super::colors::Rgb;
use super::surface::{Point, SIDE, Surface};

/// Most corners of a [`polygon`].
pub const MAX_CORNERS: usize = 8;
/// Last row and column of the surface.
const LAST: i32 = SIDE as i32 - 1;

/// Fills a polygon (`pygame.draw.polygon`). Corners beyond [`MAX_CORNERS`] are ignored.
///
/// A row is filled between the first and second, third and fourth, .. of its crossings with the
/// edges, rounded towards 0. An edge includes its upper end, and its lower end only in the
/// polygon's last row. Horizontal edges have no crossings and are drawn as they are, except in the
/// first and last row.
pub fn polygon(surface: &mut Surface, corners: &[Point], color: Rgb) {
    let corners = &corners[..corners.len().min(MAX_CORNERS)];
    let (Some(top), Some(bottom)) = (
        corners.iter().map(|corner| corner.y).min(),
        corners.iter().map(|corner| corner.y).max(),
    ) else {
        return;
    };
    if top == bottom {
        let columns = corners.iter().map(|corner| corner.x);
        let (from, to) = (columns.clone().min(), columns.max());
        surface.span(top, from.unwrap_or(0), to.unwrap_or(0), color);
        return;
    }
    let mut walkers = [EdgeWalker::NONE; MAX_CORNERS];
    for (walker, edge) in walkers.iter_mut().zip(edges(corners)) {
        *walker = EdgeWalker::new(edge, bottom);
    }
    for y in top.max(0)..=bottom.min(LAST) {
        let (mut crossings, mut n_crossings) = ([0; MAX_CORNERS], 0);
        for walker in &mut walkers[..corners.len()] {
            if walker.first <= y && y <= walker.last {
                crossings[n_crossings] = walker.crossing();
                n_crossings += 1;
                walker.advance();
            }
        }
        let crossings = &mut crossings[..n_crossings];
        crossings.sort_unstable();
        for pair in crossings.chunks_exact(2) {
            surface.span(y, pair[0], pair[1], color);
        }
    }
    for [from, to] in edges(corners) {
        if from.y == to.y && top < from.y && from.y < bottom {
            surface.span(from.y, from.x.min(to.x), from.x.max(to.x), color);
        }
    }
}

/// The edges of a polygon, the one to its first corner first.
fn edges(corners: &[Point]) -> impl Iterator<Item = [Point; 2]> {
    let before = corners.iter().cycle().skip(corners.len() - 1);
    before.zip(corners).map(|(from, to)| [*from, *to])
}

/// The crossing of an edge with one row after another.
#[derive(Clone, Copy)]
struct EdgeWalker {
    /// First and last row on the surface that the edge crosses.
    first: i32,
    last: i32,
    /// The column is `column` + `rest` / `height`, and changes by `step` + `step_rest` / `height`.
    column: i64,
    rest: i64,
    step: i64,
    step_rest: i64,
    height: i64,
}

impl EdgeWalker {
    /// Crosses no row.
    const NONE: Self = Self {
        first: 0,
        last: -1,
        column: 0,
        rest: 0,
        step: 0,
        step_rest: 0,
        height: 1,
    };

    /// An edge of a polygon whose last row is `bottom`.
    fn new([from, to]: [Point; 2], bottom: i32) -> Self {
        if from.y == to.y {
            return Self::NONE;
        }
        let (upper, lower) = if from.y < to.y {
            (from, to)
        } else {
            (to, from)
        };
        let first = upper.y.max(0);
        let height = i64::from(lower.y) - i64::from(upper.y);
        let across = i64::from(lower.x) - i64::from(upper.x);
        let moved = i128::from(first - upper.y) * i128::from(across);
        let height_wide = i128::from(height);
        Self {
            first,
            last: if lower.y == bottom {
                lower.y
            } else {
                lower.y - 1
            },
            column: i64::from(upper.x) + moved.div_euclid(height_wide) as i64,
            rest: moved.rem_euclid(height_wide) as i64,
            step: across.div_euclid(height),
            step_rest: across.rem_euclid(height),
            height,
        }
    }

    /// The column in the current row, rounded towards 0.
    fn crossing(&self) -> i32 {
        (self.column + i64::from(self.column < 0 && self.rest > 0)) as i32
    }

    fn advance(&mut self) {
        self.column += self.step;
        self.rest += self.step_rest;
        if self.rest >= self.height {
            self.column += 1;
            self.rest -= self.height;
        }
    }
}

/// Draws a line four pixels thick (`pygame.draw.lines` with a width of 4).
///
/// The line takes one step per pixel along its longer axis, `major`, and is flat at its ends: each
/// step draws the pixels at -1, 0, 1 and 2 across it. A line that starts outside of the surface
/// starts where it enters, with the rounding of its slope begun anew.
pub fn thick_line(surface: &mut Surface, from: Point, to: Point, color: Rgb) {
    let Some(start) = entry(from, to) else {
        return;
    };
    let is_steep = (to.y - from.y).abs() >= (to.x - from.x).abs();
    let along = |point: Point| if is_steep { point.y } else { point.x };
    let across = |point: Point| if is_steep { point.x } else { point.y };
    let major = i64::from(along(to)) - i64::from(along(from));
    let minor = i64::from(across(to)) - i64::from(across(from));
    let length = major.abs();
    // Half a pixel of the slope, rounded so that a tie is not yet a step.
    let (mut line, mut middle, mut rest) = (along(start), across(start), (length - 1) / 2);
    let mut run = line;
    loop {
        let is_last = line == along(to) || !(0..=LAST + 1).contains(&line);
        let next = middle + (rest + minor.abs() >= length) as i32 * minor.signum() as i32;
        if is_last || next != middle {
            let lines = run.min(line)..=run.max(line);
            if is_steep {
                lines.for_each(|y| surface.span(y, middle - 1, middle + 2, color));
            } else {
                let rows = middle - 1..=middle + 2;
                rows.for_each(|y| surface.span(y, *lines.start(), *lines.end(), color));
            }
            run = line + major.signum() as i32;
        }
        if is_last {
            return;
        }
        rest = (rest + minor.abs()) % length;
        middle = next;
        line += major.signum() as i32;
    }
}

/// Where a line enters the square from (0, 0) to ([`SIDE`], [`SIDE`]), rounded, halves away from
/// its start: its start if that is inside. `None` if it misses the square.
fn entry(from: Point, to: Point) -> Option<Point> {
    let [x, y] = [from.x, from.y].map(i128::from);
    let [dx, dy] = [i128::from(to.x) - x, i128::from(to.y) - y];
    let side = SIDE as i128;
    // The part of the line within each border, as fractions of its length (Liang and Barsky).
    let (mut enter, mut leave) = ((0, 1), (1, 1));
    let is_less = |a: (i128, i128), b: (i128, i128)| a.0 * b.1 < b.0 * a.1;
    for (towards, room) in [(-dx, x), (dx, side - x), (-dy, y), (dy, side - y)] {
        if towards == 0 {
            if room < 0 {
                return None;
            }
        } else {
            let at = (room * towards.signum(), towards.abs());
            if towards < 0 && is_less(enter, at) {
                enter = at;
            } else if towards > 0 && is_less(at, leave) {
                leave = at;
            }
        }
    }
    if is_less(leave, enter) {
        return None;
    }
    let moved = |by: i128| {
        let (n, d) = (by * enter.0, enter.1);
        (2 * n.abs() + d) / (2 * d) * n.signum()
    };
    Some(Point {
        x: (x + moved(dx)) as i32,
        y: (y + moved(dy)) as i32,
    })
}

/// Fills a disc (`pygame.draw.circle` with width 0): the midpoint circle, an even number of pixels
/// across, with `centre` to the right of and below the middle.
pub fn disc(surface: &mut Surface, centre: Point, radius: i32, color: Rgb) {
    let mut rows = |row: i32, half_width: i32| {
        for y in [
            centre.y.saturating_add(row),
            centre.y.saturating_sub(row + 1),
        ] {
            let from = centre.x.saturating_sub(half_width);
            surface.span(y, from, centre.x.saturating_add(half_width - 1), color);
        }
    };
    // The arc from the top to the diagonal, and the sign of x^2 + y^2 - r^2 beside it.
    let (mut x, mut y, mut excess) = (0, radius, 1 - radius);
    while x < y {
        if excess >= 0 {
            y -= 1;
            excess -= 2 * y;
        }
        x += 1;
        excess += 2 * x + 1;
        if excess >= 0 {
            rows(y - 1, x);
        }
        rows(x - 1, y);
    }
}
