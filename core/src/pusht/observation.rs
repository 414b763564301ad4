//! Observations of the policy, derived from the five values of the environment's state.

use crate::Error;
use crate::names;
use crate::pusht::seeding::Generator;

/// Length of a state: agent x, agent y, block x, block y (px), block angle (rad).
pub const STATE_DIM: usize = 5;

/// Largest [`ObservationKind::dim`].
pub const MAX_OBSERVATION_DIM: usize = 20;

/// Representation of the scene in a policy's observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ObservationKind {
    /// The five state values, unchanged.
    State,
    /// x, y of nine keypoints on the block and of the agent (diffusion_policy, low-dimensional).
    Keypoints,
    /// x, y of the T's vertices (gym-pusht's `environment_state`) and of the agent (`agent_pos`).
    Vertices,
}

names! {
    ObservationKind, "a kind of observation":
    State = "state",
    Keypoints = "keypoints",
    Vertices = "vertices",
}

impl ObservationKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::State, Self::Keypoints, Self::Vertices];

    /// Task name in the model file of a policy with these observations.
    pub const fn task(self) -> &'static str {
        match self {
            Self::State => "pusht/state",
            Self::Keypoints => "pusht/keypoints",
            Self::Vertices => "pusht/vertices",
        }
    }

    /// Kind of observation of a policy's task; `None` for tasks other than PushT.
    pub fn of_task(task: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.task() == task)
    }

    /// Length of one observation.
    pub const fn dim(self) -> usize {
        match self {
            Self::State => STATE_DIM,
            Self::Keypoints => 20,
            Self::Vertices => 18,
        }
    }

    /// Index of the agent's x in an observation; its y follows.
    pub const fn agent_at(self) -> usize {
        match self {
            Self::State => 0,
            Self::Keypoints => 18,
            Self::Vertices => 16,
        }
    }
}

/// Computes the observation of `kind` from `state` into `out` (`kind.dim()` values, px and rad).
///
/// # Errors
/// [`Error::NonFiniteObservation`] if `state` has a NaN or infinite value; [`Error::WrongLength`]
/// if `out` does not have `kind.dim()` values.
pub fn observe(
    kind: ObservationKind,
    state: &[f64; STATE_DIM],
    out: &mut [f64],
) -> Result<(), Error> {
    if out.len() != kind.dim() {
        return Err(Error::WrongLength {
            what: "observation",
            expected: kind.dim(),
            got: out.len(),
        });
    }
    if state.iter().any(|v| !v.is_finite()) {
        return Err(Error::NonFiniteObservation);
    }
    let [agent_x, agent_y, block_x, block_y, angle_rad] = *state;
    let local: &[[f64; 2]] = match kind {
        ObservationKind::State => {
            for (place, value) in out.iter_mut().zip(state) {
                *place = *value;
            }
            return Ok(());
        }
        ObservationKind::Keypoints => &BLOCK_KEYPOINTS_PX,
        ObservationKind::Vertices => &BLOCK_VERTICES_PX,
    };
    let (sin, cos) = (libm::sin(angle_rad), libm::cos(angle_rad));
    let in_world = |[x, y]: &[f64; 2]| [cos * x - sin * y + block_x, sin * x + cos * y + block_y];
    let points = local.iter().map(in_world).chain([[agent_x, agent_y]]);
    for (place, value) in out.iter_mut().zip(points.flatten()) {
        *place = value;
    }
    Ok(())
}

/// Length of a masked observation: [`ObservationKind::Keypoints`] and a mask of equal length.
pub const MASKED_KEYPOINTS_DIM: usize = 40;

/// Keypoints with random visibility, as in diffusion_policy's `PushTKeypointsEnv`: the mask after
/// the values is 0 for x and y of a hidden keypoint. The agent is always visible.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MaskedKeypoints {
    visible_rate: f64,
    random: Generator,
}

