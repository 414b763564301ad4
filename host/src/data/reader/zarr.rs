//! Reads whole arrays of a Zarr v2 hierarchy from a folder or a zip archive.

use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use zarrs::array::{Array, ElementOwned};
use zarrs::filesystem::FilesystemStore;
use zarrs::storage::store::MemoryStore;
use zarrs::storage::{ReadableStorage, ReadableStorageTraits, StoreKey, WritableStorageTraits};

/// Keys of a Zarr hierarchy with their bytes.
pub type Store = ReadableStorage;

/// Key that identifies the root of the hierarchy in an archive.
const ROOT_MARK: &str = "data/state/.zarray";

/// Opens the hierarchy at `path`, a folder or an archive; archives are read into memory.
///
/// # Errors
/// If it does not exist, is damaged, or is not a replay buffer.
pub fn open_store(path: &Path) -> Result<Store> {
    if path.is_dir() {
        return Ok(Arc::new(FilesystemStore::new(path)?));
    }
    let file = File::open(path).context("can't open it")?;
    let mut archive = zip::ZipArchive::new(file).context("not a whole zip archive")?;
    let Some(root) = archive
        .file_names()
        .find_map(|name| name.strip_suffix(ROOT_MARK))
        .map(str::to_owned)
    else {
        bail!("no array data/state in the archive");
    };
    let store = MemoryStore::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).context("damaged zip archive")?;
        let Some(key) = entry.name().strip_prefix(&root).map(str::to_owned) else {
            continue;
        };
        if entry.is_dir() || !is_wanted(&key) {
            continue;
        }
        let mut bytes = Vec::new();
        entry
            .read_to_end(&mut bytes)
            .with_context(|| format!("archive entry {root}{key}"))?;
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
    let key = StoreKey::new(format!("{name}/.zarray"))?;
    Ok(store.size_key(&key)?.is_some())
}

/// Reads an (N, `D`) array by rows.
///
/// # Errors
/// If it is missing, damaged, or of another shape or type.
pub fn read_rows<T: ElementOwned + Copy, const D: usize>(
    store: &Store,
    name: &str,
) -> Result<Vec<[T; D]>> {
    let (shape, values) = read::<T>(store, name)?;
    ensure!(
        shape.len() == 2 && shape[1] == D as u64,
        "array {name}: shape {shape:?}, not (N, {D})"
    );
    Ok(values.as_chunks::<D>().0.to_vec())
}

/// Reads an (N,) array.
///
/// # Errors
/// If it is missing, damaged, or of another shape or type.
pub fn read_1d<T: ElementOwned>(store: &Store, name: &str) -> Result<Vec<T>> {
    let (shape, values) = read(store, name)?;
    ensure!(shape.len() == 1, "array {name}: shape {shape:?}, not (N,)");
    Ok(values)
}

/// Reads shape and row-major values of the array `name`.
fn read<T: ElementOwned>(store: &Store, name: &str) -> Result<(Vec<u64>, Vec<T>)> {
    let context = || format!("array {name}");
    let array = Array::open(store.clone(), &format!("/{name}")).with_context(context)?;
    check_chunks(&array).with_context(context)?;
    let values = array
        .retrieve_array_subset::<Vec<T>>(&array.subset_all())
        .with_context(context)?;
    Ok((array.shape().to_vec(), values))
}

/// Checks that no chunk is missing: Zarr would read it as fill values.
fn check_chunks(array: &Array<dyn ReadableStorageTraits>) -> Result<()> {
    let grid = array.chunk_grid_shape();
    for index in 0..grid.iter().product() {
        let mut rest = index;
        let mut indices = vec![0; grid.len()];
        for axis in (0..grid.len()).rev() {
            indices[axis] = rest % grid[axis];
            rest /= grid[axis];
        }
        ensure!(
            array.retrieve_encoded_chunk(&indices)?.is_some(),
            "chunk {} is missing",
            array.chunk_key(&indices).as_str()
        );
    }
    Ok(())
}
