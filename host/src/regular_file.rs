//! Reading of regular files: a device or a pipe is refused, because it may never end.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::path::Path;

/// Opens the file at `path` for reading.
///
/// # Errors
/// If it can't be opened, or is not a regular file; the error names it.
pub fn open(path: &Path) -> Result<File> {
    let context = || format!("{}: can't read", path.display());
    // Asked before the file is opened: opening a pipe waits for its other end.
    let metadata = std::fs::metadata(path).with_context(context)?;
    ensure!(
        metadata.is_file(),
        "{}: can't read: is not a regular file",
        path.display()
    );
    File::open(path).with_context(context)
}

/// Reads the file at `path`.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = open(path)?.read_to_end(&mut bytes);
    read.with_context(|| format!("{}: can't read", path.display()))?;
    Ok(bytes)
}

/// Reads the text file at `path`.
///
/// # Errors
/// As [`open`], and if it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let text = String::from_utf8(read(path)?);
    text.with_context(|| format!("{}: is not a text in UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_or_a_device_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/dev/zero")] {
            let message = format!("{:#}", read(path).unwrap_err());
            assert!(message.contains(&path.display().to_string()), "{message}");
        }
        let missing = folder.path().join("missing");
        assert!(format!("{:#}", read(&missing).unwrap_err()).contains("missing"));
    }
}
