//! Reading of regular files: a device or a pipe is refused, because it may never end.

use anyhow::{Context, Result, ensure};
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

/// Bytes of the largest file that is read at once: 4 GiB.
pub const MAX_BYTES: u64 = 4 << 30;
/// Most folders in each other; links can make them endless.
const MAX_DEPTH: usize = 8;

/// Opens the file at `path` for reading.
///
/// # Errors
/// If it can't be opened, or is not a regular file; the error names it.
pub fn open(path: &Path) -> Result<File> {
    let context = || format!("{}: can't read", path.display());
    // Asked before the file is opened: opening a pipe waits for its other end.
    let metadata = std::fs::metadata(path).with_context(context)?;
    check_kind(&metadata).with_context(context)?;
    File::open(path).with_context(context)
}

/// Reads the file at `path`.
///
/// # Errors
/// As [`open`], and if it has more than [`MAX_BYTES`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let context = || format!("{}: can't read", path.display());
    let file = open(path)?;
    check_size(file.metadata().with_context(context)?.len()).with_context(context)?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES).read_to_end(&mut bytes);
    read.with_context(context)?;
    Ok(bytes)
}

/// Checks that everything below `folder` is a folder or a file that [`read`] takes.
///
/// # Errors
/// For the first that is not; the error names it.
pub fn check_all(folder: &Path) -> Result<()> {
    check_below(folder, MAX_DEPTH)
}

fn check_below(folder: &Path, depth: usize) -> Result<()> {
    let context = || format!("{}: can't read", folder.display());
    ensure!(
        depth > 0,
        "{}: too many folders in folders",
        folder.display()
    );
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let context = || format!("{}: can't read", path.display());
        let metadata = std::fs::metadata(&path).with_context(context)?;
        if metadata.is_dir() {
            check_below(&path, depth - 1)?;
        } else {
            check_kind(&metadata).with_context(context)?;
            check_size(metadata.len()).with_context(context)?;
        }
    }
    Ok(())
}

fn check_kind(metadata: &Metadata) -> Result<()> {
    ensure!(metadata.is_file(), "is not a regular file");
    Ok(())
}

fn check_size(bytes: u64) -> Result<()> {
    ensure!(
        bytes <= MAX_BYTES,
        "it has {bytes} bytes, more than the supported {MAX_BYTES}"
    );
    Ok(())
}

/// Reads the text file at `path`.
///
/// # Errors
/// As [`open`], and if it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let text = String::from_utf8(read(path)?);
    text.with_context(|| format!("{}: is not a text in UTF-8", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_may_never_end_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("/dev/zero", at("link")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(at("fifo"))
            .status();
        assert!(made.unwrap().success());
        let sparse = File::create(at("sparse")).unwrap();
        sparse.set_len(MAX_BYTES + 1).unwrap();
        let files = [at("link"), at("fifo"), at("sparse")];
        for path in files
            .iter()
            .map(AsRef::as_ref)
            .chain([folder.path(), Path::new("/dev/zero")])
        {
            let message = format!("{:#}", read(path).unwrap_err());
            assert!(message.contains(&path.display().to_string()), "{message}");
        }
        assert!(format!("{:#}", read(&at("missing")).unwrap_err()).contains("missing"));
    }

    #[test]
    fn a_folder_with_what_may_never_end_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("data/state")).unwrap();
        std::fs::write(at("data/state/0.0"), "rows").unwrap();
        check_all(folder.path()).unwrap();
        for (link, target) in [("0.1", "/dev/zero"), ("0.1", "nowhere"), ("up", "../..")] {
            let path = at("data/state").join(link);
            std::os::unix::fs::symlink(target, &path).unwrap();
            let message = format!("{:#}", check_all(folder.path()).unwrap_err());
            assert!(message.contains(link), "{message}");
            std::fs::remove_file(path).unwrap();
        }
    }
}
