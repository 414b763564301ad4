//! Serves a board's UART at a TCP port, to one client at a time: QEMU's own server leaves a second
//! client without an answer.

use anyhow::{Context, Result};
use pusht_core::link::{Answer, AnswerBody, MAX_SHORT_FRAME, Refusal, encode};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Time that a refused client has to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// A TCP port at which clients find a board's UART.
#[derive(Debug)]
pub struct Port {
    for_clients: TcpListener,
    for_board: TcpListener,
}

/// The client that is connected, if any.
type Client = Arc<Mutex<Option<TcpStream>>>;

impl Port {
    /// Listens at port `number` of this machine; 0 is any free one.
    ///
    /// # Errors
    /// If another program has the port.
    pub fn open(number: u16) -> Result<Self> {
        let listen = |number| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, number))
                .with_context(|| format!("port {number} can't be served; choose another by --tcp"))
        };
        Ok(Self {
            for_clients: listen(number)?,
            for_board: listen(0)?,
        })
    }

    /// Address at which clients connect.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.for_clients.local_addr()?)
    }

    /// QEMU's `-serial` argument, with which it connects to the port.
    ///
    /// # Errors
    /// If the system does not say the number of its port.
    pub fn serial(&self) -> Result<String> {
        Ok(format!("tcp:{},nodelay=on", self.for_board.local_addr()?))
    }

    /// Carries bytes between clients and QEMU, which may not have been started yet, until it ends.
    ///
    /// # Errors
    /// If the system has no further handle of a port.
    pub(crate) fn serve(&self) -> Result<()> {
        let (for_clients, for_board) = (self.for_clients.try_clone()?, self.for_board.try_clone()?);
        thread::spawn(move || {
            let client = Client::default();
            let accepted = for_board
                .accept()
                .and_then(|(board, _)| Ok((board.try_clone()?, board)));
            let Ok((board, from_board)) = accepted else {
                return;
            };
            // A frame doesn't wait for the acknowledgement of the one before; without this it is
            // only slower.
            let _ = board.set_nodelay(true);
            let current = Arc::clone(&client);
            thread::spawn(move || {
                for connected in for_clients.incoming() {
                    if let (Ok(connected), Ok(board)) = (connected, board.try_clone()) {
                        connect(connected, board, &current);
                    }
                }
            });
            to_client(from_board, &client);
        });
        Ok(())
    }
}

fn lock(client: &Client) -> MutexGuard<'_, Option<TcpStream>> {
    client.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects a client to the board, or tells it that there is another.
fn connect(connected: TcpStream, board: TcpStream, client: &Client) {
    let mut current = lock(client);
    if current.is_some() {
        thread::spawn(move || refuse(connected));
        return;
    }
    let copy = connected
        .set_nodelay(true)
        .and_then(|()| connected.try_clone());
    *current = copy.ok();
    if current.is_some() {
        let client = Arc::clone(client);
        thread::spawn(move || {
            let _ = io::copy(&mut &connected, &mut &board);
            *lock(&client) = None;
        });
    }
}

/// Sends the refusal, and reads on until the client hangs up: a close before that could take the
/// refusal from it.
fn refuse(mut client: TcpStream) {
    let busy = Answer {
        session: 0,
        sequence: 0,
        body: AnswerBody::Refused(Refusal::Busy),
    };
    let sent = client.write_all(encode(&busy, &mut [0; MAX_SHORT_FRAME]));
    if sent.is_ok() && client.set_read_timeout(Some(REFUSAL_TIME)).is_ok() {
        let _ = client.shutdown(Shutdown::Write);
        let _ = io::copy(&mut client, &mut io::sink());
    }
}

/// Carries what the board sends to the client, which hears of the board's end. Without a client it
/// is lost, as on a wire.
fn to_client(mut board: TcpStream, client: &Client) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = board.read(&mut buffer) {
        // The lock is free while the client is slow.
        let current = lock(client).as_ref().map(TcpStream::try_clone);
        if let Some(Ok(mut current)) = current {
            let _ = current.write_all(&buffer[..n]);
        }
    }
    if let Some(current) = lock(client).take() {
        let _ = current.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a refused client reads.
    fn refusal() -> Vec<u8> {
        let busy = Answer {
            session: 0,
            sequence: 0,
            body: AnswerBody::Refused(Refusal::Busy),
        };
        encode(&busy, &mut [0; MAX_SHORT_FRAME]).to_vec()
    }

    #[test]
    fn a_second_client_is_refused_until_the_first_hangs_up() {
        let port = Port::open(0).unwrap();
        port.serve().unwrap();
        // A board that echoes what it receives.
        let board = TcpStream::connect(port.for_board.local_addr().unwrap()).unwrap();
        thread::spawn(move || io::copy(&mut &board, &mut &board));
        let connect = || TcpStream::connect(port.address().unwrap()).unwrap();
        let echoed = |client: &mut TcpStream| {
            client.write_all(b"ping").unwrap();
            let mut echo = [0; 4];
            client.read_exact(&mut echo).map(|()| echo)
        };
        let mut first = connect();
        assert_eq!(&echoed(&mut first).unwrap(), b"ping");
        let mut second = connect();
        let mut said = Vec::new();
        second.read_to_end(&mut said).unwrap();
        assert_eq!(said, refusal());
        assert_eq!(&echoed(&mut first).unwrap(), b"ping");
        drop(first);
        // The port notices the end of the first client in its own time.
        while echoed(&mut connect()).is_err() {}
    }

    #[test]
    fn a_port_that_another_program_has_is_an_error() {
        let port = Port::open(0).unwrap();
        let number = port.address().unwrap().port();
        let error = Port::open(number).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("port {number} can't be served")),
            "{error}"
        );
    }
}
