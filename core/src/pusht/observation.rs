//! What the policy sees: richer observations derived from the five state values.

use crate::Error;
use crate::pusht::seeding::Generator;

/// Values of a state: agent x, agent y, block x, block y (px), block angle (rad).
pub const STATE_DIM: usize = 5;

/// Largest [`ObservationKind::dim`].
pub const MAX_OBSERVATION_DIM: usize = 20;

/// Which numbers describe the scene to a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ObservationKind {
    /// The five state values as they are.
    State,
    /// Nine keypoints on the block, then the agent: x, y each (diffusion_policy's low-dimensional PushT).
    Keypoints,
    /// gym-pusht's eight vertices of the T (`environment_state`), then the agent (`agent_pos`): x, y each.
    Vertices,
}

impl ObservationKind {
    /// Length of one observation.
    pub const fn dim(self) -> usize {
        match self {
            Self::State => STATE_DIM,
            Self::Keypoints => 20,
            Self::Vertices => 18,
        }
    }

    /// Where in an observation the agent's x is; its y follows.
    pub const fn agent_at(self) -> usize {
        match self {
            Self::State => 0,
            Self::Keypoints => 18,
            Self::Vertices => 16,
        }
    }
}

/// Derives the observation of `kind` from `state` into `out` (`kind.dim()` values, px and rad).
///
/// # Errors
/// [`Error::NonFiniteObservation`], [`Error::WrongLength`].
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

/// Values of a masked observation: those of [`ObservationKind::Keypoints`], and for each whether it is visible.
pub const MASKED_KEYPOINTS_DIM: usize = 40;

/// Keypoints that are visible by chance, as diffusion_policy's `PushTKeypointsEnv` has them: the values stay, and a
/// mask behind them says 0 for x and y of a keypoint that is not visible. The agent always is.
#[derive(Clone, Debug)]
pub struct MaskedKeypoints {
    visible_rate: f64,
    random: Generator,
}

impl MaskedKeypoints {
    /// With the probability `visible_rate` (upstream's `keypoint_visible_rate`, 1 by default) that a keypoint is
    /// visible, and the seed of `numpy.random.default_rng`, of which nine draws go into an observation.
    pub fn new(visible_rate: f64, seed: u64) -> Self {
        Self {
            visible_rate,
            random: Generator::new(seed),
        }
    }

    /// The observation of `state`.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`]; no draw is used then.
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

/// The vertices of the two boxes of the T in body coordinates, px, in the order in which pymunk keeps
/// them (Chipmunk's convex hull sorts them) and gym-pusht's `environment_state` therefore lists them.
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

/// The keypoints of the recorded demonstrations in body coordinates, fitted from them (spread at most 0.03 px).
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
        let mut keypoints = MaskedKeypoints::new(0.5, 7);
        let state = [1.0, 2.0, 100.0, 200.0, 0.0];
        let out = keypoints.observe(&state).unwrap();
        let mut plain = [0.0; 20];
        observe(ObservationKind::Keypoints, &state, &mut plain).unwrap();
        assert_eq!(out[..20], plain);
        for (keypoint, visible) in visible.into_iter().enumerate() {
            assert_eq!(out[20 + 2 * keypoint..][..2], [f64::from(visible); 2]);
        }
        assert_eq!(out[38..], [1.0; 2], "the agent is always visible");
        let all = MaskedKeypoints::new(1.0, 0).observe(&state).unwrap();
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
}
