//! PyTorch's archives: a pickle, and the storages of its tensors beside it.

use crate::import::pickle::{Id, Object, Pickle};
use crate::import::tensors::Float;
use crate::policy_file::Tensor;
use crate::regular_file;
use anyhow::{Context, Result, bail, ensure};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zip::{CompressionMethod, ZipArchive};

/// First bytes of a zip archive, and so of a checkpoint since PyTorch 1.6.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// First bytes of a checkpoint before it: PyTorch's magic number as a pickle.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// Largest pickle, bytes: weights are stored outside of it.
const MAX_PICKLE_BYTES: u64 = 1 << 26;

/// Most axes of a tensor: a network's have up to three.
const MAX_AXES: usize = 16;

/// Bytes of tensors per byte of the file, at most: 2 for half precision, and as much again for
/// tensors that share a storage.
const MAX_GROWTH: u64 = 4;

/// An opened checkpoint.
pub(super) struct Archive {
    pub(super) pickle: Pickle,
    storages: Storages,
    /// Storages that were read, by key.
    cache: HashMap<String, Vec<u8>>,
    /// Bytes that may still be read from the file, and those that tensors may still take.
    unread: u64,
    room: u64,
}

/// Where storages are.
enum Storages {
    /// Files `data/<key>` in this folder of a zip archive.
    Zip(ZipArchive<File>, String),
    /// Behind the pickles, with the key of each.
    Legacy(HashMap<String, Vec<u8>>),
}

impl Archive {
    /// Opens the checkpoint at `path`.
    ///
    /// # Errors
    /// If it is none, or damaged.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file = regular_file::open(path)?;
        let len = file.metadata()?.len();
        let mut start = Vec::new();
        (&mut file)
            .take(LEGACY_MAGIC.len() as u64)
            .read_to_end(&mut start)?;
        let (pickle, storages) = if start.starts_with(ZIP_MAGIC) {
            open_zip(file)?
        } else if start == LEGACY_MAGIC {
            open_legacy(&regular_file::read(path)?)?
        } else if start.is_empty() {
            bail!("the file is empty")
        } else {
            bail!(
                "neither a LeRobot policy (a folder with config.json and model.safetensors) nor a checkpoint of \
                 PyTorch: it begins with {:?}",
                String::from_utf8_lossy(&start[..start.len().min(8)])
            )
        };
        Ok(Self {
            pickle,
            storages,
            cache: HashMap::new(),
            unread: len,
            room: len.saturating_mul(MAX_GROWTH),
        })
    }

    /// Reads a tensor with the type that it has in the file:
    /// `torch._utils._rebuild_tensor_v2((.., FloatStorage, key, ..), offset, size, stride, ..)`.
    ///
    /// # Errors
    /// If it is none of floats, or reaches past its storage.
    pub(super) fn tensor(&mut self, id: Id) -> Result<(Tensor, Float)> {
        let view = View::of(&self.pickle, id)?;
        let len = view
            .shape
            .iter()
            .try_fold(1_usize, |len, size| len.checked_mul(*size));
        let len = len.context("has sizes without a product")?;
        let bytes = (len as u64).saturating_mul(4);
        ensure!(
            bytes <= self.room,
            "shape {:?}: the tensors are larger than the file allows ({MAX_GROWTH} bytes per byte)",
            view.shape
        );
        self.room -= bytes;
        let storage = self.storage(&view.key)?;
        let data = view.values(storage, len)?;
        let shape = view.shape;
        Ok((Tensor { shape, data }, view.kind))
    }

    /// Bytes of a storage, which is read once.
    fn storage(&mut self, key: &str) -> Result<&[u8]> {
        if !self.cache.contains_key(key) {
            let bytes = match &mut self.storages {
                Storages::Zip(zip, folder) => {
                    let name = format!("{folder}data/{key}");
                    read_entry(zip, &name, self.unread)?
                }
                Storages::Legacy(all) => {
                    let bytes = all.remove(key);
                    bytes.with_context(|| format!("the file has no storage {key:?}"))?
                }
            };
            self.unread = self.unread.saturating_sub(bytes.len() as u64);
            self.cache.insert(key.to_owned(), bytes);
        }
        Ok(&self.cache[key])
    }
}

