//! The embedded models and the values that the host computes for them: `build.rs` writes the
//! digests when the firmware is built.

use pusht_core::control::pipeline::PipelineCounts;
use pusht_core::pusht::episode::EpisodeResult;
use pusht_core::pusht::observation::ObservationKind;

/// Aligns the file to words, since the kernel of the Cortex-M0 loads words.
#[repr(align(4))]
struct Aligned<T>(T);

/// Embeds a model file in a section of its own, which the memory map of a board may place apart
/// from the code.
macro_rules! model {
    ($path:expr) => {{
        const FILE: &[u8] = include_bytes!($path);
        // SAFETY: only the section's name is set; it holds constant data.
        #[allow(unsafe_code)]
        #[unsafe(link_section = ".rodata.model")]
        static ALIGNED: Aligned<[u8; FILE.len()]> = Aligned(*include_bytes!($path));
        &ALIGNED.0
    }};
}

/// The integer policy that the firmware runs.
pub static MODEL: &[u8] = model!(concat!(env!("OUT_DIR"), "/model.ptm"));

/// Both shipped policies, with their names in the log.
pub static MODELS: [(&str, &[u8]); 2] = [
    ("best", model!("../../models/pusht.ptm")),
    ("small", model!("../../models/pusht-small.ptm")),
];

/// What the host makes of the simulator and a policy of PushT.
#[derive(Clone, Copy, Debug)]
pub struct PushT {
    /// What the policy sees.
    pub kind: ObservationKind,
    /// [`pusht_core::pusht::selftest::closed_loop_digest`] of the self-test's steps.
    pub closed_loop_digest: u64,
    /// Start of the episode, by legacy seeding, and the policy's noise.
    pub episode_seed: u64,
    /// The episode.
    pub episode: EpisodeResult,
    /// The episode in real time.
    pub on_time: (EpisodeResult, PipelineCounts),
    /// The episode with late plans.
    pub late: (EpisodeResult, PipelineCounts),
}

/// [`PUSHT`], or the end with a line in the log.
pub fn pusht() -> PushT {
    match PUSHT {
        Some(pusht) => pusht,
        None => defmt::panic!("the model is for another task than PushT"),
    }
}

include!(concat!(env!("OUT_DIR"), "/expected.rs"));
