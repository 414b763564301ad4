//! An estimator of the scene for any policy: it runs the simulator beside the robot.
//!
//! ```text
//!  observation --> delay --> noise --> correct the model --> predict through the delay --> policy
//!                                           ^                         ^
//!                         model's step with the actions that were issued
//! ```
//! In each control tick:
//!
//! - **Delay**: an action reaches the agent, and its effect the observations, some ticks late. The
//!   agent's motion depends on its actions only, so each delay predicts where it is seen; the one
//!   that fits is the delay. Whether actions or observations are late makes no difference.
//! - **Noise**: a block without contact rests, so what its observations differ by is noise. Their
//!   median is the variance; a shove does not move it.
//! - **Correct**: the model of the scene, one step further, is corrected by the new observation with
//!   the gain of a Kalman filter of constant process noise. An observation far outside of what
//!   noise explains replaces it. A repeated observation is a lost one.
//! - **Touch**: contacts tell how large block and agent are (`touch.rs`).
//! - **Predict**: a copy of the model is stepped through the actions that are under way, so the
//!   policy sees the scene in which its action will take effect.
//!
//! Without noise and delay the policy gets the observation's own bits. State and cost: two copies of
//! the environment, and up to `1 + MAX_DELAY` control steps per tick.

use super::env::{PushTEnv, PushTParams, StartOrder, StartState, Vec2, agent_after_step};
use super::episode::Action;
use super::geometry::dot;
use super::observation::STATE_DIM;
use super::touch::{Nearest, Touch};
use crate::Error;
use core::f64::consts::{PI, TAU};

/// Longest delay that is recognised, control ticks: that of actions and that of observations
/// together.
pub const MAX_DELAY: usize = 6;
/// Candidate delays.
const N_DELAYS: usize = MAX_DELAY + 1;
/// Actions that may be under way.
const N_ACTIONS: usize = MAX_DELAY + 1;
/// Differences of observations of a resting block, of which the median counts.
const N_DIFFERENCES: usize = 9;

/// Differences from which on it is known that there is no noise.
const N_KNOWN: usize = 3;

/// Share of the evidence for a delay that lasts until the next tick.
const MEMORY: f64 = 0.9;
/// Squared distance, px^2, within which a prediction without noise is exact.
const EXACT_PX2: f64 = 1e-6;
/// Distance beyond contact, px, from which on a block counts as resting.
const CLEARANCE_PX: f64 = 20.0;
/// Ticks without contact after which it does.
const RESTING_TICKS: usize = 2;
/// Process noise per tick: of a block in contact (px^2, rad^2), a resting one, the agent (px^2).
const PUSHED: [f64; 2] = [0.6, 1e-4];
const RESTING: [f64; 2] = [1e-3, 1e-7];
const AGENT: f64 = 0.02;
/// Squared ratio of an innovation to its deviation, beyond which the observation replaces the model.
const GATE: f64 = 25.0;
/// Median of a squared Gaussian difference's mean over both coordinates, in terms of the variance of
/// one observation: 2 ln 2.
const MEDIAN_OF_DIFFERENCES: f64 = 2.0 * core::f64::consts::LN_2;
/// The same of one coordinate: 2 times the median of chi^2 with one degree of freedom.
const MEDIAN_OF_SQUARES: f64 = 2.0 * 0.454_936;

/// The estimator of one episode.
#[derive(Clone, Debug)]
pub struct Estimator {
    scene: Option<Scene>,
}

/// What is known after the first observation.
#[derive(Clone, Debug)]
struct Scene {
    /// The scene in the newest observation.
    model: PushTEnv,
    /// Variances of the model's block position (px^2), angle (rad^2) and agent position (px^2).
    variances: [f64; 3],
    last_seen: [f64; STATE_DIM],
    /// Actions issued, the newest first; before them the agent's start.
    actions: [Action; N_ACTIONS],
    /// The agent by each candidate delay.
    agents: [Candidate; N_DELAYS],
    delay: usize,
    differences: Differences,
    /// Ticks since the block was touched.
    resting_ticks: usize,
    /// Whether the last observation was new.
    was_new: bool,
    touch: Touch,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    pos: Vec2,
    vel: Vec2,
    /// Sum of the squared errors of its predictions, with [`MEMORY`], px^2.
    error: f64,
}

/// The last squared differences of observations of a resting block: position (px^2, the mean of both
/// coordinates) and angle (rad^2).
#[derive(Clone, Debug, Default)]
struct Differences {
    values: [[f64; 2]; N_DIFFERENCES],
    n: usize,
}

