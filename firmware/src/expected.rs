//! The embedded models and the values that the host computes for them: `build.rs` writes the
//! digests when the firmware is built.

use crate::exit;
use pusht_core::control::pipeline::PipelineCounts;
use pusht_core::pusht::episode::EpisodeResult;
use pusht_core::pusht::observation::ObservationKind;

/// Embeds a model file in a section of its own, which the memory map of a board may place apart
/// from the code.
macro_rules! model {
    ($path:expr) => {
        pusht_core::include_model!($path, section = ".rodata.model")
    };
}

/// The integer policy that the firmware runs.
pub static MODEL: &[u8] = model!(concat!(env!("OUT_DIR"), "/model.ptm"));

/// What the host makes of the simulator and a policy of PushT.
#[derive(Clone, Copy, Debug)]
pub struct PushT {
    /// What the policy sees.
    pub kind: ObservationKind,
    /// [`pusht_core::pusht::selftest::closed_loop_digest`] of the self-test's steps.
    pub closed_loop_digest: u64,
    /// An episode that the policy wins, or why there is none.
    pub won: Result<Won, &'static str>,
    /// An episode that it wins with [`disturbances`](crate::disturbances), or why there is none.
    pub disturbed: Result<Won, &'static str>,
    /// The first one in real time, or why that is not possible.
    pub real_time: Result<RealTime, &'static str>,
}

/// An episode that the policy wins.
#[derive(Clone, Copy, Debug)]
pub struct Won {
    /// Start of the episode, by legacy seeding, and the policy's noise.
    pub seed: u64,
    /// The episode.
    pub episode: EpisodeResult,
}

/// The same episode in real time.
#[derive(Clone, Copy, Debug)]
pub struct RealTime {
    /// With every plan on time.
    pub on_time: (EpisodeResult, PipelineCounts),
    /// With late plans.
    pub late: (EpisodeResult, PipelineCounts),
}

/// What the host expects, or the end with the reason in the log.
pub fn or_exit<T>(expected: Result<T, &'static str>) -> T {
    expected.unwrap_or_else(|reason| {
        defmt::error!("{=str}", reason);
        exit::failure()
    })
}

include!(concat!(env!("OUT_DIR"), "/expected.rs"));
