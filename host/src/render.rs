//! GIF animation of an episode, with a fixed palette and the changed area of each frame.

use anyhow::{Context, Result, ensure};
use pusht_gym::scene::COLORS;
use std::collections::HashMap;
use std::fmt;
use tiny_skia::Pixmap;

/// Time between frames, hundredths of a second: one control tick.
pub const FRAME_DELAY_CS: u16 = 10;

/// Blended colours between two base colours, for anti-aliased edges.
const BLENDS: usize = 7;

/// A GIF under construction, in memory.
pub struct Animation {
    encoder: gif::Encoder<Vec<u8>>,
    palette: Palette,
    size_px: u16,
    shown: Vec<u8>,
}

/// Shows the size.
impl fmt::Debug for Animation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Animation")
            .field("size_px", &self.size_px)
            .finish_non_exhaustive()
    }
}

impl Animation {
    /// Creates an animation of square frames.
    ///
    /// # Errors
    /// If `size_px` is 0.
    pub fn new(size_px: u16) -> Result<Self> {
        ensure!(size_px > 0, "a picture needs at least one pixel");
        let palette = Palette::new();
        let mut encoder = gif::Encoder::new(Vec::new(), size_px, size_px, &palette.bytes())?;
        encoder.set_repeat(gif::Repeat::Infinite)?;
        Ok(Self {
            encoder,
            palette,
            size_px,
            shown: Vec::new(),
        })
    }

    /// Adds a frame that is shown for `delay_cs` hundredths of a second.
    ///
    /// # Errors
    /// If the frame has another size than the animation.
    pub fn push(&mut self, picture: &Pixmap, delay_cs: u16) -> Result<()> {
        let side = u32::from(self.size_px);
        ensure!(
            picture.width() == side && picture.height() == side,
            "frames differ in size"
        );
        let pixels: Vec<u8> = picture
            .pixels()
            .iter()
            .map(|c| self.palette.nearest([c.red(), c.green(), c.blue()]))
            .collect();
        let area = self.changed(&pixels);
        let mut buffer = Vec::with_capacity(area.pixels());
        for y in area.top..area.bottom {
            let row = y * usize::from(self.size_px);
            buffer.extend_from_slice(&pixels[row + area.left..row + area.right]);
        }
        self.encoder.write_frame(&gif::Frame {
            delay: delay_cs,
            dispose: gif::DisposalMethod::Keep,
            left: area.left as u16,
            top: area.top as u16,
            width: (area.right - area.left) as u16,
            height: (area.bottom - area.top) as u16,
            buffer: buffer.into(),
            ..gif::Frame::default()
        })?;
        self.shown = pixels;
        Ok(())
    }

    /// Returns the finished file.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.encoder.into_inner().context("GIF")
    }

    /// Smallest rectangle of all pixels that differ from the last frame.
    fn changed(&self, pixels: &[u8]) -> Area {
        let side = usize::from(self.size_px);
        if self.shown.is_empty() {
            return Area {
                left: 0,
                right: side,
                top: 0,
                bottom: side,
            };
        }
        // A frame without changes keeps one pixel for its duration.
        let mut area = Area {
            left: side - 1,
            right: 1,
            top: side - 1,
            bottom: 1,
        };
        for (index, _) in pixels
            .iter()
            .zip(&self.shown)
            .enumerate()
            .filter(|(_, (a, b))| a != b)
        {
            let (x, y) = (index % side, index / side);
            area.left = area.left.min(x);
            area.right = area.right.max(x + 1);
            area.top = area.top.min(y);
            area.bottom = area.bottom.max(y + 1);
        }
        if area.left >= area.right || area.top >= area.bottom {
            area = Area {
                left: 0,
                right: 1,
                top: 0,
                bottom: 1,
            };
        }
        area
    }
}

/// A rectangle of pixels; `right` and `bottom` are excluded.
struct Area {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Area {
    fn pixels(&self) -> usize {
        (self.right - self.left) * (self.bottom - self.top)
    }
}

struct Palette {
    colors: Vec<[u8; 3]>,
    known: HashMap<[u8; 3], u8>,
}

impl Palette {
    fn new() -> Self {
        let mut colors = COLORS.to_vec();
        for (index, from) in COLORS.iter().enumerate() {
            for to in &COLORS[index + 1..] {
                colors.extend((1..BLENDS).map(|step| blend(*from, *to, step)));
            }
        }
        assert!(colors.len() <= 256, "a GIF has 256 colours");
        Self {
            colors,
            known: HashMap::new(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.colors.concat()
    }

    fn nearest(&mut self, rgb: [u8; 3]) -> u8 {
        let colors = &self.colors;
        *self.known.entry(rgb).or_insert_with(|| {
            let nearest = (0..colors.len()).min_by_key(|index| distance(colors[*index], rgb));
            nearest.unwrap_or(0) as u8
        })
    }
}

fn blend(from: [u8; 3], to: [u8; 3], step: usize) -> [u8; 3] {
    std::array::from_fn(|c| {
        let (a, b) = (usize::from(from[c]), usize::from(to[c]));
        ((a * (BLENDS - step) + b * step) / BLENDS) as u8
    })
}

fn distance(a: [u8; 3], b: [u8; 3]) -> u32 {
    a.iter()
        .zip(b)
        .map(|(x, y)| u32::from(x.abs_diff(y)).pow(2))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pusht_gym::scene::{Scene, draw};

    #[test]
    fn what_is_decoded_is_what_was_drawn() {
        let frames: Vec<Pixmap> = [100.0, 140.0, 140.0]
            .map(|x| {
                let scene = Scene {
                    state: [x, 400.0, 300.0, 200.0, 0.3],
                    goal: [256.0, 256.0, std::f64::consts::FRAC_PI_4],
                    target: Some([x, 300.0]),
                    plan: &[],
                };
                draw(&scene, 96).unwrap()
            })
            .into();
        let mut animation = Animation::new(96).unwrap();
        for frame in &frames {
            animation.push(frame, FRAME_DELAY_CS).unwrap();
        }
        let file = animation.finish().unwrap();

        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(file.as_slice()).unwrap();
        let mut canvas = vec![0_u8; 96 * 96 * 4];
        let mut count = 0;
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            let width = usize::from(frame.width) * 4;
            for (row, line) in frame.buffer.chunks_exact(width).enumerate() {
                let start = ((usize::from(frame.top) + row) * 96 + usize::from(frame.left)) * 4;
                canvas[start..start + width].copy_from_slice(line);
            }
            let worst = canvas
                .iter()
                .zip(frames[count].data())
                .map(|(a, b)| a.abs_diff(*b))
                .max();
            // Pixels where three colours meet are not exactly in the palette of two-colour blends.
            assert!(worst < Some(64), "frame {count} differs by {worst:?}");
            count += 1;
        }
        assert_eq!(count, 3);
    }
}
