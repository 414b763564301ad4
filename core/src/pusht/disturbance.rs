//! Disturbances of an episode: noise, latency, loss, shoves, other bodies, another goal.
//!
//! Every random number is a function of the episode's seed, the control tick and what it is for. So
//! an episode is reproducible, and two policies meet the same disturbances on the same seed. What
//! is not disturbed keeps its bits.

use super::env::{PushTEnv, PushTParams, Vec2, WINDOW_PX};
use super::episode::Action;
use super::geometry::{Pose, dot};
use super::math::sin_cos;
use super::observation::{BLOCK_VERTICES_PX, STATE_DIM};
use super::physics::WALL_ENDS_PX;
use crate::Error;
use crate::noise::{Noise, NoiseSource};
use core::f64::consts::{PI, TAU};

/// Longest latency, control ticks.
pub const MAX_LATENCY: usize = 8;
/// States or actions that may still arrive.
const IN_FLIGHT: usize = MAX_LATENCY + 1;
/// Largest margin of [`Goal::Anywhere`], px, for which there is room.
pub const MAX_GOAL_MARGIN_PX: f64 = 150.0;

/// An amount of position and angle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoseAmount {
    /// px.
    pub px: f64,
    /// rad.
    pub rad: f64,
}

/// Latency in control ticks: from `least` to `most`, drawn for each episode or each tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Least latency.
    pub least: usize,
    /// Largest latency, at most [`MAX_LATENCY`].
    pub most: usize,
    /// Whether it is drawn anew in each tick; otherwise once per episode. Of what has arrived, the
    /// newest counts.
    pub varies: bool,
}

/// Shoves of the block.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shoves {
    /// Length of a shove, in a random direction, and turn, to a random side.
    pub by: PoseAmount,
    /// Share of the ticks that begin with one.
    pub share: f64,
}

/// Where the goal is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Goal {
    /// In the middle, as in gym-pusht.
    #[default]
    Usual,
    /// At a position of the block's origin, px, with an angle, rad.
    At(f64, f64, f64),
    /// Drawn for each episode: anywhere that leaves a T at the goal this far from the walls, px.
    Anywhere(f64),
}

/// The disturbances. The default disturbs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Disturbances {
    /// Standard deviation of white noise on each value of an observation.
    pub observation_noise: PoseAmount,
    /// Constant error of the agent's position, of the block's position and of its angle; each in a
    /// direction drawn for the episode.
    pub observation_offset: PoseAmount,
    /// Latency of observations. The first one has none.
    pub observation_latency: Latency,
    /// Share of lost observations: the newest that arrived is seen again.
    pub observation_loss: f64,
    /// Latency of actions. The agent stays where it is until the first arrives.
    pub action_latency: Latency,
    /// Standard deviation of white noise on each coordinate of an executed action, px.
    pub action_noise_px: f64,
    /// Distance of the target from the agent up to which it does not move, px.
    pub dead_zone_px: f64,
    /// Shoves of the block.
    pub shoves: Shoves,
    /// Radius of the agent, px.
    pub agent_radius_px: Option<f64>,
    /// Speed limit of the agent, px/s.
    pub agent_speed_limit: Option<f64>,
    /// Centre of gravity and moment of inertia without gym-pusht's quirks
    /// ([`PushTParams::corrected`]).
    pub corrected_block: bool,
    /// Moment of inertia of the block (mass 1), px^2.
    pub block_inertia: Option<f64>,
    /// Distance of the block's centre of gravity from the top of the T, px.
    pub block_cog_px: Option<f64>,
    /// Share of its velocity that the block keeps per second.
    pub damping: Option<f64>,
    /// Size of the T and of its goal, as a factor.
    pub block_size: Option<f64>,
    /// Where the goal is.
    pub goal: Goal,
}

