//! Files that a command writes: whole or not at all, where the path leads.
//!
//! A regular file is replaced: its new contents are written beside it and renamed over it. So a
//! failure leaves the old file as it was, and no reader sees a part. A symbolic link stays, and the
//! file that it leads to is replaced; a device, a pipe or a FIFO is written as it is.

use crate::{kill, platform, stdout};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Most symbolic links that lead to a file, as in Linux.
const MAX_LINKS: usize = 40;

/// Beginning of the names of files that are not whole yet.
pub const UNFINISHED: &str = ".unfinished-";

/// Where a path leads.
enum Target {
    /// The program's own standard output.
    Stdout,
    /// What is written as it is: a device, a pipe, or a file that is open already.
    AsItIs(PathBuf),
    /// A regular file, new without metadata.
    File(PathBuf, Option<Metadata>),
}

/// Writes a file that survives a power failure once this returns: file and folder are synchronised
/// with the disk. An existing file keeps its mode, a new one has the umask's.
///
/// # Errors
/// If it can't be written; the error names it, and an existing file is as before.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, true).with_context(|| format!("{}: can't write", path.display()))
}

/// As [`write_whole`], but what is written can be lost in a power failure (not if the program is
/// killed): for many files, until [`sync_all`]. Then even an older version can be lost.
///
/// # Errors
/// As [`write_whole`].
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, false).with_context(|| format!("{}: can't write", path.display()))
}

/// Checks, before long work begins, that [`write_whole`] can write to `path`; changes nothing, but
/// removes what a run that was killed while it wrote this file left beside it.
///
/// # Errors
/// If it can't; the error names it.
pub fn check_file(path: &Path) -> Result<()> {
    let check = || match target(path)? {
        Target::Stdout => Ok(()),
        Target::AsItIs(path) => Ok(platform::is_writable(&path)?),
        Target::File(path, old) => {
            remove_stale(&path)?;
            new_beside(&path, old.as_ref()).map(drop)
        }
    };
    check().with_context(|| format!("{}: can't write", path.display()))
}

/// Checks, before long work begins, that files can be written in `folder`, or that it can be made.
///
/// # Errors
/// If not; the error names it.
pub fn check_folder(folder: &Path) -> Result<()> {
    let there = folder
        .ancestors()
        .find(|path| path.symlink_metadata().is_ok());
    let there = there.filter(|path| !path.as_os_str().is_empty());
    let made = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(there.unwrap_or(Path::new(".")));
    made.map(drop)
        .with_context(|| format!("{}: can't write to the folder", folder.display()))
}

/// Makes a folder and those above it, as far as they are missing, so that they survive a power
/// failure.
///
/// # Errors
/// If one can't be made; the error names it.
pub fn make_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = folder_of(path);
    make_folder(parent)?;
    let make = || -> io::Result<()> {
        kill::point();
        fs::create_dir(path)?;
        kill::made(path);
        kill::point();
        sync_folder(parent)
    };
    match make() {
        // By someone else.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.with_context(|| format!("{}: can't make the folder", path.display())),
    }
}

/// Renames a folder that is whole and synchronised, so that it survives a power failure under its
/// new name. `to` may be an empty folder.
///
/// # Errors
/// If it can't be renamed; the error names both.
pub fn rename_folder(from: &Path, to: &Path) -> Result<()> {
    let rename = || -> io::Result<()> {
        kill::point();
        fs::rename(from, to)?;
        kill::point();
        sync_folder(folder_of(to))
    };
    rename().with_context(|| format!("{}: can't rename it to {}", from.display(), to.display()))
}

/// Synchronises every file and folder below `folder` with the disk.
///
/// # Errors
/// If one can't be; the error names the folder.
pub fn sync_all(folder: &Path) -> Result<()> {
    fn sync(folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
            match entry? {
                kind if kind.is_dir() => sync(&path)?,
                kind if kind.is_file() => {
                    // Windows synchronises only what was opened for writing.
                    let mut file = OpenOptions::new();
                    file.read(true)
                        .write(cfg!(windows))
                        .open(&path)?
                        .sync_all()?;
                    kill::synced_file(&path);
                }
                _ => {}
            }
        }
        sync_folder(folder)
    }
    sync(folder).with_context(|| format!("{}: can't write", folder.display()))
}

