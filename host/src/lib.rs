//! PushT on the host, in the order of the data: demonstrations in, a trained and quantised policy out, scored.

pub mod cmd;
pub mod data;
pub mod float_engine;
pub mod policy_file;
pub mod quantize;
#[cfg(feature = "train")]
pub mod train;
