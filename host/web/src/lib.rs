//! PushT and its policy for the browser page, as a WebAssembly module.
//!
//! ```text
//!  main.js -- begin_tick, physics_step --> Game: Episode, Horizon <- Policy (a model file)
//!          <-- scene, plan, digests ----     |
//!          -- bytes from the board --> Link  +-- Snapshot per tick: back in time, recording
//! ```
//!
//! - [`Game`]: an episode that a person, a policy or a device plays, with its past.
//! - [`Policy`]: a model file, and how much of its plans is used.
//! - [`Link`]: the page's end of the serial link (`docs/link.md`), without the wire.
//! - [`Recording`]: what a person played, as the file that `pusht replay` and `pusht train` read.
// The attribute macro of `wasm-bindgen` writes `unsafe` code; there is none here.
#![allow(unsafe_code)]

mod denoising;
mod game;
mod link;
#[path = "../../src/model_file.rs"]
mod model_file;
mod policy;
mod recording;
mod snapshot;
mod zip;

pub use game::Game;
pub use link::{Heard, Link};
pub use policy::Policy;
pub use recording::Recording;
