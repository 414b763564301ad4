//! Reads whole arrays of a Zarr v2 or v3 hierarchy from a folder or a zip archive.

use super::bounds::{Layout, decoded_limit};
use crate::regular_file;
use anyhow::{Context, Result, bail, ensure};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use zarrs::array::{Array, ElementOwned, data_type};
use zarrs::filesystem::FilesystemStore;
use zarrs::storage::store::MemoryStore;
use zarrs::storage::{ReadableStorage, ReadableStorageTraits, StoreKey, WritableStorageTraits};

/// Keys of a Zarr hierarchy with their bytes.
pub type Store = ReadableStorage;

/// Keys that identify the root of the hierarchy in an archive: Zarr v2, v3.
const ROOT_MARKS: [&str; 2] = ["data/state/.zarray", "data/state/zarr.json"];

/// Opens the hierarchy at `path`, a folder or an archive; archives are read into memory.
///
/// # Errors
/// If it does not exist, is damaged, is not a replay buffer, or inflates beyond all measure.
pub fn open_store(path: &Path) -> Result<Store> {
    if path.is_dir() {
        regular_file::check_all(path)?;
        return Ok(Arc::new(FilesystemStore::new(path)?));
    }
    let file = regular_file::open(path)?;
    let limit = decoded_limit(file.metadata()?.len());
    let mut archive = zip::ZipArchive::new(file).context("not a whole zip archive")?;
    let root_of = |name: &str| {
        let mut roots = ROOT_MARKS.iter().filter_map(|mark| name.strip_suffix(mark));
        roots.next().map(str::to_owned)
    };
    let Some(root) = archive.file_names().find_map(root_of) else {
        bail!("no array data/state in the archive (neither .zarray nor zarr.json)");
    };
    let store = MemoryStore::new();
    let mut inflated = 0;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).context("damaged zip archive")?;
        let Some(key) = entry.name().strip_prefix(&root).map(str::to_owned) else {
            continue;
        };
        if entry.is_dir() || !is_wanted(&key) {
            continue;
        }
        let mut bytes = Vec::new();
        (entry.take(limit - inflated + 1).read_to_end(&mut bytes))
            .with_context(|| format!("archive entry {root}{key}"))?;
        inflated += bytes.len() as u64;
        ensure!(
            inflated <= limit,
            "archive entry {root}{key}: with it the arrays inflate to more than the {limit} bytes \
             that are allowed for an archive of this size"
        );
        store.set(&StoreKey::new(&key)?, bytes.into())?;
    }
    Ok(Arc::new(store))
}

/// Whether a key belongs to a used array (the authors' archive also has images).
fn is_wanted(key: &str) -> bool {
    let arrays = [
        "data/state/",
        "data/action/",
        "meta/episode_ends/",
        "meta/continues/",
        "meta/cut_off/",
        "meta/seed/",
    ];
    arrays.iter().any(|array| key.starts_with(array))
}

/// Whether the array `name` exists.
///
/// # Errors
/// If the store can't be read.
pub fn contains(store: &Store, name: &str) -> Result<bool> {
    for file in [".zarray", "zarr.json"] {
        let key = StoreKey::new(format!("{name}/{file}"))?;
        if store.size_key(&key)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads an (N, `D`) array of floats by rows.
///
/// # Errors
/// If it is missing, damaged, or of another shape or type.
pub fn read_rows<const D: usize>(store: &Store, name: &str) -> Result<Vec<[f64; D]>> {
    let (shape, values) = read(store, name, floats)?;
    ensure!(
        shape.len() == 2 && shape[1] == D as u64,
        "array {name}: shape {shape:?}; (N, {D}) is needed"
    );
    Ok(values.as_chunks::<D>().0.to_vec())
}

/// Reads an (N,) array of whole numbers.
///
/// # Errors
/// If it is missing, damaged, or of another shape or type.
pub fn read_integers(store: &Store, name: &str) -> Result<Vec<i64>> {
    one_dimensional(name, read(store, name, integers)?)
}

/// Reads an (N,) array of flags.
///
/// # Errors
/// If it is missing, damaged, or of another shape or type.
pub fn read_flags(store: &Store, name: &str) -> Result<Vec<bool>> {
    one_dimensional(name, read(store, name, flags)?)
}

fn one_dimensional<T>(name: &str, (shape, values): (Vec<u64>, Vec<T>)) -> Result<Vec<T>> {
    ensure!(
        shape.len() == 1,
        "array {name}: shape {shape:?}; (N,) is needed"
    );
    Ok(values)
}

/// An array that has been opened, with the bounds of its chunks.
struct Opened {
    array: Array<dyn ReadableStorageTraits>,
    layout: Layout,
}

impl Opened {
    /// Decodes all values, row-major; `T` is the array's type.
    fn values<T: ElementOwned>(&self) -> Result<Vec<T>> {
        self.layout
            .check_chunks(&self.array, size_of::<T>() as u64)?;
        Ok(self.array.retrieve_array_subset(&self.array.subset_all())?)
    }

    fn other_type<T>(&self, supported: &str) -> Result<T> {
        bail!("type {}; supported: {supported}", self.array.data_type())
    }
}

/// Reads shape and row-major values of the array `name`, which `decode` converts.
fn read<T>(
    store: &Store,
    name: &str,
    decode: fn(&Opened) -> Result<Vec<T>>,
) -> Result<(Vec<u64>, Vec<T>)> {
    let read = || {
        let layout = Layout::read(store, name)?;
        let array = Array::open(store.clone(), &format!("/{name}"))?;
        let opened = Opened { array, layout };
        anyhow::Ok((opened.array.shape().to_vec(), decode(&opened)?))
    };
    read().with_context(|| format!("array {name}"))
}

fn floats(opened: &Opened) -> Result<Vec<f64>> {
    let dtype = opened.array.data_type();
    if *dtype == data_type::float64() {
        return opened.values();
    }
    if *dtype == data_type::float32() {
        return Ok(opened.values::<f32>()?.into_iter().map(f64::from).collect());
    }
    opened.other_type("float32, float64")
}

fn integers(opened: &Opened) -> Result<Vec<i64>> {
    let dtype = opened.array.data_type();
    if *dtype == data_type::int64() {
        return opened.values();
    }
    if *dtype == data_type::int32() {
        return Ok(opened.values::<i32>()?.into_iter().map(i64::from).collect());
    }
    opened.other_type("int32, int64")
}

fn flags(opened: &Opened) -> Result<Vec<bool>> {
    if *opened.array.data_type() == data_type::bool() {
        return opened.values();
    }
    opened.other_type("bool")
}
