//! An episode that a person, the policy or a device plays, with its past.

use crate::denoising::{PlanInputs, denoising};
use crate::policy::Policy;
use crate::snapshot::{Driver, Snapshot};
use pusht_core::Error;
use pusht_core::pusht::border::{Border, Disturbed};
use pusht_core::pusht::disturbance::{Disturbances, Latency, PoseAmount};
use pusht_core::pusht::env::{
    PushTEnv, PushTParams, Seeding, StartOrder, StartState, Vec2, WINDOW_PX,
};
use pusht_core::pusht::episode::{Action, Episode, MAX_EPISODE_STEPS};
use pusht_core::pusht::observation::{
    BLOCK_VERTICES_PX, MAX_OBSERVATION_DIM, ObservationKind, STATE_DIM, observe,
};
use pusht_core::pusht::physics::AGENT_RADIUS_PX;
use pusht_core::pusht::rollout::Horizon;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// Px of noise on a position that go with one radian of noise on the block's angle, as in the
/// standard set of disturbances.
const PX_PER_RAD: f64 = 100.0;
/// Longest episode that a person plays, control ticks: five minutes.
const MAX_TICKS: usize = 3000;

/// An episode with its past, and the policy that can take it over at any tick.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Game {
    seed: u64,
    policy: Policy,
    /// Number of the policy and of its settings: queues of an earlier one are not executed.
    version: u32,
    disturbances: Disturbances,
    has_estimator: bool,
    /// The state after each tick, from the start on.
    past: Vec<Snapshot>,
    /// Index in `past` of the state that is shown.
    at: usize,
    /// The control step in progress, begun at `at`.
    present: Option<Snapshot>,
}

#[wasm_bindgen]
impl Game {
    /// A game at the start of `seed`; `seeding` is `legacy` or `pcg64`.
    ///
    /// # Errors
    /// If the seed is too large for its seeding.
    #[wasm_bindgen(constructor)]
    pub fn new(policy: Policy, seed: f64, seeding: &str) -> Result<Game, String> {
        let disturbances = Disturbances::default();
        Ok(Self {
            seed: whole(seed)?,
            policy,
            version: 0,
            disturbances,
            has_estimator: false,
            past: vec![start(seed, seeding, (&disturbances, false))?],
            at: 0,
            present: None,
        })
    }

    /// Starts the episode of `seed`.
    ///
    /// # Errors
    /// As [`Game::new`]; nothing changes then.
    pub fn reset(&mut self, seed: f64, seeding: &str) -> Result<(), String> {
        let between = (&self.disturbances, self.has_estimator);
        self.past = vec![start(seed, seeding, between)?];
        (self.seed, self.at, self.present) = (whole(seed)?, 0, None);
        Ok(())
    }