/// What random numbers are for; their values keep the streams apart.
#[derive(Clone, Copy)]
enum Stream {
    ObservationNoise = 1,
    ObservationOffset,
    ObservationLatency,
    ObservationLoss,
    ActionLatency,
    ActionNoise,
    Shove,
    Goal,
}

/// Random numbers of one tick.
struct Draws(NoiseSource);

impl Draws {
    fn new(seed: u64, stream: Stream, tick: usize) -> Self {
        // SplitMix64's output function (Steele, Lea and Flood 2014), of one input after the other.
        let mix = |value: u64| {
            let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            value ^ (value >> 31)
        };
        let key = mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15));
        let key = mix(key ^ ((tick as u64) << 8) ^ stream as u64);
        Self(NoiseSource::new(key))
    }

    /// Standard normal.
    fn gaussian(&mut self) -> f64 {
        self.0.next_gaussian().to_num()
    }

    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f64 {
        f64::from(self.0.next_word()) / 4_294_967_296.0
    }

    /// A unit vector.
    fn direction(&mut self) -> Vec2 {
        let (sin, cos) = sin_cos(TAU * self.uniform());
        Vec2::new(cos, sin)
    }

    /// 1 or -1.
    fn sign(&mut self) -> f64 {
        if self.uniform() < 0.5 { 1.0 } else { -1.0 }
    }
}

impl Latency {
    /// Ticks until what was sent in `tick` arrives.
    fn of(&self, seed: u64, stream: Stream, tick: usize) -> usize {
        let most = self.most.min(MAX_LATENCY);
        if most <= self.least {
            return most;
        }
        let tick = if self.varies { tick } else { 0 };
        let n = (most - self.least + 1) as f64;
        self.least + (n * Draws::new(seed, stream, tick).uniform()) as usize
    }

    fn is_none(&self) -> bool {
        self.most == 0
    }
}

impl Disturbances {
    /// Parameters of the environment of the episode `seed`.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] with the name of the first value that is out of its range.
    pub fn params(&self, seed: u64) -> Result<PushTParams, Error> {
        self.check()?;
        let mut params = match self.corrected_block {
            true => PushTParams::corrected(),
            false => PushTParams::default(),
        };
        if let Some(moment) = self.block_inertia {
            params.block_moment = moment;
        }
        if let Some(y) = self.block_cog_px {
            params.block_cog_px = Vec2::new(0.0, y);
        }
        if let Some(scale) = self.block_size {
            params = params.scaled(scale);
        }
        if let Some(radius) = self.agent_radius_px {
            params.agent_radius_px = radius;
        }
        if let Some(damping) = self.damping {
            params.damping = damping;
        }
        params.agent_speed_limit = self.agent_speed_limit;
        match self.goal {
            Goal::Usual => (),
            Goal::At(x, y, angle_rad) => {
                (params.goal_px, params.goal_angle_rad) = (Vec2::new(x, y), angle_rad);
            }
            Goal::Anywhere(margin) => {
                let scale = params.block_scale;
                (params.goal_px, params.goal_angle_rad) = draw_goal(seed, margin, scale);
            }
        }
        params.check()?;
        Ok(params)
    }

    /// Checks what [`PushTParams::check`] does not.
    fn check(&self) -> Result<(), Error> {
        let far = 0.0..=1e6;
        let share = 0.0..=1.0;
        let Self {
            observation_noise,
            observation_offset,
            shoves,
            ..
        } = self;
        let is_latency = |of: &Latency| of.least <= of.most && of.most <= MAX_LATENCY;
        for (what, is_good) in [
            ("observation_noise", observation_noise.is_in(&far)),
            ("observation_offset", observation_offset.is_in(&far)),
            ("observation_latency", is_latency(&self.observation_latency)),
            ("observation_loss", share.contains(&self.observation_loss)),
            ("action_latency", is_latency(&self.action_latency)),
            ("action_noise_px", far.contains(&self.action_noise_px)),
            ("dead_zone_px", far.contains(&self.dead_zone_px)),
            (
                "shoves",
                shoves.by.is_in(&far) && share.contains(&shoves.share),
            ),
            (
                "goal",
                !matches!(self.goal, Goal::Anywhere(margin) if !(0.0..=MAX_GOAL_MARGIN_PX).contains(&margin)),
            ),
        ] {
            if !is_good {
                return Err(Error::InvalidParameter { what });
            }
        }
        Ok(())
    }
}

