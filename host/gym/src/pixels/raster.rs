//! Polygons, thick lines and discs: the same pixels as those of `pygame.draw` in pygame 2.6.1. The
//! rules were found by comparing pictures. Integers only.

use super::colors::Rgb;
use super::surface::{Point, SIDE, Surface};

/// Most corners of a [`polygon`].
pub const MAX_CORNERS: usize = 8;
/// Last row and column of the surface.
const LAST: i64 = SIDE as i64 - 1;

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
    for y in top.max(0)..=bottom.min(LAST as i32) {
        let (mut crossings, mut n_crossings) = ([0; MAX_CORNERS], 0);
        for [upper, lower] in edges(corners).map(downwards) {
            let is_last = y == bottom && lower.y == bottom;
            if upper.y != lower.y && upper.y <= y && (y < lower.y || is_last) {
                crossings[n_crossings] = crossing(upper, lower, y);
                n_crossings += 1;
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

fn downwards([from, to]: [Point; 2]) -> [Point; 2] {
    if from.y <= to.y {
        [from, to]
    } else {
        [to, from]
    }
}

/// The column, rounded towards 0, at which an edge crosses row `y`.
fn crossing(upper: Point, lower: Point, y: i32) -> i32 {
    let [x, height] = [upper.x, lower.y - upper.y].map(i64::from);
    let (along, across) = (i64::from(y - upper.y), i64::from(lower.x) - x);
    ((along * across + x * height) / height) as i32
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
    for step in 0..=(i64::from(along(to)) - i64::from(along(start))).abs() {
        let line = i64::from(along(start)) + step * major.signum();
        if !(0..=LAST + 1).contains(&line) {
            break;
        }
        // Half a pixel of the slope, rounded so that a tie is not yet a step.
        let risen = if length == 0 {
            0
        } else {
            (step * minor.abs() + (length - 1) / 2) / length
        };
        let (line, middle) = (line as i32, across(start) + (risen * minor.signum()) as i32);
        if is_steep {
            surface.span(line, middle - 1, middle + 2, color);
        } else {
            for y in middle - 1..=middle + 2 {
                surface.set(Point { x: line, y }, color);
            }
        }
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