impl Differences {
    fn add(&mut self, value: [f64; 2]) {
        if let Some(place) = self.values.get_mut(self.n % N_DIFFERENCES) {
            *place = value;
            self.n += 1;
        }
    }

    /// Variance of the noise of a coordinate (px^2) and of the angle (rad^2).
    fn variances(&self) -> [f64; 2] {
        let n = self.n.min(N_DIFFERENCES);
        let scales = [MEDIAN_OF_DIFFERENCES, MEDIAN_OF_SQUARES];
        [0, 1].map(|which| {
            let mut sorted = self.values.map(|value| value[which]);
            let sorted = sorted.get_mut(..n).unwrap_or_default();
            sorted.sort_unstable_by(f64::total_cmp);
            let median = sorted.get(n.saturating_sub(1) / 2);
            median.map_or(0.0, |median| median / scales[which])
        })
    }
}

impl Default for Estimator {
    fn default() -> Self {
        Self::new()
    }
}

impl Estimator {
    /// The estimator of an episode that begins.
    pub fn new() -> Self {
        Self { scene: None }
    }

    /// Takes a tick's observation and returns the state for the policy.
    ///
    /// # Errors
    /// [`Error::NonFiniteState`] or [`Error::OutOfRange`] if there is no such scene.
    pub fn estimate(&mut self, seen: &[f64; STATE_DIM]) -> Result<[f64; STATE_DIM], Error> {
        match &mut self.scene {
            Some(scene) => scene.estimate(seen),
            None => {
                self.scene = Some(Scene::new(seen)?);
                Ok(*seen)
            }
        }
    }

    /// The target that the policy's action means; it is issued in this tick.
    pub fn act(&mut self, action: Action) -> Action {
        let Some(scene) = &mut self.scene else {
            return action;
        };
        let action = scene.touch.target(action);
        scene.actions.rotate_right(1);
        scene.actions[0] = action;
        action
    }

    /// The delay that is assumed, control ticks.
    pub fn delay(&self) -> usize {
        self.scene.as_ref().map_or(0, |scene| scene.delay)
    }
}

impl Scene {
    fn new(seen: &[f64; STATE_DIM]) -> Result<Self, Error> {
        let params = PushTParams::default();
        let start = StartState::from_state(seen);
        let agent = Candidate {
            pos: start.agent_px,
            vel: Vec2::zeros(),
            error: 0.0,
        };
        Ok(Self {
            model: PushTEnv::new(params, start, StartOrder::AngleFirst)?,
            variances: [f64::INFINITY; 3],
            last_seen: *seen,
            actions: [start.agent_px.into(); N_ACTIONS],
            agents: [agent; N_DELAYS],
            delay: 0,
            differences: Differences::default(),
            resting_ticks: RESTING_TICKS,
            was_new: true,
            touch: Touch::default(),
        })
    }

    fn estimate(&mut self, seen: &[f64; STATE_DIM]) -> Result<[f64; STATE_DIM], Error> {
        let is_new = *seen != self.last_seen;
        self.step()?;
        if is_new {
            self.measure_noise(seen);
        }
        let [noise_px2, noise_rad2] = self.differences.variances();
        if is_new {
            self.measure_delay(seen, noise_px2);
            self.correct(seen, noise_px2, noise_rad2)?;
        }
        let is_clean = noise_px2 == 0.0 && noise_rad2 == 0.0;
        if is_new && self.was_new && is_clean && self.differences.n >= N_KNOWN {
            self.touch.learn(&self.last_seen, seen);
        }
        (self.last_seen, self.was_new) = (*seen, is_new);
        if is_clean && self.delay == 0 && (is_new || self.is_at(seen)) {
            return Ok(self.touch.shown(*seen));
        }
        let mut predicted = self.model;
        let under_way = self.actions.get(..self.delay).unwrap_or_default();
        for action in under_way.iter().rev() {
            predicted.step(*action)?;
        }
        Ok(self.touch.shown(predicted.state()))
    }

    /// Steps the model and the candidates by the actions of the last tick.
    fn step(&mut self) -> Result<(), Error> {
        for (candidate, action) in self.agents.iter_mut().zip(&self.actions) {
            let goal = Vec2::from(*action);
            (candidate.pos, candidate.vel) = agent_after_step(goal, candidate.pos, candidate.vel);
        }
        let action = self.actions.get(self.delay).copied().unwrap_or_default();
        self.model.step(action)?;
        let is_touched = Nearest::of(&self.model.state()).gap_px < CLEARANCE_PX;
        self.resting_ticks = if is_touched {
            0
        } else {
            self.resting_ticks + 1
        };
        Ok(())
    }

