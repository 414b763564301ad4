//! Pictures of a recording, as PNG files in the table of frames.

use super::stats::PictureStats;
use super::table::{Field, Values};
use crate::collect::camera::{PICTURE_LEN, SIDE};
use crate::collect::column::Column;
use crate::collect::writer;
use anyhow::Result;
use parquet::data_type::ByteArray;
use serde_json::{Value, json};
use std::ops::Range;
use std::path::Path;

/// Name of the feature.
pub const IMAGE: &str = "observation.image";

/// The pictures of a recording.
pub struct Pictures<'r> {
    recording: &'r Path,
    column: Column,
}

impl<'r> Pictures<'r> {
    /// Opens the pictures of a recording; `None` if it has none.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn open(recording: &'r Path) -> Result<Option<Self>> {
        let mut column = writer::pictures();
        if !recording.join(column.name).exists() {
            return Ok(None);
        }
        column.load(recording, None)?;
        Ok(Some(Self { recording, column }))
    }

    /// Column of the rows of an episode, and the statistics of its pictures.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn column(&self, rows: Range<usize>) -> Result<(Field, PictureStats)> {
        let values = self.column.rows(self.recording, rows)?;
        let values = values.as_chunks().0.iter();
        let pixels: Vec<u8> = values.map(|v| f32::from_le_bytes(*v) as u8).collect();
        let mut stats = PictureStats::default();
        let mut files = Vec::new();
        for picture in pixels.chunks_exact(PICTURE_LEN) {
            stats.count(picture);
            files.push(ByteArray::from(encoded(picture)?));
        }
        Ok((Field::scalar(IMAGE, Values::Png(files)), stats))
    }

    /// Entry of `meta/info.json`.
    pub fn feature() -> Value {
        json!({
            "dtype": "image",
            "shape": [SIDE, SIDE, 3],
            "names": ["height", "width", "channel"],
        })
    }
}

fn encoded(picture: &[u8]) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIDE as u32, SIDE as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture)?;
    writer.finish()?;
    Ok(file)
}