impl MaskedKeypoints {
    /// Creates the mask's `numpy.random.default_rng(seed)`, with nine draws per observation.
    /// `visible_rate` is a keypoint's probability (upstream's `keypoint_visible_rate`, default 1).
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] unless `visible_rate` is from 0 to 1.
    pub fn new(visible_rate: f64, seed: u64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&visible_rate) {
            let what = "keypoint_visible_rate";
            return Err(Error::InvalidParameter { what });
        }
        Ok(Self {
            visible_rate,
            random: Generator::new(seed),
        })
    }

    /// Computes the masked observation of `state`.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`] if a value is NaN or infinite; nothing is drawn then.
    pub fn observe(
        &mut self,
        state: &[f64; STATE_DIM],
    ) -> Result<[f64; MASKED_KEYPOINTS_DIM], Error> {
        let mut out = [1.0; MASKED_KEYPOINTS_DIM];
        let (values, mask) = out.split_at_mut(MASKED_KEYPOINTS_DIM / 2);
        observe(ObservationKind::Keypoints, state, values)?;
        for keypoint in mask.chunks_exact_mut(2).take(BLOCK_KEYPOINTS_PX.len()) {
            let is_visible = self.random.random() < self.visible_rate;
            keypoint.fill(f64::from(u8::from(is_visible)));
        }
        Ok(out)
    }
}

/// Vertices of the T's two boxes in body coordinates, px, in the order of gym-pusht's
/// `environment_state`: that of pymunk, whose engine Chipmunk sorts them into a convex hull.
pub const BLOCK_VERTICES_PX: [[f64; 2]; 8] = [
    [-60.0, 0.0],
    [60.0, 0.0],
    [60.0, 30.0],
    [-60.0, 30.0],
    [-15.0, 30.0],
    [15.0, 30.0],
    [15.0, 120.0],
    [-15.0, 120.0],
];

/// Keypoints in body coordinates, px, fitted to the demonstrations (deviation at most 0.03 px).
pub const BLOCK_KEYPOINTS_PX: [[f64; 2]; 9] = [
    [9.2695, 90.0411],
    [-60.9833, -1.1870],
    [60.9129, -1.3930],
    [-0.2705, 25.5437],
    [-14.0653, 122.8158],
    [39.0027, 32.8576],
    [-39.9664, 32.7295],
    [-16.8245, 62.8632],
    [23.5416, -1.7001],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_maps_x_to_y() {
        let mut out = [0.0; 18];
        let state = [1.0, 2.0, 100.0, 200.0, core::f64::consts::FRAC_PI_2];
        observe(ObservationKind::Vertices, &state, &mut out).unwrap();
        assert!((out[0] - 100.0).abs() < 1e-12 && (out[1] - 140.0).abs() < 1e-12);
        assert_eq!(out[16..], [1.0, 2.0]);
    }

    #[test]
    fn the_keypoint_mask_equals_numpys() {
        // numpy.random.default_rng(7).random(9) < 0.5
        let visible = [0, 0, 0, 1, 1, 0, 1, 0, 0];
        let mut keypoints = MaskedKeypoints::new(0.5, 7).unwrap();
        let state = [1.0, 2.0, 100.0, 200.0, 0.0];
        let out = keypoints.observe(&state).unwrap();
        let mut plain = [0.0; 20];
        observe(ObservationKind::Keypoints, &state, &mut plain).unwrap();
        assert_eq!(out[..20], plain);
        for (keypoint, visible) in visible.into_iter().enumerate() {
            assert_eq!(out[20 + 2 * keypoint..][..2], [f64::from(visible); 2]);
        }
        assert_eq!(out[38..], [1.0; 2], "the agent is always visible");
        let all = MaskedKeypoints::new(1.0, 0).unwrap();
        let all = all.clone().observe(&state).unwrap();
        assert_eq!(all[20..], [1.0; 20]);
    }

    #[test]
    fn bad_input_is_refused() {
        let state = [f64::NAN, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(
            observe(ObservationKind::State, &state, &mut [0.0; 5]),
            Err(Error::NonFiniteObservation)
        );
        assert!(observe(ObservationKind::State, &[0.0; 5], &mut [0.0; 4]).is_err());
    }

    #[test]
    fn a_rate_that_is_no_probability_is_refused() {
        let what = "keypoint_visible_rate";
        for rate in [f64::NAN, -0.1, 7.0, f64::INFINITY] {
            let made = MaskedKeypoints::new(rate, 0);
            assert_eq!(made.err(), Some(Error::InvalidParameter { what }));
        }
    }
}
