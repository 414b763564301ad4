//! A bridge from a browser page to a device: the bytes of the link in the binary messages of a
//! WebSocket (RFC 6455) at a port of this machine.

use super::wire::Wire;
use anyhow::{Context, Result, bail};
use pusht_core::link::{Answer, AnswerBody, MAX_SHORT_FRAME, Refusal, encode};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::StatusCode;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket, accept_hdr_with_config};

/// Time that a page has for its request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time that one direction is waited for before the other.
const TURN: Duration = Duration::from_millis(1);
/// Longest message of a page, bytes: some frames.
const MAX_MESSAGE: usize = 64 << 10;
/// Origins whose pages may drive the device, whatever their port.
const LOCAL_ORIGINS: [&str; 3] = ["http://127.0.0.1", "http://localhost", "http://[::1]"];

/// A port at which a page finds a device.
#[derive(Debug)]
pub struct Bridge {
    listener: TcpListener,
    origin: Option<String>,
}

impl Bridge {
    /// Listens at port `number` of 127.0.0.1; 0 is any free one. Pages of this machine may connect,
    /// and those of `origin`.
    ///
    /// # Errors
    /// If another program has the port.
    pub fn open(number: u16, origin: Option<String>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number))
            .with_context(|| format!("port {number} can't be served; choose another"))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, origin })
    }

    /// Address of the bridge.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Carries bytes between `wire` and one page after the other, until the wire fails or
    /// `is_wanted` says no.
    ///
    /// # Errors
    /// If the wire or the port fails.
    pub fn carry(&self, wire: &mut impl Wire, is_wanted: impl Fn() -> bool) -> Result<()> {
        let mut page: Option<WebSocket<TcpStream>> = None;
        while is_wanted() {
            match self.listener.accept() {
                Ok((stream, _)) if page.is_none() => page = self.welcome(stream, TURN),
                Ok((stream, _)) => self.refuse(stream),
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error).context("the bridge"),
            }
            let mut buffer = [0; 1024];
            let n = wire.receive(&mut buffer, TURN).context("the device")?;
            let Some(socket) = &mut page else {
                continue;
            };
            match exchange(socket, &buffer[..n]) {
                Ok(Some(bytes)) => wire.send(&bytes).context("the device")?,
                Ok(None) => {}
                // The page is gone; the next one may come.
                Err(_) => page = None,
            }
        }
        Ok(())
    }

    /// Accepts a page, which is then waited for `turn` at a time; none if it is another origin's.
    fn welcome(&self, stream: TcpStream, turn: Duration) -> Option<WebSocket<TcpStream>> {
        accept(stream, self.origin.as_deref(), turn).ok()
    }

    /// Tells a page that there is another.
    fn refuse(&self, stream: TcpStream) {
        let origin = self.origin.clone();
        thread::spawn(move || -> Result<()> {
            let mut socket = accept(stream, origin.as_deref(), PATIENCE)?;
            let mut memory = [0; MAX_SHORT_FRAME];
            let busy = Answer {
                session: 0,
                sequence: 0,
                body: AnswerBody::Refused(Refusal::Busy),
            };
            let frame = encode(&busy, &mut memory).to_vec();
            // It has asked before it is answered.
            socket.read()?;
            socket.send(Message::Binary(frame.into()))?;
            socket.close(None)?;
            while socket.read().is_ok() {}
            Ok(())
        });
    }
}

/// The WebSocket of a page that may drive the device.
#[expect(
    clippy::result_large_err,
    reason = "the library says what its callback returns"
)]
fn accept(stream: TcpStream, origin: Option<&str>, turn: Duration) -> Result<WebSocket<TcpStream>> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let check = |request: &Request, response: Response| {
        let from = request.headers().get("origin");
        let may = from.is_none_or(|from| from.to_str().is_ok_and(|from| may_drive(from, origin)));
        match may {
            true => Ok(response),
            false => {
                let mut refused = ErrorResponse::new(Some("another origin".to_owned()));
                *refused.status_mut() = StatusCode::FORBIDDEN;
                Err(refused)
            }
        }
    };
    let socket = match accept_hdr_with_config(stream, check, Some(config)) {
        Ok(socket) => socket,
        Err(error) => bail!("{error}"),
    };
    socket.get_ref().set_read_timeout(Some(turn))?;
    Ok(socket)
}

