//! The host's end of the serial link to a device that runs the policy; see `docs/link.md`.
//!
//! ```text
//!  environment -- observation --> Client -- frames --> Wire (serial port, TCP, noise) --> device
//!              <-- action --       <-- frames --
//! ```

mod bridge;
mod client;
mod latency;
mod load;
mod noise;
mod wire;

pub use bridge::Bridge;
pub use client::{Client, ClientCounts, DEFAULT_TIMEOUT, DeviceEvent, Hello, LinkError, ValueName};
pub use latency::Latency;
pub use load::load;
pub use noise::{Faults, Noisy};
pub use wire::{Wire, open_serial, open_tcp};

use pusht_core::Error;
use pusht_core::pusht::env::PushTEnv;
use pusht_core::pusht::episode::{Episode, EpisodeResult};
use pusht_core::pusht::observation::{ObservationKind, observe};

/// Largest number of restarts of an episode that the device has lost.
const MAX_RESTARTS: u32 = 5;

/// Plays an episode of PushT with the policy on the device, for at most `max_steps` control steps.
/// The policy's observations are of `kind`; `seed` is the seed of its noise. `start` creates the
/// environment, again for each restart after the device has lost the episode.
///
/// # Errors
/// [`LinkError`] if a request or the environment fails, or after too many restarts.
pub fn play(
    client: &mut Client<impl Wire>,
    kind: ObservationKind,
    mut start: impl FnMut() -> Result<PushTEnv, Error>,
    seed: u64,
    max_steps: usize,
) -> Result<EpisodeResult, LinkError> {
    let mut restarts = 0;
    loop {
        let episode = Episode::new(start()?, max_steps);
        match play_once(client, kind, episode, seed) {
            Err(LinkError::Forgotten) if restarts < MAX_RESTARTS => {
                restarts += 1;
                client.counts.restarts += 1;
                client.hello()?;
            }
            played => return played,
        }
    }
}

fn play_once(
    client: &mut Client<impl Wire>,
    kind: ObservationKind,
    mut episode: Episode,
    seed: u64,
) -> Result<EpisodeResult, LinkError> {
    client.begin(seed)?;
    let mut observation = vec![0.0; kind.dim()];
    while !episode.is_over() {
        observe(kind, &episode.env().state(), &mut observation)?;
        let action = client.observe(&observation)?;
        let action = action.try_into();
        episode.step(action.map_err(|_| LinkError::Unexpected("an observation"))?)?;
    }
    Ok(episode.result())
}