/// Removes what a program that was killed left in `folder` of files that were not whole.
///
/// # Errors
/// If the folder can't be read, or a file not removed.
pub fn remove_unfinished(folder: &Path) -> Result<()> {
    let remove = || -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(UNFINISHED) && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    remove().with_context(|| format!("{}: can't remove unfinished files", folder.display()))
}

fn write(path: &Path, bytes: &[u8], is_synced: bool) -> Result<()> {
    match target(path)? {
        Target::Stdout => {
            // Its failure is told by the exit code.
            stdout::Stdout
                .write_all(bytes)
                .map_err(|_| stdout::Broken)?;
            Ok(())
        }
        Target::AsItIs(path) => {
            let mut file = OpenOptions::new().append(true).open(path)?;
            Ok(file.write_all(bytes)?)
        }
        Target::File(path, old) => {
            kill::point();
            let mut new = new_beside(&path, old.as_ref())?;
            kill::point();
            new.write_all(bytes)?;
            kill::point();
            if let Some(old) = &old {
                platform::keep_access(new.as_file(), old)?;
            }
            if is_synced {
                new.as_file().sync_all()?;
            }
            kill::replaced(&path, is_synced);
            new.persist(&path)?;
            kill::point();
            if is_synced {
                sync_folder(folder_of(&path))?;
            }
            Ok(())
        }
    }
}

/// Follows `path` to what is written.
fn target(path: &Path) -> Result<Target> {
    if platform::is_device(path) {
        return Ok(Target::AsItIs(path.to_owned()));
    }
    let metadata = match fs::metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let mut path = path.to_owned();
    match &metadata {
        Some(metadata) if metadata.is_dir() => bail!("it is a folder"),
        Some(metadata) if platform::is_stdout(metadata) => return Ok(Target::Stdout),
        Some(metadata) if !metadata.is_file() => return Ok(Target::AsItIs(path)),
        _ => {}
    }
    for _ in 0..MAX_LINKS {
        let folder = folder_of(&path).canonicalize()?;
        if folder.starts_with("/proc") {
            return Ok(Target::AsItIs(path));
        }
        match fs::read_link(&path) {
            Ok(link) => path = folder.join(link),
            Err(_) => return Ok(Target::File(path, metadata)),
        }
    }
    bail!("it leads through more than {MAX_LINKS} symbolic links")
}

/// A new file beside `path`, removed unless it is renamed. Refused if `path` itself is protected.
fn new_beside(path: &Path, old: Option<&Metadata>) -> Result<NamedTempFile> {
    ensure!(path.file_name().is_some(), "it is no name of a file");
    if old.is_some() {
        OpenOptions::new().write(true).open(path)?;
    }
    let prefix = unfinished(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    platform::set_usual_mode(&mut builder);
    let new = builder.tempfile_in(folder_of(path))?;
    // Says that it is being written; a file system without locks has no stale files removed.
    let _ = new.as_file().try_lock();
    Ok(new)
}

/// Beginning of the names of this file while it is not whole, the same for every run.
fn unfinished(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(name.as_encoded_bytes());
    format!("{UNFINISHED}{crc:08x}-")
}

/// Removes what no run is writing any more of the file at `path`.
fn remove_stale(path: &Path) -> io::Result<()> {
    let prefix = unfinished(path);
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(&prefix);
        if is_ours && entry.file_type()?.is_file() && File::open(entry.path())?.try_lock().is_ok() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Synchronises the names in `folder` with the disk, where the system can.
fn sync_folder(folder: &Path) -> io::Result<()> {
    platform::sync_folder(folder)?;
    kill::synced_folder(folder);
    Ok(())
}

/// [`write_whole`] of a value as JSON.
///
/// # Errors
/// As [`write_whole`], and if the value is no JSON.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(value)?;
    json.push(b'\n');
    write_whole(path, &json)
}

#[cfg(all(test, unix))]
mod tests;
