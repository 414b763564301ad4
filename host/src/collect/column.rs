//! An array of a Zarr v2 folder that grows by rows.

use crate::output::{make_folder, write_unsynced, write_whole};
use crate::regular_file;
use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::json;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// File of an array that describes it.
const METADATA: &str = ".zarray";
/// Rows per chunk of numbers.
const CHUNK_ROWS: usize = 1024;
/// Rows per chunk of pictures, which are compressed.
const PICTURE_ROWS: usize = 64;

/// Writes a file: so that it survives a power failure, or not.
pub type WriteFile = fn(&Path, &[u8]) -> Result<()>;

/// What has a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// Every control step.
    Step,
    /// Every episode.
    Episode,
}

/// An array, of which the last, incomplete chunk is in memory.
#[derive(Debug)]
pub struct Column {
    /// Path of the array in the folder.
    pub name: &'static str,
    /// What has a row.
    pub per: Per,
    /// Number of rows.
    pub n_rows: usize,
    dtype: &'static str,
    /// Extents after the first.
    shape: &'static [usize],
    /// Bytes per row.
    row_bytes: usize,
    chunk_rows: usize,
    is_compressed: bool,
    /// Bytes of the last chunk.
    tail: Vec<u8>,
}

impl Column {
    /// An empty array of numbers, whose type is NumPy's `dtype` (`<f4`: 4 bytes).
    pub fn new(name: &'static str, per: Per, dtype: &'static str, shape: &'static [usize]) -> Self {
        let value_bytes = usize::from(dtype.as_bytes()[2] - b'0');
        Self {
            name,
            per,
            n_rows: 0,
            dtype,
            shape,
            row_bytes: value_bytes * shape.iter().product::<usize>(),
            chunk_rows: CHUNK_ROWS,
            is_compressed: false,
            tail: Vec::new(),
        }
    }

    /// An empty array of pictures, in small chunks that are compressed by zlib.
    pub fn pictures(name: &'static str, dtype: &'static str, shape: &'static [usize]) -> Self {
        Self {
            chunk_rows: PICTURE_ROWS,
            is_compressed: true,
            ..Self::new(name, Per::Step, dtype, shape)
        }
    }

    /// Appends a row.
    pub fn push(&mut self, row: &[u8]) {
        assert_eq!(row.len(), self.row_bytes, "{}", self.name);
        self.tail.extend_from_slice(row);
        self.n_rows += 1;
    }

    /// Appends a row of single precision.
    pub fn push_f32s(&mut self, row: &[f64]) {
        let bytes: Vec<u8> = row.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect();
        self.push(&bytes);
    }

    /// The last row of an array of `i64`; `None` if there is none.
    pub fn last_i64(&self) -> Option<i64> {
        Some(i64::from_le_bytes(*self.tail.last_chunk()?))
    }

