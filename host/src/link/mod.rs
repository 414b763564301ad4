//! The host's end of the serial link to a device that runs the policy: `docs/link.md`.
//!
//! ```text
//!  environment -- state --> Client -- frames --> Wire (serial port, TCP, noise around either) --> device
//!              <-- action --       <-- frames --
//! ```

mod client;
mod latency;
mod noise;
mod wire;

pub use client::{Client, ClientCounts, DeviceEvent, Hello, LinkError};
pub use latency::Latency;
pub use noise::{Faults, Noisy};
pub use wire::{Wire, open_serial, open_tcp};

use pusht_core::Error;
use pusht_core::control::receding_horizon::Action;
use pusht_core::pusht::env::PushTEnv;
use pusht_core::pusht::episode::{self, Controller, EpisodeResult};
use pusht_core::pusht::observation::STATE_DIM;

/// Times that an episode is begun anew because the device had forgotten it.
const MAX_RESTARTS: u32 = 5;

/// Plays an episode of `max_steps` at most with the policy on the device; `seed` names the policy's noise. `start` makes the
/// environment, once more if the device lost the episode and it has to begin anew.
///
/// # Errors
/// Those of the client, and of the environment.
pub fn play(
    client: &mut Client<impl Wire>,
    mut start: impl FnMut() -> Result<PushTEnv, Error>,
    seed: u64,
    max_steps: usize,
) -> Result<EpisodeResult, LinkError> {
    let mut restarts = 0;
    loop {
        let mut env = start().map_err(LinkError::Environment)?;
        let played = client
            .begin(seed)
            .and_then(|()| episode::drive(&mut env, client, max_steps, |_, _, _, _, _| ()));
        match played {
            Err(LinkError::Forgotten) if restarts < MAX_RESTARTS => {
                restarts += 1;
                client.counts.restarts += 1;
                client.hello()?;
            }
            played => return played,
        }
    }
}

impl<W: Wire> Controller for Client<W> {
    type Error = LinkError;

    fn act(&mut self, state: &[f64; STATE_DIM]) -> Result<Action, LinkError> {
        self.observe(state)
    }
}
