//! The marker of the action: the same pixels as `cv2.drawMarker`'s cross (OpenCV 4.14).

use super::colors::RED;
use super::error::PictureError;
use std::ops::Range;

/// Scale of the marker: in a picture of 96 pixels it is 8 long and 1 thick (gym-pusht `_get_img`).
const SCALE: usize = 96;
const LENGTH: usize = 8;
/// Width and height of the environment, px.
const WINDOW_PX: f64 = super::surface::SIDE as f64;

/// Draws the cross of `action`, px, on a picture (height, width, 3). Returns the columns and rows
/// around it.
///
/// gym-pusht multiplies x by the height and y by the width: in a picture that is not square the
/// cross is elsewhere.
pub(super) fn draw(
    picture: &mut [u8],
    [width, height]: [usize; 2],
    action: [f64; 2],
) -> Result<[Range<usize>; 2], PictureError> {
    let size = width.min(height);
    let (length, thickness) = (size * LENGTH / SCALE, size / SCALE);
    if thickness == 0 {
        return Err(PictureError::NoRoomForMarker { width, height });
    }
    let [x, y] = [
        action[0] / WINDOW_PX * height as f64,
        action[1] / WINDOW_PX * width as f64,
    ];
    // A conversion saturates far outside of the picture.
    let [x, y] = [x, y].map(|v| i64::from(v as i32));
    let mut canvas = Canvas {
        picture,
        width,
        height,
    };
    let arm = length as i64 / 2;
    let half = if thickness == 1 {
        0
    } else {
        thickness.div_ceil(2) as i64
    };
    canvas.fill([x - arm, x + arm], [y - half, y + half]);
    canvas.fill([x - half, x + half], [y - arm, y + arm]);
    for [x, y] in [[x - arm, y], [x + arm, y], [x, y - arm], [x, y + arm]] {
        for row in -half..=half {
            let half_width = (half * half - row * row).isqrt();
            canvas.fill([x - half_width, x + half_width], [y + row, y + row]);
        }
    }
    let reach = arm + half;
    Ok([
        within([x - reach, x + reach], width),
        within([y - reach, y + reach], height),
    ])
}

struct Canvas<'p> {
    picture: &'p mut [u8],
    width: usize,
    height: usize,
}

impl Canvas<'_> {
    /// Fills a rectangle, its last column and row included.
    fn fill(&mut self, columns: [i64; 2], rows: [i64; 2]) {
        let (pixels, _) = self.picture.as_chunks_mut::<3>();
        for row in within(rows, self.height) {
            pixels[row * self.width..][within(columns, self.width)].fill(RED);
        }
    }
}

/// The part of a range, its last element included, that is below `len`.
fn within([from, to]: [i64; 2], len: usize) -> Range<usize> {
    let [from, to] = [from, to + 1].map(|v| v.clamp(0, len as i64) as usize);
    from..to
}
