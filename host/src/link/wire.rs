//! Byte streams to a device: serial port, pseudo terminal, TCP.

use crate::platform;
use anyhow::{Context, Result};
use serial2::SerialPort;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// A stream of bytes in both directions.
pub trait Wire {
    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// If the connection is closed or fails.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits for input, at most `limit`, and returns the bytes read into `buffer`; 0 on timeout.
    ///
    /// # Errors
    /// If the connection is closed or fails.
    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize>;
}

/// Opens the serial port or pseudo terminal at `path`, for this program alone.
///
/// # Errors
/// If it can't be opened or set to `baud`, or if another program has it.
pub fn open_serial(path: &Path, baud: u32) -> Result<SerialPort> {
    let port =
        SerialPort::open(path, baud).with_context(|| format!("{}: can't open", path.display()))?;
    platform::lock_port(&port, path)?;
    Ok(port)
}

/// Connects to the TCP server at `address`, `HOST:PORT`.
///
/// # Errors
/// If the connection fails.
pub fn open_tcp(address: &str) -> Result<TcpStream> {
    let stream =
        TcpStream::connect(address).with_context(|| format!("{address}: can't connect"))?;
    // Frames are short and latency matters.
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Wire for SerialPort {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.set_read_timeout(limit)?;
        something(|| self.read(buffer))
    }
}

impl Wire for TcpStream {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        // A timeout of zero is invalid.
        self.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
        something(|| self.read(buffer))
    }
}

impl<W: Wire + ?Sized> Wire for Box<W> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).send(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        (**self).receive(buffer, limit)
    }
}

/// Maps a timeout to 0 bytes, and the end of the stream to an error.
fn something(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => return Ok(n),
            Err(error) => match error.kind() {
                ErrorKind::TimedOut | ErrorKind::WouldBlock => return Ok(0),
                ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
}
