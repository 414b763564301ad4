//! Bounds of a Zarr array before it is decoded: its size follows from the bytes that are stored.

use super::zarr::Store;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::Read;
use zarrs::array::Array;
use zarrs::storage::{ReadableStorageTraits, StoreKey};

/// Largest ratio of decoded to stored bytes, beyond [`FREE_BYTES`]. Recordings reach about 10.
const MAX_RATIO: u64 = 64;
/// Decoded bytes that are allowed whatever is stored.
const FREE_BYTES: u64 = 16 << 20;

/// Most bytes that `stored` bytes may decode to.
pub fn decoded_limit(stored: u64) -> u64 {
    stored.saturating_mul(MAX_RATIO).saturating_add(FREE_BYTES)
}

/// Compression of an array's chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compressor {
    None,
    Blosc,
    Gzip,
    Zlib,
    Zstd,
}

/// Extents of an array and of its chunks, and their compression, from its metadata.
#[derive(Debug)]
pub struct Layout {
    shape: Vec<u64>,
    chunks: Vec<u64>,
    compressor: Compressor,
    n_chunks: u64,
    /// Values of a chunk.
    chunk_len: u64,
}

impl Layout {
    /// Reads the metadata of the array `name`, Zarr v2 or v3, and multiplies its extents.
    ///
    /// # Errors
    /// If it is missing or no array's, if its extents overflow, or if its chunks are encoded in a
    /// way that is not supported.
    pub fn read(store: &Store, name: &str) -> Result<Self> {
        let read = |file: &str| -> Result<Option<Value>> {
            let Some(bytes) = store.get(&StoreKey::new(format!("{name}/{file}"))?)? else {
                return Ok(None);
            };
            let value = serde_json::from_slice(&bytes);
            Ok(Some(value.with_context(|| format!("{file} is not JSON"))?))
        };
        if let Some(v3) = read("zarr.json")? {
            let chunks = &v3["chunk_grid"]["configuration"]["chunk_shape"];
            return Self::new(&v3["shape"], chunks, compressor_of_v3(&v3["codecs"])?);
        }
        let v2 = read(".zarray")?.context("not here: neither .zarray (v2) nor zarr.json (v3)")?;
        let filters = &v2["filters"];
        ensure!(
            filters.is_null() || filters.as_array().is_some_and(Vec::is_empty),
            "filters {filters}: an array without filters is supported"
        );
        Self::new(&v2["shape"], &v2["chunks"], compressor_of_v2(&v2)?)
    }

    fn new(shape: &Value, chunks: &Value, compressor: Compressor) -> Result<Self> {
        let extents = |value: &Value| -> Option<Vec<u64>> {
            value.as_array()?.iter().map(Value::as_u64).collect()
        };
        let (Some(shape), Some(chunks)) = (extents(shape), extents(chunks)) else {
            bail!("shape {shape}, chunks {chunks}: whole numbers in a regular grid are supported");
        };
        let grid = || shape.iter().zip(&chunks);
        let n_chunks = match shape.len() == chunks.len() && !chunks.contains(&0) {
            true => grid().try_fold(1_u64, |n, (s, c)| n.checked_mul(s.div_ceil(*c))),
            false => None,
        };
        let chunk_len = chunks.iter().try_fold(1_u64, |n, c| n.checked_mul(*c));
        let (Some(n_chunks), Some(chunk_len)) = (n_chunks, chunk_len) else {
            bail!("shape {shape:?} in chunks of {chunks:?} is no array that fits in memory");
        };
        Ok(Self {
            shape,
            chunks,
            compressor,
            n_chunks,
            chunk_len,
        })
    }