impl PoseAmount {
    fn is_in(&self, range: &core::ops::RangeInclusive<f64>) -> bool {
        range.contains(&self.px) && range.contains(&self.rad)
    }

    fn is_none(&self) -> bool {
        self.px == 0.0 && self.rad == 0.0
    }
}

/// Distance of the point from the nearest wall's centre line, px; negative outside.
fn distance_from_walls(point: Vec2) -> f64 {
    let [[_, high], [_, low]] = WALL_ENDS_PX[0];
    let [x, y] = [point.x, point.y].map(|value| (value - low).min(high - value));
    x.min(y)
}

/// Draws a goal whose T is at least `margin` px from the walls.
fn draw_goal(seed: u64, margin: f64, scale: f64) -> (Vec2, f64) {
    // A draw is good once in ten even with the largest margin.
    const MOST_DRAWS: usize = 10_000;
    let mut draws = Draws::new(seed, Stream::Goal, 0);
    let mut goal = (super::env::GOAL_PX, super::env::GOAL_ANGLE_RAD);
    for _ in 0..MOST_DRAWS {
        let drawn = Vec2::new(draws.uniform(), draws.uniform()) * WINDOW_PX;
        let angle_rad = TAU * draws.uniform() - PI;
        let pose = Pose::new(drawn, angle_rad);
        let is_clear = BLOCK_VERTICES_PX.iter().all(|[x, y]| {
            let corner = pose.transform(Vec2::new(*x, *y) * scale);
            distance_from_walls(corner) >= margin
        });
        if is_clear {
            goal = (drawn, angle_rad);
            break;
        }
    }
    goal
}

/// The disturbances of one episode while it is played.
#[derive(Clone, Debug)]
pub(super) struct DisturbedWorld {
    disturbances: Disturbances,
    seed: u64,
    /// The last measured states and issued actions; those of a tick are at its remainder.
    states: [[f64; STATE_DIM]; IN_FLIGHT],
    actions: [Action; IN_FLIGHT],
    /// Tick of the newest state that arrived, and what was seen of it.
    seen: Option<(usize, [f64; STATE_DIM])>,
    /// Where the agent was at the start.
    hold: Action,
}

impl DisturbedWorld {
    pub(super) fn new(disturbances: &Disturbances, seed: u64) -> Self {
        Self {
            disturbances: *disturbances,
            seed,
            states: [[0.0; STATE_DIM]; IN_FLIGHT],
            actions: [[0.0; 2]; IN_FLIGHT],
            seen: None,
            hold: [0.0; 2],
        }
    }

    /// Changes the disturbances from the next tick on.
    pub(super) fn set(&mut self, disturbances: &Disturbances) {
        self.disturbances = *disturbances;
    }

    /// Shoves the block, measures the state, and returns the newest that arrived.
    pub(super) fn observe(
        &mut self,
        tick: usize,
        env: &mut PushTEnv,
    ) -> Result<[f64; STATE_DIM], Error> {
        self.shove(tick, env)?;
        let state = env.state();
        if tick == 0 {
            self.hold = [state[0], state[1]];
        }
        let measured = self.measure(tick, state);
        if let Some(place) = self.states.get_mut(tick % IN_FLIGHT) {
            *place = measured;
        }
        let Some((newest, seen)) = self.seen else {
            self.seen = Some((tick, measured));
            return Ok(measured);
        };
        let arrived = self.arrived(tick, newest);
        let seen = match arrived.and_then(|sent| Some((sent, self.states.get(sent % IN_FLIGHT)?))) {
            Some((sent, state)) => {
                self.seen = Some((sent, *state));
                *state
            }
            None => seen,
        };
        Ok(seen)
    }

