//! PushT on the host: demonstrations in, a trained and quantised policy out, scored.
//!
//! In the order of the data: [`expert`] plays, [`collect`] records it; [`data`] reads demonstrations with the feature `demonstrations`; the feature `train` makes a float policy of them, which
//! [`policy_file`] stores; [`engine`] runs it, in float or in integers; [`evaluate`] scores it; [`render`] shows it.
//! Environments and vector environments, as in Gymnasium, are the package [`pusht_gym`]. [`cmd`] has a module a command.

pub mod cmd;
pub mod collect;
pub mod console;
pub mod data;
pub mod engine;
pub mod evaluate;
pub mod expert;
pub mod float_engine;
pub mod import;
pub mod link;
pub mod policy_file;
pub mod quantize;
pub mod render;
pub mod shipped;
#[cfg(feature = "train")]
pub mod train;
