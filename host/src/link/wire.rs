//! What carries the bytes.

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
    /// The other end is gone.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits until something comes, `limit` at most, and returns how many bytes of it were put into `buffer`: 0 if nothing came
    /// in all that time.
    ///
    /// # Errors
    /// The other end is gone.
    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize>;
}

/// The serial port or pseudo terminal at `path`.
///
/// # Errors
/// It can't be opened or set to `baud`.
pub fn open_serial(path: &Path, baud: u32) -> Result<SerialPort> {
    SerialPort::open(path, baud).with_context(|| format!("{}: can't open", path.display()))
}

/// A TCP connection to `address`, `HOST:PORT`.
///
/// # Errors
/// Nobody listens there.
pub fn open_tcp(address: &str) -> Result<TcpStream> {
    let stream =
        TcpStream::connect(address).with_context(|| format!("{address}: can't connect"))?;
    // Frames are short and waited for.
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
        // Zero would mean for ever.
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

/// Nothing within the time is no error; the end of the stream is one.
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