    /// Tick of the newest state after `newest` that arrived until `tick`.
    fn arrived(&self, tick: usize, newest: usize) -> Option<usize> {
        let Disturbances {
            observation_latency: latency,
            observation_loss: loss,
            ..
        } = self.disturbances;
        let oldest = tick.saturating_sub(MAX_LATENCY).max(newest + 1);
        (oldest..=tick).rev().find(|sent| {
            let is_lost = loss > 0.0
                && Draws::new(self.seed, Stream::ObservationLoss, *sent).uniform() < loss;
            !is_lost && sent + latency.of(self.seed, Stream::ObservationLatency, *sent) <= tick
        })
    }

    /// The state with the measurement's errors.
    fn measure(&self, tick: usize, mut state: [f64; STATE_DIM]) -> [f64; STATE_DIM] {
        let noise = &self.disturbances.observation_noise;
        if !noise.is_none() {
            let mut draws = Draws::new(self.seed, Stream::ObservationNoise, tick);
            let amounts = [noise.px, noise.px, noise.px, noise.px, noise.rad];
            for (value, amount) in state.iter_mut().zip(amounts) {
                *value += amount * draws.gaussian();
            }
        }
        let offset = &self.disturbances.observation_offset;
        if !offset.is_none() {
            let mut draws = Draws::new(self.seed, Stream::ObservationOffset, 0);
            let (agent, block) = (draws.direction(), draws.direction());
            let errors = [agent.x, agent.y, block.x, block.y].map(|unit| unit * offset.px);
            for (value, error) in state.iter_mut().zip(errors) {
                *value += error;
            }
            state[4] += offset.rad * draws.sign();
        }
        state
    }

    fn shove(&self, tick: usize, env: &mut PushTEnv) -> Result<(), Error> {
        let Shoves { by, share } = self.disturbances.shoves;
        if share == 0.0 || tick == 0 {
            return Ok(());
        }
        let mut draws = Draws::new(self.seed, Stream::Shove, tick);
        if draws.uniform() >= share {
            return Ok(());
        }
        let direction = draws.direction();
        env.displace(Vec2::zeros(), direction * by.px, by.rad * draws.sign())
    }

    /// The action that the agent executes in `tick`, when `action` is issued.
    pub(super) fn act(&mut self, tick: usize, env: &PushTEnv, action: Action) -> Action {
        if let Some(place) = self.actions.get_mut(tick % IN_FLIGHT) {
            *place = action;
        }
        let mut action = self.arrived_action(tick, action);
        let noise_px = self.disturbances.action_noise_px;
        if noise_px > 0.0 {
            let mut draws = Draws::new(self.seed, Stream::ActionNoise, tick);
            action = action.map(|value| value + noise_px * draws.gaussian());
        }
        let dead_zone_px = self.disturbances.dead_zone_px;
        let agent = env.info().agent_pos_px;
        let way = Vec2::from(action) - agent;
        if dead_zone_px > 0.0 && dot(way, way) <= dead_zone_px * dead_zone_px {
            action = agent.into();
        }
        action
    }

    /// The newest action that arrived until `tick`.
    fn arrived_action(&self, tick: usize, issued: Action) -> Action {
        let latency = self.disturbances.action_latency;
        if latency.is_none() {
            return issued;
        }
        let arrived = (tick.saturating_sub(MAX_LATENCY)..=tick)
            .rev()
            .find(|sent| sent + latency.of(self.seed, Stream::ActionLatency, *sent) <= tick);
        let action = arrived.and_then(|sent| self.actions.get(sent % IN_FLIGHT));
        action.copied().unwrap_or(self.hold)
    }
}

#[cfg(test)]
#[path = "disturbance_tests.rs"]
mod tests;