    fn is_at(&self, seen: &[f64; STATE_DIM]) -> bool {
        let state = self.model.state();
        let apart = state.iter().zip(seen).map(|(a, b)| (a - b) * (a - b));
        apart.sum::<f64>() < EXACT_PX2
    }

    fn measure_noise(&mut self, seen: &[f64; STATE_DIM]) {
        if self.resting_ticks < RESTING_TICKS {
            return;
        }
        let [_, _, x, y, angle_rad] = *seen;
        let [_, _, last_x, last_y, last_angle_rad] = self.last_seen;
        let apart = squared(Vec2::new(x - last_x, y - last_y)) / 2.0;
        let turn = shortest_turn(angle_rad - last_angle_rad);
        self.differences.add([apart, turn * turn]);
    }

    /// Compares each delay's prediction with where the agent is seen.
    fn measure_delay(&mut self, seen: &[f64; STATE_DIM], noise_px2: f64) {
        let agent = Vec2::new(seen[0], seen[1]);
        let mut best = self.delay;
        let mut exact = None;
        for (delay, candidate) in self.agents.iter_mut().enumerate() {
            let error = squared(candidate.pos - agent);
            candidate.error = MEMORY * candidate.error + error;
            if error < EXACT_PX2 && (exact.is_none() || delay == self.delay) {
                exact = Some(delay);
            }
        }
        let error_of = |delay: usize| self.agents.get(delay).map_or(f64::INFINITY, |of| of.error);
        for delay in 0..N_DELAYS {
            if error_of(delay) < error_of(best) {
                best = delay;
            }
        }
        let is_clearly_better = error_of(best) < 0.5 * error_of(self.delay);
        let chosen = match exact {
            Some(delay) if noise_px2 == 0.0 => delay,
            _ if is_clearly_better => best,
            _ => self.delay,
        };
        if chosen != self.delay {
            self.delay = chosen;
            if let Some(candidate) = self.agents.get(chosen) {
                self.model.set_agent(candidate.pos, candidate.vel);
            }
            // The block was stepped by other actions: trust the observation again.
            self.variances = [f64::INFINITY; 3];
        }
    }

    fn correct(
        &mut self,
        seen: &[f64; STATE_DIM],
        noise_px2: f64,
        noise_rad2: f64,
    ) -> Result<(), Error> {
        let state = self.model.state();
        let is_pushed = self.resting_ticks == 0;
        let [block_px2, block_rad2] = if is_pushed { PUSHED } else { RESTING };
        let agent = Vec2::new(seen[0] - state[0], seen[1] - state[1]);
        let block = Vec2::new(seen[2] - state[2], seen[3] - state[3]);
        let turn = shortest_turn(seen[4] - state[4]);
        let [of_block, of_turn, of_agent] = &mut self.variances;
        let block = block * gain(of_block, block_px2, noise_px2, squared(block) / 2.0);
        let turn = turn * gain(of_turn, block_rad2, noise_rad2, turn * turn);
        let agent = agent * gain(of_agent, AGENT, noise_px2, squared(agent) / 2.0);
        self.model.displace(agent, block, turn)
    }
}

/// Gain of a Kalman filter's correction. Updates the `variance` of the estimate, to which a tick adds
/// `process`; `noise` is the measurement's, `squared` the square of this innovation.
fn gain(variance: &mut f64, process: f64, noise: f64, squared: f64) -> f64 {
    let before = *variance + process;
    let is_far = squared > GATE * (before + noise);
    if noise == 0.0 || is_far || !before.is_finite() {
        *variance = noise;
        return 1.0;
    }
    let gain = before / (before + noise);
    *variance = gain * noise;
    gain
}

fn squared(v: Vec2) -> f64 {
    dot(v, v)
}

/// The turn of the same direction from -pi to pi.
fn shortest_turn(turn_rad: f64) -> f64 {
    let turn_rad = turn_rad % TAU;
    if turn_rad > PI {
        turn_rad - TAU
    } else if turn_rad < -PI {
        turn_rad + TAU
    } else {
        turn_rad
    }
}

#[cfg(test)]
#[path = "estimator_tests.rs"]
mod tests;