/// Whether a page from `from` may drive the device.
fn may_drive(from: &str, origin: Option<&str>) -> bool {
    let is_local = |local: &&str| {
        let port = from.strip_prefix(*local);
        port.is_some_and(|port| port.is_empty() || port.starts_with(':'))
    };
    origin == Some(from) || LOCAL_ORIGINS.iter().any(is_local)
}

/// Sends what the device said, and returns what the page says, if anything.
fn exchange(socket: &mut WebSocket<TcpStream>, said: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    if !said.is_empty() {
        socket.send(Message::Binary(said.to_vec().into()))?;
    }
    match socket.read() {
        Ok(Message::Binary(bytes)) => Ok(Some(bytes.to_vec())),
        Ok(Message::Close(_)) => Err(Error::ConnectionClosed),
        Ok(_) => Ok(None),
        Err(Error::Io(error)) if is_late(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether there was just nothing to read yet.
fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pusht_core::link::{FrameDecoder, max_message_len};
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tungstenite::ClientRequestBuilder;

    #[test]
    fn pages_of_this_machine_and_of_the_named_origin_may_drive() {
        let named = Some("https://pusht.example");
        for (from, may) in [
            ("http://127.0.0.1:8000", true),
            ("http://localhost", true),
            ("https://pusht.example", true),
            ("http://127.0.0.1.evil.example", false),
            ("http://localhost.evil.example:80", false),
            ("https://evil.example", false),
            ("null", false),
        ] {
            assert_eq!(may_drive(from, named), may, "{from}");
        }
        assert!(!may_drive("https://pusht.example", None));
    }

    /// Answers every byte with its successor.
    #[derive(Default)]
    struct Successor(Vec<u8>);

    impl Wire for Successor {
        fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.extend(bytes.iter().map(|byte| byte + 1));
            Ok(())
        }

        fn receive(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
            let n = self.0.len().min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0.drain(..n);
            Ok(n)
        }
    }

    fn connect(address: SocketAddr, origin: &str) -> Result<WebSocket<TcpStream>, String> {
        let url = format!("ws://{address}/").parse().unwrap();
        let request = ClientRequestBuilder::new(url).with_header("Origin", origin);
        let stream = TcpStream::connect(address).unwrap();
        let connected = tungstenite::client(request, stream);
        connected
            .map(|(socket, _)| socket)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn bytes_are_carried_for_one_page_at_a_time() {
        let bridge = Bridge::open(0, None).unwrap();
        let address = bridge.address().unwrap();
        let is_wanted = AtomicBool::new(true);
        thread::scope(|scope| {
            let carrying = scope.spawn(|| {
                bridge.carry(&mut Successor::default(), || {
                    is_wanted.load(Ordering::Relaxed)
                })
            });
            let refused = connect(address, "https://evil.example").unwrap_err();
            assert!(refused.contains("403"), "{refused}");
            let mut page = connect(address, "http://127.0.0.1:8000").unwrap();
            page.send(Message::Binary(vec![1, 2, 0].into())).unwrap();
            assert_eq!(page.read().unwrap(), Message::Binary(vec![2, 3, 1].into()));

            let mut second = connect(address, "http://localhost:8000").unwrap();
            second.send(Message::Binary(vec![7].into())).unwrap();
            let Message::Binary(busy) = second.read().unwrap() else {
                panic!("no bytes");
            };
            let mut decoder = FrameDecoder::new(vec![0; max_message_len(0)]);
            let mut answers = Vec::new();
            for byte in busy {
                if let Some(answer) = decoder.push::<Answer<'_>>(byte) {
                    answers.push(answer.unwrap().body == AnswerBody::Refused(Refusal::Busy));
                }
            }
            assert_eq!(answers, [true]);

            page.close(None).unwrap();
            while page.read().is_ok() {}
            let mut third = connect(address, "http://localhost").unwrap();
            third.send(Message::Binary(vec![9].into())).unwrap();
            assert_eq!(third.read().unwrap(), Message::Binary(vec![10].into()));
            is_wanted.store(false, Ordering::Relaxed);
            carrying.join().unwrap().unwrap();
        });
    }
}
