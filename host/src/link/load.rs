//! Sends a model file to a device, which keeps it and runs it from its next start on.

use super::client::{Client, Hello, LinkError};
use super::wire::Wire;
use pusht_core::link::{Offer, file_crc32c};
use pusht_core::quant::Model;

/// Most restarts of the device during an upload.
const MAX_RESTARTS: u32 = 5;

/// Sends the file in `bytes`, whose policy is `model`. The device restarts with it, and its hello is
/// returned. An upload that a restart interrupts goes on where the device kept it. `on_progress` gets
/// the bytes that are there.
///
/// # Errors
/// [`LinkError::Refused`] if the device can't run or store it, [`LinkError::NotLoaded`] if it runs
/// another one after its restart, and those of a request.
pub fn load(
    client: &mut Client<impl Wire>,
    model: &Model<'_>,
    bytes: &[u8],
    mut on_progress: impl FnMut(usize),
) -> Result<Hello, LinkError> {
    let crc32c = file_crc32c(bytes);
    let offer = Offer::of(model, bytes.len(), crc32c);
    for _ in 0..=MAX_RESTARTS {
        let hello = match send(client, &offer, bytes, &mut on_progress) {
            // The commit may have been done, and only its answer lost.
            Ok(()) | Err(LinkError::Forgotten) => client.hello()?,
            Err(error) => return Err(error),
        };
        if hello.model_crc32c == crc32c {
            return Ok(hello);
        }
    }
    Err(LinkError::NotLoaded)
}

fn send(
    client: &mut Client<impl Wire>,
    offer: &Offer,
    bytes: &[u8],
    on_progress: &mut impl FnMut(usize),
) -> Result<(), LinkError> {
    let (mut at, piece_len) = client.offer(*offer)?;
    on_progress(at);
    // Each piece takes the device further, or the answers are wrong.
    for piece in bytes.get(at..).unwrap_or_default().chunks(piece_len.max(1)) {
        let there = client.piece(at, piece)?;
        if there != at + piece.len() {
            return Err(LinkError::Unexpected("a piece of the file"));
        }
        at = there;
        on_progress(at);
    }
    client.commit()
}
