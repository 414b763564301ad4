//! The state of a game between two control ticks.

use crate::denoising::PlanInputs;
use pusht_core::pusht::border::Disturbed;
use pusht_core::pusht::episode::{Action, Episode};
use pusht_core::pusht::observation::STATE_DIM;
use pusht_core::pusht::rollout::Horizon;
use std::rc::Rc;

/// Who chose an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    Person,
    Policy,
    Device,
}

/// Everything that the next tick depends on.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) episode: Episode,
    /// Window and queue of the policy, and the number of the policy that they are of.
    pub(crate) horizon: Option<(u32, Horizon)>,
    /// What is seen of the scene.
    pub(crate) observed: [f64; STATE_DIM],
    /// What lies between the scene and the policy.
    pub(crate) border: Disturbed,
    /// Last action, and who chose it; none at the start.
    pub(crate) last: Option<(Driver, Action)>,
    /// What the last plan was computed from.
    pub(crate) plan: Option<Rc<PlanInputs>>,
    /// Whether a disturbance or a hand has taken part.
    pub(crate) is_disturbed: bool,
    /// Whether the block was shoved since the last tick.
    pub(crate) is_shoved: bool,
}
