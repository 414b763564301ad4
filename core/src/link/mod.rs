//! The serial link between a program that runs the environment and a device that runs the policy.
//!
//! ```text
//!  host:   Request --> payload (postcard) --> + CRC-32C --> COBS --> 0 --> wire --> FrameDecoder --> Device --+
//!                                                                                                             |
//!  host:   Answer  <-- FrameDecoder <-- wire <-- 0 <-- COBS <-- + CRC-32C <-- payload (postcard) <------------+
//! ```
//!
//! The host asks, the device answers; a request has a number, and one that comes twice is answered twice but done once. Whatever
//! is damaged on the way is dropped, counted, and asked for again. `docs/link.md` specifies every byte.

mod device;
mod frame;
mod message;
mod row;
#[cfg(test)]
mod tests;
mod varint;

pub use device::{Device, HOLD_AFTER_US, Identity, State, frame_memory_len};
pub use frame::{
    Damage, FrameCounts, FrameDecoder, MAX_SHORT_FRAME, encode, max_frame_len, max_message_len,
};
pub use message::{
    Answer, AnswerBody, BOARD_LEN, Counts, Event, Refusal, Request, RequestBody, Restart, VERSION,
};
pub use row::Row;