    /// Replaces the policy: its next plan counts from the next tick on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        self.version += 1;
    }

    /// Ends plans after `passes` passes, and executes `actions` of each.
    ///
    /// # Errors
    /// If the policy has fewer of either.
    pub fn set_plans(&mut self, passes: usize, actions: usize) -> Result<(), String> {
        self.policy.set(passes, actions)?;
        self.version += 1;
        Ok(())
    }

    /// Disturbs what is observed from the next tick on: noise (px), delay (ticks), share lost.
    ///
    /// # Errors
    /// If one is out of range; nothing changes then.
    pub fn set_disturbances(
        &mut self,
        noise_px: f64,
        delay_ticks: usize,
        lost_share: f64,
    ) -> Result<(), String> {
        let disturbances = Disturbances {
            observation_noise: PoseAmount {
                px: noise_px,
                rad: noise_px / PX_PER_RAD,
            },
            observation_latency: Latency {
                least: delay_ticks,
                most: delay_ticks,
                varies: false,
            },
            observation_loss: lost_share,
            ..Disturbances::default()
        };
        disturbances.params(self.seed).map_err(text)?;
        self.disturbances = disturbances;
        Ok(())
    }

    /// Puts an estimator before the policy, or none, from the next tick on.
    pub fn set_estimator(&mut self, has_estimator: bool) {
        self.has_estimator = has_estimator;
    }

    /// Begins a control tick with the person's target position, px, rounded to single precision as
    /// recordings have it.
    ///
    /// # Errors
    /// If it is not finite.
    pub fn begin_person(&mut self, x: f64, y: f64) -> Result<(), String> {
        let action = [x, y].map(|value| f64::from(value as f32));
        let present = self.past[self.at].clone();
        self.begin(present, Driver::Person, action).map_err(text)
    }

    /// Begins a control tick with the action of a device.
    ///
    /// # Errors
    /// If it is not finite.
    pub fn begin_device(&mut self, x: f64, y: f64) -> Result<(), String> {
        let present = self.past[self.at].clone();
        self.begin(present, Driver::Device, [x, y]).map_err(text)
    }

    /// Begins a control tick with the policy's next action; returns whether it planned.
    ///
    /// # Errors
    /// If the policy refuses what it observes.
    pub fn begin_policy(&mut self) -> Result<bool, String> {
        let planned = self.plan_if_needed().map_err(text)?;
        let mut present = self.past[self.at].clone();
        let [agent_x, agent_y, ..] = present.episode.env().state();
        let hold = [agent_x, agent_y];
        let action = match &mut present.horizon {
            Some((_, horizon)) => horizon.next_action(&hold).first_chunk().copied(),
            None => None,
        };
        let action = action.unwrap_or(hold);
        self.begin(present, Driver::Policy, action).map_err(text)?;
        Ok(planned)
    }

    /// Plans now, so that the plan is seen before the first action.
    ///
    /// # Errors
    /// If the policy refuses what it observes.
    pub fn preview(&mut self) -> Result<(), String> {
        self.plan_if_needed().map(drop).map_err(text)
    }

    /// Takes a physics step of the control tick; returns whether the tick is complete.
    ///
    /// # Errors
    /// If the motion overflows.
    pub fn physics_step(&mut self) -> Result<bool, String> {
        let Some(present) = &mut self.present else {
            return Ok(true);
        };
        if present.episode.physics_step().map_err(text)?.is_none() {
            return Ok(false);
        }
        let Some(mut done) = self.present.take() else {
            return Ok(true);
        };
        done.border.set(&self.disturbances, self.has_estimator);
        let observed = done.border.observe(self.at + 1, done.episode.env_mut());
        done.observed = observed.map_err(text)?;
        done.is_disturbed |= self.disturbances != Disturbances::default();
        if let Some((version, horizon)) = &mut done.horizon
            && *version == self.version
        {
            observe_into(horizon, self.policy.kind(), &done.observed).map_err(text)?;
        }
        self.past.push(done);
        self.at += 1;
        Ok(true)
    }

    /// Moves the block by hand, px.
    ///
    /// # Errors
    /// If it would be far out.
    pub fn shove(&mut self, x: f64, y: f64) -> Result<(), String> {
        let now = match &mut self.present {
            Some(present) => present,
            None => {
                self.past.truncate(self.at + 1);
                &mut self.past[self.at]
            }
        };
        let env = now.episode.env_mut();
        env.displace(Vec2::zeros(), Vec2::new(x, y), 0.0)
            .map_err(text)?;
        (now.is_disturbed, now.is_shoved) = (true, true);
        Ok(())
    }

    /// Shows the state after tick `at` again; the next tick goes on from there.
    pub fn seek(&mut self, at: usize) {
        self.present = None;
        self.at = at.min(self.past.len() - 1);
    }

    /// Index of the tick that is shown.
    #[wasm_bindgen(getter)]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Index of the last tick.
    #[wasm_bindgen(getter)]
    pub fn last(&self) -> usize {
        self.past.len() - 1
    }

    /// Whether a control tick is in progress.
    #[wasm_bindgen(getter)]
    pub fn is_in_tick(&self) -> bool {
        self.present.is_some()
    }

    /// Whether the goal is reached, or the longest episode over.
    #[wasm_bindgen(getter)]
    pub fn is_over(&self) -> bool {
        self.past[self.at].episode.is_over()
    }

    /// Agent x, y, block x, y (px), block angle (rad), goal x, y (px), goal angle (rad), coverage,
    /// reward, largest reward, whether it is a success, control ticks, last target x, y (px, or NaN).
    pub fn scene(&self) -> Vec<f64> {
        let now = self.now();
        let (env, result) = (now.episode.env(), now.episode.result());
        let (info, current) = (env.info(), env.current());
        let target = now.last.map_or([f64::NAN; 2], |(_, action)| action);
        let mut scene = env.state().to_vec();
        scene.extend([info.goal_pos_px.x, info.goal_pos_px.y, info.goal_angle_rad]);
        scene.extend([current.coverage, current.reward, result.max_reward]);
        scene.extend([f64::from(u8::from(result.success)), result.steps as f64]);
        scene.extend(target);
        scene
    }

    /// Planned actions that are not executed yet: x, y, px.
    pub fn planned(&self) -> Vec<f64> {
        match &self.now().horizon {
            Some((version, horizon)) if *version == self.version => {
                horizon.planned().flatten().copied().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Paths of the last plan, one after the other: before each pass, then the plan; x, y, px.
    /// Empty if there is no plan.
    pub fn denoising(&self) -> Vec<f64> {
        let Some(inputs) = &self.now().plan else {
            return Vec::new();
        };
        let paths = denoising(self.policy.model(), inputs).unwrap_or_default();
        paths.into_iter().flatten().flatten().collect()
    }

    /// The observation of the policy of `task`, for a device; empty if there is no such task.
    pub fn observation(&self, task: &str) -> Vec<f64> {
        let kind = ObservationKind::of_task(task);
        kind.map_or(Vec::new(), |kind| {
            let mut observation = vec![0.0; kind.dim()];
            match observe(kind, &self.past[self.at].observed, &mut observation) {
                Ok(()) => observation,
                Err(_) => Vec::new(),
            }
        })
    }

    /// Digest of the bits of all actions, as `pusht` and a device log it.
    #[wasm_bindgen(getter)]
    pub fn action_digest(&self) -> String {
        format!("{:#018x}", self.now().episode.result().action_digest)
    }

    /// Digest of the bits of all states.
    #[wasm_bindgen(getter)]
    pub fn state_digest(&self) -> String {
        format!("{:#018x}", self.now().episode.result().state_digest)
    }

    /// Who has played: `policy` or `device` if every tick is theirs and undisturbed, `person` if
    /// every tick is the person's, else `mixed`; empty at the start.
    #[wasm_bindgen(getter)]
    pub fn player(&self) -> String {
        let ticks = self.past.get(1..=self.at).unwrap_or_default();
        let mut drivers = ticks.iter().filter_map(|tick| tick.last);
        let Some((first, _)) = drivers.next() else {
            return String::new();
        };
        let is_mixed =
            self.past[self.at].is_disturbed || drivers.any(|(driver, _)| driver != first);
        let player = match first {
            _ if is_mixed => "mixed",
            Driver::Person => "person",
            Driver::Policy => "policy",
            Driver::Device => "device",
        };
        player.to_owned()
    }

    /// Rows of [`Recording`](crate::Recording): what the person played from the start on, up to the
    /// first tick of another or the first shove.
    pub fn recorded(&self) -> Vec<f32> {
        let mut rows = Vec::new();
        for pair in self.past[..=self.at].windows(2) {
            let [before, after] = pair else { break };
            match after.last {
                Some((Driver::Person, action)) if !before.is_shoved && !after.is_shoved => {
                    let values = before.episode.env().state().into_iter().chain(action);
                    rows.extend(values.map(|value| value as f32));
                }
                _ => break,
            }
        }
        rows
    }

    /// Edge of the window, radius of the agent, ticks of the benchmark's longest episode, then the
    /// corners of the block's two boxes in its coordinates; px.
    pub fn geometry() -> Vec<f64> {
        let mut geometry = vec![WINDOW_PX, AGENT_RADIUS_PX, MAX_EPISODE_STEPS as f64];
        geometry.extend(BLOCK_VERTICES_PX.as_flattened());
        geometry
    }
}

impl Game {
    /// The state that is shown: in the middle of a tick, or between two.
    fn now(&self) -> &Snapshot {
        self.present.as_ref().unwrap_or(&self.past[self.at])
    }

    /// Begins a control step at the state that is shown; what came after it is forgotten.
    fn begin(
        &mut self,
        mut present: Snapshot,
        driver: Driver,
        action: Action,
    ) -> Result<(), Error> {
        self.past.truncate(self.at + 1);
        let sent = present.border.act(self.at, present.episode.env(), action);
        // A person sees the scene itself.
        let action = if driver == Driver::Person {
            action
        } else {
            sent
        };
        present.episode.begin_step(action)?;
        present.last = Some((driver, action));
        present.is_shoved = false;
        if driver != Driver::Policy {
            (present.horizon, present.plan) = (None, None);
        }
        self.present = Some(present);
        Ok(())
    }

    /// Makes the policy ready for the next action; returns whether it planned.
    fn plan_if_needed(&mut self) -> Result<bool, Error> {
        let is_current =
            matches!(&self.past[self.at].horizon, Some((of, _)) if *of == self.version);
        if !is_current {
            // The policy takes over: it looks at what was observed until now.
            let mut horizon = Horizon::new(self.policy.model().shape(), self.seed)?;
            let n_seen = self.policy.model().shape().n_obs_steps;
            let from = (self.at + 1).saturating_sub(n_seen);
            for seen in &self.past[from..=self.at] {
                observe_into(&mut horizon, self.policy.kind(), &seen.observed)?;
            }
            self.past[self.at].horizon = Some((self.version, horizon));
        }
        let now = &mut self.past[self.at];
        let Some((_, horizon)) = &mut now.horizon else {
            return Ok(false);
        };
        if !horizon.needs_plan() {
            return Ok(false);
        }
        let (window, noise) = horizon.plan_inputs();
        now.plan = Some(Rc::new(PlanInputs {
            window: window.to_vec(),
            noise: noise.clone(),
        }));
        let mut planner = self.policy.planner().map_err(|_| Error::OutOfRange)?;
        horizon.plan(&mut planner)?;
        Ok(true)
    }
}

/// Records what is seen in the policy's window.
fn observe_into(
    horizon: &mut Horizon,
    kind: ObservationKind,
    seen: &[f64; STATE_DIM],
) -> Result<(), Error> {
    let mut observation = [0.0; MAX_OBSERVATION_DIM];
    let observation = &mut observation[..kind.dim()];
    observe(kind, seen, observation)?;
    horizon.observe(observation)
}

/// The start of the episode of `seed`, with what lies between scene and policy: disturbances, and
/// whether there is an estimator.
fn start(
    seed: f64,
    seeding: &str,
    (disturbances, has_estimator): (&Disturbances, bool),
) -> Result<Snapshot, String> {
    let seeding: Seeding = seeding.parse().map_err(text)?;
    let start = StartState::from_seed(whole(seed)?, seeding).map_err(text)?;
    let params = PushTParams::default();
    let mut env = PushTEnv::new(params, start, StartOrder::Legacy).map_err(text)?;
    let mut border = Disturbed::new(disturbances, whole(seed)?, &params);
    border.set(disturbances, has_estimator);
    Ok(Snapshot {
        observed: border.observe(0, &mut env).map_err(text)?,
        border,
        episode: Episode::new(env, MAX_TICKS),
        horizon: None,
        last: None,
        plan: None,
        is_disturbed: *disturbances != Disturbances::default(),
        is_shoved: false,
    })
}

/// A seed as JavaScript has it.
fn whole(seed: f64) -> Result<u64, String> {
    const MOST: f64 = (1_u64 << 53) as f64;
    match seed.fract() == 0.0 && (0.0..=MOST).contains(&seed) {
        true => Ok(seed as u64),
        false => Err("a seed is a whole number from 0 to 2^53".to_owned()),
    }
}

fn text(error: Error) -> String {
    error.to_string()
}
