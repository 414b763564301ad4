//! The serial link between a program that runs the environment and a device that runs the policy.
//!
//! ```text
//!  host                                                                          device
//!  Request --> payload (postcard) --> + CRC-32C --> COBS --> 0 --> FrameDecoder --> Device
//!  Answer  <-- FrameDecoder <-- 0 <-- COBS <-- + CRC-32C <-- payload (postcard) <-- Device
//! ```
//!
//! Requests have sequence numbers; a repeated request is answered again but executed only once.
//! Damaged frames are dropped, counted and requested again. `docs/link.md` specifies every byte.

mod device;
pub(crate) mod frame;
mod message;
mod row;
#[cfg(test)]
mod tests;
mod varint;

pub use device::{Device, HOLD_AFTER_US, Identity, ModelStore, State, frame_memory_len};
pub use frame::{
    Damage, FrameCounts, FrameDecoder, MAX_SHORT_FRAME, encode, file_crc32c, max_frame_len,
    max_message_len,
};
pub use message::{
    Answer, AnswerBody, BOARD_LEN, Counts, Event, Offer, Refusal, Request, RequestBody, Restart,
    Source, VERSION,
};
pub use row::Row;