    /// Writes the changed chunks, then the new length.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn flush(&mut self, folder: &Path, write: WriteFile) -> Result<()> {
        let chunk_bytes = self.chunk_rows * self.row_bytes;
        let mut first = (self.n_rows - self.tail.len() / self.row_bytes) / self.chunk_rows;
        while !self.tail.is_empty() {
            let full = self.tail.len() >= chunk_bytes;
            let mut chunk = self.tail[..self.tail.len().min(chunk_bytes)].to_vec();
            // The last chunk has its full size; bytes after the end are ignored.
            chunk.resize(chunk_bytes, 0);
            write(&self.chunk_path(folder, first), &self.encoded(chunk)?)?;
            if !full {
                break;
            }
            self.tail.drain(..chunk_bytes);
            first += 1;
        }
        self.write_shape(folder, write)
    }

    fn encoded(&self, chunk: Vec<u8>) -> Result<Vec<u8>> {
        if !self.is_compressed {
            return Ok(chunk);
        }
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&chunk)?;
        Ok(encoder.finish()?)
    }

    fn chunk_path(&self, folder: &Path, index: usize) -> PathBuf {
        let zeros = ".0".repeat(self.shape.len());
        folder.join(self.name).join(format!("{index}{zeros}"))
    }

    /// Writes the metadata, which has the number of rows.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write_shape(&self, folder: &Path, write: WriteFile) -> Result<()> {
        let with = |rows: usize| [&[rows], self.shape].concat();
        let compressor = match self.is_compressed {
            true => json!({ "id": "zlib", "level": 1 }),
            false => json!(null),
        };
        let metadata = json!({
            "zarr_format": 2, "shape": with(self.n_rows), "chunks": with(self.chunk_rows),
            "dtype": self.dtype, "compressor": compressor, "fill_value": 0, "order": "C",
            "filters": null,
        });
        write(
            &folder.join(self.name).join(METADATA),
            &json_bytes(metadata)?,
        )
    }

    /// Makes the array's folder, and its metadata unless they are there.
    ///
    /// # Errors
    /// If the folder or the file can't be written.
    pub fn begin(&self, folder: &Path) -> Result<()> {
        make_folder(&folder.join(self.name))?;
        match folder.join(self.name).join(METADATA).exists() {
            true => Ok(()),
            false => self.write_shape(folder, write_whole),
        }
    }

    /// Loads the array, or its first `n_rows` rows.
    ///
    /// # Errors
    /// If a file is missing or damaged, or there are fewer rows; the error names the file.
    pub fn load(&mut self, folder: &Path, n_rows: Option<usize>) -> Result<()> {
        let path = folder.join(self.name).join(METADATA);
        let metadata = read_json(&path)?;
        let stored = metadata["shape"][0].as_u64().unwrap_or(0) as usize;
        self.n_rows = n_rows.unwrap_or(stored);
        ensure!(
            self.n_rows <= stored,
            "{}: shape has {stored} rows, meta/episode_ends needs {}",
            path.display(),
            self.n_rows
        );
        // Keeps at least one row in memory, so that the last one can be read.
        let first = self.n_rows.saturating_sub(1) / self.chunk_rows;
        self.tail = self.chunk(folder, first, self.n_rows - first * self.chunk_rows)?;
        Ok(())
    }

    /// Reads the rows `rows`, which are written.
    ///
    /// # Errors
    /// If a chunk is missing or damaged; the error names its file.
    #[cfg(feature = "demonstrations")]
    pub fn rows(&self, folder: &Path, rows: std::ops::Range<usize>) -> Result<Vec<u8>> {
        let mut read = Vec::with_capacity(rows.len() * self.row_bytes);
        for index in rows.start / self.chunk_rows..rows.end.div_ceil(self.chunk_rows) {
            let first = index * self.chunk_rows;
            let end = self.chunk_rows.min(rows.end - first);
            let chunk = self.chunk(folder, index, end)?;
            read.extend(&chunk[rows.start.saturating_sub(first) * self.row_bytes..]);
        }
        Ok(read)
    }

    /// The first `n_rows` rows of a chunk.
    fn chunk(&self, folder: &Path, index: usize, n_rows: usize) -> Result<Vec<u8>> {
        let left = n_rows * self.row_bytes;
        if left == 0 {
            return Ok(Vec::new());
        }
        let path = self.chunk_path(folder, index);
        let encoded = regular_file::read(&path)?;
        let mut chunk = match self.is_compressed {
            true => decoded(&encoded, left).with_context(|| path.display().to_string())?,
            false => encoded,
        };
        ensure!(
            chunk.len() >= left,
            "{}: {} bytes, {left} are needed",
            path.display(),
            chunk.len()
        );
        chunk.truncate(left);
        Ok(chunk)
    }

    /// Appends all rows of `other`, the same array in the folder `from`, and writes them without
    /// synchronising them. `shift` is added to each, unless it is 0: the rows must be of `i64` then.
    ///
    /// # Errors
    /// If a file can't be read or written.
    pub fn append(&mut self, other: &Self, from: &Path, shift: i64, folder: &Path) -> Result<()> {
        for first in (0..other.n_rows).step_by(self.chunk_rows) {
            let n_rows = self.chunk_rows.min(other.n_rows - first);
            let chunk = other.chunk(from, first / self.chunk_rows, n_rows)?;
            for row in chunk.chunks_exact(self.row_bytes) {
                match <[u8; 8]>::try_from(row) {
                    Ok(bytes) if shift != 0 => {
                        self.push(&(i64::from_le_bytes(bytes) + shift).to_le_bytes());
                    }
                    _ => self.push(row),
                }
            }
            self.flush(folder, write_unsynced)?;
        }
        Ok(())
    }
}

/// The first `len` bytes of a compressed chunk.
fn decoded(encoded: &[u8], len: usize) -> Result<Vec<u8>> {
    let mut chunk = Vec::new();
    ZlibDecoder::new(encoded)
        .take(len as u64)
        .read_to_end(&mut chunk)?;
    Ok(chunk)
}

/// Reads a JSON file.
///
/// # Errors
/// If it can't be read; the error names it.
pub fn read_json(path: &Path) -> Result<serde_json::Value> {
    let bytes = regular_file::read(path)?;
    serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
}

/// Writes a JSON file that survives a power failure.
///
/// # Errors
/// If it can't be written.
pub fn write_json(path: &Path, value: serde_json::Value) -> Result<()> {
    write_whole(path, &json_bytes(value)?)
}

/// JSON with sorted keys: their order would else be that of the features that another crate of the
/// build switches on in serde_json.
fn json_bytes(mut value: serde_json::Value) -> Result<Vec<u8>> {
    value.sort_all_objects();
    Ok(serde_json::to_vec_pretty(&value)?)
}