/// Reads an entry of at most `limit` bytes.
fn read_entry(zip: &mut ZipArchive<File>, name: &str, limit: u64) -> Result<Vec<u8>> {
    let index = zip.index_for_name(name);
    let index = index.with_context(|| format!("the archive has no {name}"))?;
    let raw = zip.by_index_raw(index)?;
    let (method, size) = (raw.compression(), raw.size());
    drop(raw);
    ensure!(
        method == CompressionMethod::Stored,
        "{name} is compressed ({method}), only uncompressed entries are supported, as torch.save writes them"
    );
    ensure!(
        size <= limit,
        "{name} has {size} bytes, more than the {limit} that are left of the file or supported"
    );
    let mut bytes = Vec::new();
    let entry = zip.by_index(index)?;
    entry
        .take(limit)
        .read_to_end(&mut bytes)
        .with_context(|| name.to_owned())?;
    Ok(bytes)
}

fn open_zip(file: File) -> Result<(Pickle, Storages)> {
    let mut zip = ZipArchive::new(file).context("damaged or cut off, no whole zip archive")?;
    let is_pickle = |name: &&str| *name == "data.pkl" || name.ends_with("/data.pkl");
    let name = zip.file_names().find(is_pickle).map(str::to_owned);
    let name = name.context(
        "a zip archive without data.pkl; only checkpoints that torch.save wrote are supported",
    )?;
    let bytes = read_entry(&mut zip, &name, MAX_PICKLE_BYTES)?;
    let pickle = Pickle::parse(&bytes).context(name.clone())?;
    let folder = name.trim_end_matches("data.pkl").to_owned();
    Ok((pickle, Storages::Zip(zip, folder)))
}

/// Reads PyTorch's format before version 1.6: pickles of magic number, version, system, object and
/// storage keys, then each storage as its length (i64, values) and its bytes.
fn open_legacy(file: &[u8]) -> Result<(Pickle, Storages)> {
    let mut rest = &file[LEGACY_MAGIC.len()..];
    let mut next = |what: &str| -> Result<Pickle> {
        let end = rest.len().min(MAX_PICKLE_BYTES as usize);
        let (pickle, len) = Pickle::parse_first(&rest[..end])
            .with_context(|| format!("legacy format, pickle of the {what}"))?;
        rest = &rest[len..];
        Ok(pickle)
    };
    next("version")?;
    next("system")?;
    let pickle = next("checkpoint")?;
    let keys = next("storage keys")?;
    let sizes = storage_types(&pickle);
    let mut storages = HashMap::new();
    for key in keys.elements(keys.root()) {
        let key = keys.text(*key).context("a storage key that is no text")?;
        let (len, after) = rest
            .split_first_chunk()
            .context("cut off before a storage")?;
        let size = sizes
            .get(key)
            .with_context(|| format!("storage {key:?} has no type"))?;
        let len = usize::try_from(i64::from_le_bytes(*len))?.checked_mul(*size);
        let bytes = len.and_then(|len| after.get(..len));
        let bytes = bytes.with_context(|| format!("cut off in storage {key:?}"))?;
        storages.insert(key.to_owned(), bytes.to_vec());
        rest = &after[bytes.len()..];
    }
    Ok((pickle, Storages::Legacy(storages)))
}

/// Bytes per value of each storage that the pickle refers to.
fn storage_types(pickle: &Pickle) -> HashMap<String, usize> {
    let mut sizes = HashMap::new();
    for object in pickle.objects() {
        let Object::Persistent(id) = object else {
            continue;
        };
        let [_, kind, key, ..] = pickle.elements(*id) else {
            continue;
        };
        if let (Object::Global(class), Some(key)) = (pickle.get(*kind), pickle.text(*key)) {
            sizes.insert(key.to_owned(), value_size(class));
        }
    }
    sizes
}

/// Bytes per value of a storage class, of integers too.
fn value_size(class: &str) -> usize {
    match class {
        "torch.LongStorage" => 8,
        "torch.IntStorage" => 4,
        "torch.ShortStorage" => 2,
        _ => Float::of_storage(class).map_or(1, Float::size),
    }
}

