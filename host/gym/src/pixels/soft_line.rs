//! Anti-aliased lines: the same pixels as those of `pygame.draw.aalines` in pygame 2.6.1.
//!
//! pygame adds up the slope in single precision and truncates the mixed colours, so the last bit of
//! a colour depends on the order of these operations. They are repeated here one by one; IEEE 754
//! gives them the same bits on every machine.

use super::colors::Rgb;
use super::surface::{Point, SIDE, Surface};

/// Borders of the part of a line that is drawn, one pixel outside of the surface.
const LOW: f32 = -1.0;
const HIGH: f32 = SIDE as f32;

/// Draws a line one pixel thick between two points, both included.
///
/// Along its longer axis, each step shares its weight of 1 between the two nearest pixels across.
pub fn soft_line(surface: &mut Surface, from: Point, to: Point, color: Rgb) {
    if from == to {
        mix(surface, from, color, 1.0);
        return;
    }
    let is_steep = (to.x - from.x).abs() < (to.y - from.y).abs();
    let ends = [from, to].map(|point| {
        let [x, y] = [point.x, point.y].map(|v| v as f32);
        if is_steep { [y, x] } else { [x, y] }
    });
    let Some((line, slope)) = visible(ends) else {
        return;
    };
    // Weights for the pixel `across` and for the one after it.
    let mut share = |along: f32, across: f32, [first, second]: [f32; 2]| {
        let (along, across) = (along as i32, across as i32);
        for (across, weight) in [(across, first), (across + 1, second)] {
            let [x, y] = if is_steep {
                [across, along]
            } else {
                [along, across]
            };
            mix(surface, Point { x, y }, color, weight);
        }
    };
    let [[start, start_across], [end, end_across]] = line;
    let (first, last) = (start.trunc(), end.ceil());
    // The ends, which a border may have moved between two pixels.
    for (pixel, [along, across], length) in [
        (first, [start, start_across], 1.0 + first - start),
        (last, [end, end_across], 1.0 - (last - end)),
    ] {
        let across = across + slope * (pixel - along);
        let part = across - across.floor();
        let weights = [(1.0 - part) * length, part * length];
        share(pixel, across.floor(), weights);
    }
    // One pixel further across, as there: the size of the sum decides its rounding.
    let mut across = start_across + slope * (first - start) + 1.0 + slope;
    let mut along = first + 1.0;
    while along < last {
        let weight = 1.0 - (across - across.floor());
        share(along, across.floor() - 1.0, [weight, 1.0 - weight]);
        across += slope;
        along += 1.0;
    }
}

/// The visible part of a line between two points (along, across), from the lower end of its longer
/// axis, and its slope.
fn visible([mut start, mut end]: [[f32; 2]; 2]) -> Option<([[f32; 2]; 2], f32)> {
    if end[0] < start[0] {
        (start, end) = (end, start);
    }
    if end[0] <= LOW || start[0] >= HIGH {
        return None;
    }
    let slope = (end[1] - start[1]) / (end[0] - start[0]);
    if start[0] < LOW {
        start = [LOW, start[1] + slope * (LOW - start[0])];
    }
    if end[0] > HIGH {
        end = [HIGH, end[1] + slope * (HIGH - end[0])];
    }
    let (lower, upper) = if slope > 0.0 {
        (&mut start, &mut end)
    } else {
        (&mut end, &mut start)
    };
    if upper[1] <= LOW || lower[1] >= HIGH {
        return None;
    }
    if lower[1] < LOW {
        *lower = [lower[0] + (LOW - lower[1]) / slope, LOW];
    }
    if upper[1] > HIGH {
        *upper = [upper[0] + (HIGH - upper[1]) / slope, HIGH];
    }
    Some(([start, end], slope))
}

/// Mixes `color` into a pixel.
fn mix(surface: &mut Surface, at: Point, color: Rgb, weight: f32) {
    if let Some(below) = surface.get(at) {
        let mixed = |c: usize| f32::from(color[c]) * weight + f32::from(below[c]) * (1.0 - weight);
        surface.set(at, std::array::from_fn(|c| mixed(c) as u8));
    }
}
