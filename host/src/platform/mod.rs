//! What each operating system does in its own way; the rest of the program asks here.
//!
//! | | Unix | Windows |
//! | --- | --- | --- |
//! | [`processor_time`] | the thread's clock | the thread's times, in steps of 15.6 ms |
//! | [`is_device`] | by the file's kind, in `output.rs` | by its name: `NUL`, `COM1`, `\\.\pipe\x` |
//! | [`is_stdout`] | the same file as descriptor 1 | unknown: `CON` is a device |
//! | [`is_writable`] | `access`, as opening a FIFO would wait | by opening it |
//! | [`sync_folder`] | `fsync` | nothing: the file system's journal keeps names in order |
//! | [`keep_access`] | mode, owner | read-only or not; the rest comes from the folder |
//! | [`lock_port`] | `flock` | nothing: a serial port opens once |

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(not(any(unix, windows)))]
compile_error!("pusht-host runs on Unix and Windows; pusht-core runs anywhere");
