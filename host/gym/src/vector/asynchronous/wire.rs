//! Messages as bytes, each after its length; and passing an open file to another process.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// A message after its length, in native byte order, since both ends run on this machine.
pub(super) fn frame(message: &impl Serialize) -> Vec<u8> {
    let length = size_of::<u32>();
    let mut frame = postcard::to_extend(message, vec![0; length])
        .unwrap_or_else(|error| panic!("a message that can't be written: {error}"));
    let len = u32::try_from(frame.len() - length).expect("a message of 4 GiB");
    frame[..length].copy_from_slice(&len.to_ne_bytes());
    frame
}

/// A buffer of received bytes.
#[derive(Default)]
pub(super) struct Inbox(Vec<u8>);

impl Inbox {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next message, if it is complete.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Option<Result<T, String>> {
        let (len, rest) = self.0.split_first_chunk()?;
        let len = u32::from_ne_bytes(*len) as usize;
        let message = postcard::from_bytes(rest.get(..len)?);
        self.0.drain(..size_of::<u32>() + len);
        Some(message.map_err(|error| format!("an unreadable reply: {error}")))
    }
}

/// Waits for a message.
pub(super) fn read<T: DeserializeOwned>(mut socket: &UnixStream) -> io::Result<T> {
    let mut len = [0; size_of::<u32>()];
    socket.read_exact(&mut len)?;
    let mut message = vec![0; u32::from_ne_bytes(len) as usize];
    socket.read_exact(&mut message)?;
    postcard::from_bytes(&message).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// Sends an open file (`SCM_RIGHTS`) and a number.
pub(super) fn send_file(socket: &UnixStream, file: &File, number: usize) -> io::Result<()> {
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&files));
    let number = (number as u64).to_ne_bytes();
    let sent = sendmsg(
        socket,
        &[IoSlice::new(&number)],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    if sent != number.len() {
        return Err(ErrorKind::WriteZero.into());
    }
    Ok(())
}

/// Receives the file and the number that [`send_file`] sends.
pub(super) fn receive_file(socket: &UnixStream) -> io::Result<(File, usize)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut number = [0; size_of::<u64>()];
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut number)],
        &mut ancillary,
        RecvFlags::empty(),
    )?;
    if received.bytes != number.len() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let file = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let file = file.ok_or(ErrorKind::InvalidData)?;
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::CLOEXEC)?;
    Ok((File::from(file), u64::from_ne_bytes(number) as usize))
}
