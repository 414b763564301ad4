//! Serves a folder over HTTP on this machine alone, for looking at the page.

use anyhow::{Context, Result};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// Longest request that is read, bytes.
const MAX_REQUEST: u64 = 16 << 10;
/// Time that a browser has for its request.
const PATIENCE: Duration = Duration::from_secs(10);

/// A folder behind a port.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    folder: PathBuf,
}

impl Server {
    /// Listens at port `number` of 127.0.0.1; 0 is any free one.
    ///
    /// # Errors
    /// If another program has the port.
    pub fn open(folder: PathBuf, number: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number))
            .with_context(|| format!("port {number} can't be served; choose another by --port"))?;
        Ok(Self { listener, folder })
    }

    /// Address of the page.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until the program ends.
    pub fn serve(&self) {
        for stream in self.listener.incoming().flatten() {
            let folder = self.folder.clone();
            // A browser that goes away is no error of the server.
            thread::spawn(move || drop(answer(&folder, stream)));
        }
    }
}

/// Answers one request: a file right in the folder, or 404.
fn answer(folder: &std::path::Path, stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?.take(MAX_REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let name = file_name(&request);
    let content = name.and_then(|name| Some((name, fs::read(folder.join(name)).ok()?)));
    let (status, kind, content) = match content {
        Some((name, content)) => ("200 OK", kind_of(name), content),
        None => ("404 Not Found", "text/plain", b"not here\n".to_vec()),
    };
    let mut stream = &stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-cache\r\nConnection: close\r\n\r\n",
        content.len()
    )?;
    stream.write_all(&content)
}

/// The file that a request line asks for; none if it is not right in the folder.
fn file_name(request: &str) -> Option<&str> {
    let path = request.strip_prefix("GET /")?.split([' ', '?']).next()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match path {
        "" => Some("index.html"),
        _ => (path.chars().all(is_plain) && !path.starts_with('.')).then_some(path),
    }
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_right_in_the_folder_are_served() {
        for (request, name) in [
            ("GET / HTTP/1.1", Some("index.html")),
            ("GET /style.css HTTP/1.1", Some("style.css")),
            ("GET /main.js?seed=3 HTTP/1.1", Some("main.js")),
            ("GET /../secret HTTP/1.1", None),
            ("GET /.git HTTP/1.1", None),
            ("GET /a/b HTTP/1.1", None),
            ("GET /%2e%2e%2fsecret HTTP/1.1", None),
            ("POST / HTTP/1.1", None),
            ("", None),
        ] {
            assert_eq!(file_name(request), name, "{request}");
        }
    }
}