/// A tensor as a view of its storage.
struct View {
    key: String,
    kind: Float,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl View {
    fn of(pickle: &Pickle, id: Id) -> Result<Self> {
        let Object::Call {
            function,
            arguments,
            ..
        } = pickle.get(id)
        else {
            bail!("is {}, no tensor", pickle.get(id).kind());
        };
        let parts = pickle.elements(*arguments);
        let Object::Global(function) = pickle.get(*function) else {
            bail!("is an object, no tensor");
        };
        match function.as_str() {
            "torch._utils._rebuild_tensor_v2" => {}
            "torch._utils._rebuild_parameter" => {
                let data = *parts.first().context("has no data")?;
                // A parameter of a parameter would recurse without end.
                let is_tensor = matches!(pickle.get(data), Object::Call { function, .. }
                    if *pickle.get(*function) == Object::Global("torch._utils._rebuild_tensor_v2".into()));
                ensure!(is_tensor, "is a parameter without a tensor");
                return Self::of(pickle, data);
            }
            other => bail!(
                "is built by {other}; only plain tensors of float32, float64, float16 and bfloat16 are supported"
            ),
        }
        let [storage, offset, size, stride, ..] = parts else {
            bail!("has {} parts, a tensor has at least 4", parts.len());
        };
        let Object::Persistent(storage) = pickle.get(*storage) else {
            bail!("has no storage");
        };
        let [_, class, key, ..] = pickle.elements(*storage) else {
            bail!("has no storage");
        };
        let Object::Global(class) = pickle.get(*class) else {
            bail!("its storage has no class");
        };
        let kind = Float::of_storage(class);
        let kind = kind.with_context(|| {
            format!("is of {class}; float32, float64, float16 and bfloat16 are supported")
        })?;
        let Object::Int(offset) = pickle.get(*offset) else {
            bail!("has no offset");
        };
        let view = Self {
            key: pickle
                .text(*key)
                .context("its storage has no name")?
                .to_owned(),
            kind,
            offset: usize::try_from(*offset)?,
            shape: sizes(pickle, *size)?,
            strides: sizes(pickle, *stride)?,
        };
        ensure!(
            view.shape.len() == view.strides.len(),
            "has {} sizes and {} strides",
            view.shape.len(),
            view.strides.len()
        );
        Ok(view)
    }

    /// The `len` values, last axis fastest, whatever the strides.
    fn values(&self, storage: &[u8], len: usize) -> Result<Vec<f32>> {
        let past = || format!("shape {:?} reaches past its storage", self.shape);
        let mut contiguous = 1;
        let is_contiguous = self
            .shape
            .iter()
            .zip(&self.strides)
            .rev()
            .all(|(size, stride)| {
                let fits = *size <= 1 || *stride == contiguous;
                contiguous *= (*size).max(1);
                fits
            });
        let size = self.kind.size();
        let start = self.offset.checked_mul(size).with_context(past)?;
        let storage = storage.get(start..).with_context(past)?;
        if is_contiguous || len == 0 {
            let bytes = len.checked_mul(size).and_then(|len| storage.get(..len));
            return Ok(self.kind.values(bytes.with_context(past)?));
        }
        let mut gathered = Vec::with_capacity(len.saturating_mul(size));
        for index in 0..len {
            let place = self.place(index).and_then(|place| place.checked_mul(size));
            let value = place.and_then(|place| storage.get(place..)?.get(..size));
            gathered.extend_from_slice(value.with_context(past)?);
        }
        Ok(self.kind.values(&gathered))
    }

    /// Place in the storage of the value `index` in row-major order.
    fn place(&self, mut index: usize) -> Option<usize> {
        let mut place = 0_usize;
        for (size, stride) in self.shape.iter().zip(&self.strides).rev() {
            place = place.checked_add((index % size).checked_mul(*stride)?)?;
            index /= size;
        }
        Some(place)
    }
}

fn sizes(pickle: &Pickle, id: Id) -> Result<Vec<usize>> {
    let sizes = pickle.elements(id);
    ensure!(
        sizes.len() <= MAX_AXES,
        "has {} axes, up to {MAX_AXES} are supported",
        sizes.len()
    );
    let sizes = sizes.iter();
    sizes
        .map(|id| match pickle.get(*id) {
            Object::Int(size) if (0..1 << 32).contains(size) => Ok(*size as usize),
            other => bail!("has {} as a size or stride", other.kind()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    fn int(value: u32) -> Vec<u8> {
        [b"J", &value.to_le_bytes()[..]].concat()
    }

    fn text(text: &str) -> Vec<u8> {
        [
            b"X",
            &(text.len() as u32).to_le_bytes()[..],
            text.as_bytes(),
        ]
        .concat()
    }

    fn tuple(sizes: &[u32]) -> Vec<u8> {
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| int(*size)).collect();
        [b"(", &sizes[..], b"t"].concat()
    }

    /// A tensor of `float32` that begins its storage.
    fn tensor(key: &str, shape: &[u32], strides: &[u32]) -> Vec<u8> {
        let storage = [
            b"(",
            &text("storage")[..],
            b"ctorch\nFloatStorage\n",
            &text(key),
            &text("cpu"),
            &int(1),
            b"tQ",
        ];
        let parts = [
            &storage.concat()[..],
            &int(0),
            &tuple(shape),
            &tuple(strides),
        ]
        .concat();
        [b"ctorch._utils\n_rebuild_tensor_v2\n(", &parts[..], b"tR"].concat()
    }

    /// A checkpoint with a list of tensors, and storages of these bytes.
    fn checkpoint(path: &Path, tensors: &[Vec<u8>], storages: &[(&str, usize)]) {
        let pickle = [b"\x80\x02](", &tensors.concat()[..], b"e."].concat();
        let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file("archive/data.pkl", options).unwrap();
        zip.write_all(&pickle).unwrap();
        for (key, len) in storages {
            zip.start_file(format!("archive/data/{key}"), options)
                .unwrap();
            zip.write_all(&vec![0; *len]).unwrap();
        }
        zip.finish().unwrap();
    }

    /// How many tensors of the checkpoint can be read, and the error of the next.
    fn read_all(path: &Path) -> (usize, Option<String>) {
        let mut archive = Archive::open(path).unwrap();
        let ids = archive.pickle.elements(archive.pickle.root()).to_vec();
        for (index, id) in ids.iter().enumerate() {
            if let Err(error) = archive.tensor(*id) {
                return (index, Some(format!("{error:#}")));
            }
        }
        (ids.len(), None)
    }

    /// A storage was read again for each tensor, and each tensor took its bytes again.
    #[test]
    fn tensors_of_one_storage_take_no_more_than_the_file_allows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared.ckpt");
        let shared = vec![tensor("0", &[1024], &[1]); 2000];
        checkpoint(&path, &shared, &[("0", 4096)]);
        let most = path.metadata().unwrap().len() * MAX_GROWTH / 4096;
        let (n_read, error) = read_all(&path);
        assert_eq!(n_read as u64, most);
        assert!(error.unwrap().contains("larger than the file allows"));
        let few = vec![tensor("0", &[1024], &[1]); 3];
        checkpoint(&path, &few, &[("0", 4096)]);
        assert_eq!(read_all(&path), (3, None));
    }

    /// Strides of zero make any number of values of one.
    #[test]
    fn a_tensor_that_repeats_its_storage_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("repeated.ckpt");
        for shape in [
            &[1 << 30][..],
            &[1 << 16, 1 << 16],
            &[1 << 30, 1 << 30, 1 << 30],
        ] {
            let strides = vec![0; shape.len()];
            checkpoint(&path, &[tensor("0", shape, &strides)], &[("0", 4)]);
            let error = read_all(&path).1.unwrap();
            let is_bounded = error.contains("the file allows") || error.contains("product");
            assert!(is_bounded, "{error}");
        }
        checkpoint(&path, &[tensor("0", &[1; 17], &[0; 17])], &[("0", 4)]);
        let error = read_all(&path).1.unwrap();
        assert!(error.contains("17 axes"), "{error}");
    }

    #[test]
    fn a_storage_is_read_once_and_no_further_than_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("once.ckpt");
        checkpoint(
            &path,
            &[tensor("0", &[2], &[1]), tensor("0", &[1], &[1])],
            &[("0", 8)],
        );
        let mut archive = Archive::open(&path).unwrap();
        let ids = archive.pickle.elements(archive.pickle.root()).to_vec();
        let unread = archive.unread;
        for id in ids {
            archive.tensor(id).unwrap();
        }
        assert_eq!(archive.unread, unread - 8);
        archive.cache.clear();
        archive.unread = 7;
        let error = format!("{:#}", archive.storage("0").unwrap_err());
        assert!(error.contains("more than the 7 that are left"), "{error}");
    }
}