    /// Checks that every chunk of `array`, whose values have `value_bytes`, is stored and decodes
    /// to its size, and that all of them together stay within [`decoded_limit`].
    ///
    /// # Errors
    /// If a chunk is missing (Zarr would read it as fill values), too large or of another size.
    pub fn check_chunks(
        &self,
        array: &Array<dyn ReadableStorageTraits>,
        value_bytes: u64,
    ) -> Result<()> {
        let store = array.storage();
        let mut stored = 0;
        for index in 0..self.n_chunks {
            let key = array.chunk_key(&self.indices(index));
            let size = store.size_key(&key)?;
            stored += size.with_context(|| format!("chunk {} is missing", key.as_str()))?;
        }
        let chunk_bytes = self.chunk_len.checked_mul(value_bytes);
        let decoded = chunk_bytes.and_then(|bytes| bytes.checked_mul(self.n_chunks));
        let limit = decoded_limit(stored);
        let (Some(chunk_bytes), Some(_)) = (chunk_bytes, decoded.filter(|n| *n <= limit)) else {
            bail!(
                "shape {:?} in chunks of {:?} decodes to more than the {limit} bytes that are \
                 allowed for {stored} stored bytes ({MAX_RATIO} times, and {} MiB)",
                self.shape,
                self.chunks,
                FREE_BYTES >> 20
            );
        };
        for index in 0..self.n_chunks {
            let key = array.chunk_key(&self.indices(index));
            let encoded = store.get(&key)?.unwrap_or_default();
            let decoded = self.compressor.decoded_len(&encoded, chunk_bytes);
            let decoded = decoded.with_context(|| format!("chunk {}", key.as_str()))?;
            ensure!(
                decoded == chunk_bytes,
                "chunk {} decodes to {} {chunk_bytes} bytes, which shape {:?} in chunks of {:?} \
                 needs",
                key.as_str(),
                if decoded > chunk_bytes {
                    "more than"
                } else {
                    "fewer than"
                },
                self.shape,
                self.chunks
            );
        }
        Ok(())
    }

    /// Position in the grid of chunk number `index`, in row-major order.
    fn indices(&self, index: u64) -> Vec<u64> {
        let mut rest = index;
        let mut indices = vec![0; self.shape.len()];
        for axis in (0..self.shape.len()).rev() {
            let extent = self.shape[axis].div_ceil(self.chunks[axis]);
            indices[axis] = rest % extent;
            rest /= extent;
        }
        indices
    }
}

impl Compressor {
    fn of_name(name: &str) -> Option<Self> {
        // Zarr v3 has those of numcodecs under a prefix.
        match name.strip_prefix("numcodecs.").unwrap_or(name) {
            "blosc" => Some(Self::Blosc),
            "gzip" => Some(Self::Gzip),
            "zlib" => Some(Self::Zlib),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Length of a decoded chunk, counted up to `most + 1` bytes without storing them.
    fn decoded_len(self, encoded: &[u8], most: u64) -> Result<u64> {
        let count =
            |reader: &mut dyn Read| std::io::copy(&mut reader.take(most + 1), &mut std::io::sink());
        Ok(match self {
            Self::None => encoded.len() as u64,
            // The decoded size is in the header, and its library decodes no further.
            Self::Blosc => {
                let header: &[u8; 4] = (encoded.get(4..8).and_then(|h| h.try_into().ok()))
                    .context("shorter than a Blosc header")?;
                u32::from_le_bytes(*header).into()
            }
            Self::Gzip => count(&mut flate2::read::MultiGzDecoder::new(encoded))?,
            Self::Zlib => count(&mut flate2::read::ZlibDecoder::new(encoded))?,
            Self::Zstd => count(&mut zstd::Decoder::with_buffer(encoded)?)?,
        })
    }
}

fn compressor_of_v2(metadata: &Value) -> Result<Compressor> {
    let compressor = &metadata["compressor"];
    if compressor.is_null() {
        return Ok(Compressor::None);
    }
    let id = &compressor["id"];
    (id.as_str().and_then(Compressor::of_name))
        .with_context(|| format!("compressor {id}; supported: blosc, gzip, zlib, zstd, null"))
}

/// Compression of Zarr v3's codecs: `bytes`, and at most one compressor after it.
fn compressor_of_v3(codecs: &Value) -> Result<Compressor> {
    let listed: Option<Vec<&str>> = (codecs.as_array())
        .and_then(|codecs| codecs.iter().map(|codec| codec["name"].as_str()).collect());
    let compressor = match listed.as_deref() {
        Some(["bytes"]) => Some(Compressor::None),
        Some(["bytes", name]) => Compressor::of_name(name),
        _ => None,
    };
    compressor.with_context(|| {
        format!(
            "codecs {}; supported: bytes, alone or with one of blosc, gzip, zlib, zstd",
            listed.map_or_else(|| codecs.to_string(), |listed| listed.join(", "))
        )
    })
}
