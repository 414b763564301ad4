//! Windows.

use anyhow::Result;
use serial2::SerialPort;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Component, Path, Prefix};
use std::time::Duration;
use tempfile::Builder;
use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::Threading::{GetCurrentThread, GetThreadTimes};

/// Processor time of this thread, which other programs on the machine do not lengthen. It grows in
/// steps of a clock tick, 15.6 ms.
#[allow(unsafe_code, reason = "a call of the system that std lacks")]
pub(crate) fn processor_time() -> Duration {
    let zero = FILETIME {
        dwLowDateTime: 0,
        dwHighDateTime: 0,
    };
    let [mut created, mut exited, mut kernel, mut user] = [zero; 4];
    // SAFETY: each pointer is to a local variable of its own; the handle of the calling thread is
    // always valid and need not be closed.
    let succeeded = unsafe {
        GetThreadTimes(
            GetCurrentThread(),
            &mut created,
            &mut exited,
            &mut kernel,
            &mut user,
        )
    };
    debug_assert!(succeeded != 0);
    let [kernel, user] = [kernel, user]
        .map(|time| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime));
    // In units of 100 ns.
    Duration::from_nanos((kernel + user) * 100)
}

/// Nothing: a new file has the access that its folder gives.
pub(crate) fn set_usual_mode(_: &mut Builder<'_, '_>) {}

/// Makes `new` read-only if `old` is.
pub(crate) fn keep_access(new: &File, old: &Metadata) -> io::Result<()> {
    new.set_permissions(old.permissions())
}

/// Nothing: no call synchronises a folder, and the journal of NTFS keeps its changes in order.
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether the system takes this name for a device's, in whatever folder: `NUL`, `CON`, `COM1`, a
/// pipe.
pub(crate) fn is_device(path: &Path) -> bool {
    let absolute = std::path::absolute(path);
    absolute.is_ok_and(|path| match path.components().next() {
        Some(Component::Prefix(prefix)) => matches!(prefix.kind(), Prefix::DeviceNS(_)),
        _ => false,
    })
}

/// Whether this is standard output: no, as far as std tells.
pub(crate) fn is_stdout(_: &Metadata) -> bool {
    false
}

/// Whether what is at `path` can be written.
pub(crate) fn is_writable(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(path).map(drop)
}

/// Nothing: the system opens a port for one program at a time.
pub(crate) fn lock_port(_: &SerialPort, _: &Path) -> Result<()> {
    Ok(())
}
