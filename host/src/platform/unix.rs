//! Linux and macOS.

use anyhow::{Context, Result};
use rustix::fs::{Access, FlockOperation, access, flock};
use rustix::time::{ClockId, clock_gettime};
use serial2::SerialPort;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;
use std::time::Duration;
use tempfile::Builder;

/// Processor time of this thread, which other programs on the machine do not lengthen.
pub(crate) fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Gives a new file the mode that other programs' files have: the umask's.
pub(crate) fn set_usual_mode(builder: &mut Builder<'_, '_>) {
    builder.permissions(Permissions::from_mode(0o666));
}

/// Gives `new` the mode of `old`, and its owner if the system allows that.
pub(crate) fn keep_access(new: &File, old: &Metadata) -> io::Result<()> {
    let created = new.metadata()?;
    if (created.uid(), created.gid()) != (old.uid(), old.gid()) {
        let _ = fchown(new, Some(old.uid()), Some(old.gid()));
    }
    new.set_permissions(old.permissions())
}

/// Synchronises the names in `folder` with the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // A file system that synchronises no folders.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

/// Whether the name alone says that this is a device: never, since devices are files.
pub(crate) fn is_device(_: &Path) -> bool {
    false
}

/// Whether this is the file, pipe or device that standard output is.
pub(crate) fn is_stdout(metadata: &Metadata) -> bool {
    let own = io::stdout().as_fd().try_clone_to_owned();
    let own = own.and_then(|own| File::from(own).metadata());
    own.is_ok_and(|own| (own.dev(), own.ino()) == (metadata.dev(), metadata.ino()))
}

/// Whether what is at `path` can be written; opening a FIFO would wait for its reader.
pub(crate) fn is_writable(path: &Path) -> io::Result<()> {
    Ok(access(path, Access::WRITE_OK)?)
}

/// Keeps other programs from the port: two readers would share the bytes, so that neither gets a
/// whole answer.
pub(crate) fn lock_port(port: &SerialPort, path: &Path) -> Result<()> {
    flock(port, FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("{}: another program drives the device", path.display()))
}
