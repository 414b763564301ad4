//! One attempt: its episode, its player, and the recorded steps.

use super::camera::Camera;
use crate::data::Episode;
use crate::engine::Engine;
use crate::expert::{Expert, ExpertOptions};
use crate::platform::processor_time;
use anyhow::{Context, Result, ensure};
use pusht_core::control::Planner;
use pusht_core::noise::{Noise, NoiseSource};
use pusht_core::pusht::env::{
    GOAL_ANGLE_RAD, GOAL_PX, PushTEnv, PushTParams, Seeding, StartOrder, StartState, Vec2,
};
use pusht_core::pusht::episode::{self, Action, MAX_EPISODE_STEPS};
use pusht_core::pusht::observation::{MAX_OBSERVATION_DIM, ObservationKind, observe};
use pusht_core::pusht::rollout::Horizon;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Settings that determine all episodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Seed of attempt 0; attempt `n` has the seed `first_seed + n`.
    pub first_seed: u64,
    /// Mapping from a seed to a start state: `legacy` or `pcg64`.
    pub seeding: String,
    /// Options of the expert.
    pub expert: ExpertOptions,
    /// Share of the attempts with noise.
    pub noise_share: f64,
    /// Standard deviation of the noise added to each executed action, px.
    pub noise_px: f64,
    /// Share of the attempts that start near the goal.
    pub near_goal_share: f64,
    /// Limit of control steps per attempt.
    pub max_steps: usize,
    /// Corrections of a policy; `None` for episodes of the expert.
    pub corrections: Option<Corrections>,
    /// Whether pictures are recorded (`data/img`).
    #[serde(default)]
    pub images: bool,
}

impl Settings {
    /// Checks the ranges, for attempts 0 to `n_attempts`.
    ///
    /// # Errors
    /// If a setting is out of range; the error names it.
    pub fn check(&self, n_attempts: u64) -> Result<()> {
        self.expert.check()?;
        let corrections = self.corrections.as_ref();
        for (name, share) in [
            ("noise", self.noise_share),
            ("near-goal", self.near_goal_share),
            (
                "near-miss",
                corrections.map_or(0.0, |of| of.near_miss_share),
            ),
        ] {
            let is_share = (0.0..=1.0).contains(&share);
            ensure!(is_share, "{name} share {share} is not 0 to 1");
        }
        if let Some(corrections) = corrections {
            for (name, n, most) in [
                (
                    "corrections per episode",
                    corrections.per_episode,
                    MAX_CORRECTIONS,
                ),
                ("steps per correction", corrections.steps, MAX_EPISODE_STEPS),
            ] {
                ensure!((1..=most).contains(&n), "{n} {name} are not 1 to {most}");
            }
        }
        let noise_px = self.noise_px;
        ensure!(
            (0.0..=100.0).contains(&noise_px),
            "noise of {noise_px} px is not 0 to 100 px"
        );
        let last = self.first_seed.checked_add(n_attempts);
        ensure!(
            last.is_some_and(|last| last <= 1 << 32 || self.seeding == "pcg64"),
            "first seed {}: legacy seeds end at 4294967295",
            self.first_seed
        );
        Ok(())
    }
}

/// Corrections of a policy's episodes by the expert (DAgger, arXiv 1011.0686), or by another policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Corrections {
    /// CRC-32C of the policy file, as on the link (`pusht_core::link::file_crc32c`).
    pub policy_crc32c: u32,
    /// That of the policy that corrects it; the expert does if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher_crc32c: Option<u32>,
    /// Actions executed per plan.
    pub n_action_steps: usize,
    /// Corrected states per episode.
    pub per_episode: usize,
    /// Recorded control steps per corrected state.
    pub steps: usize,
    /// Share of those states with a coverage of at least [`NEAR_MISS_COVERAGE`].
    pub near_miss_share: f64,
}

/// Most corrected states per episode.
pub const MAX_CORRECTIONS: usize = 1000;

/// Least coverage of a near miss.
pub const NEAR_MISS_COVERAGE: f64 = 0.8;

/// Outcome of an attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Seed of the attempt.
    pub seed: u64,
    /// Whether it started near the goal.
    pub near_goal: bool,
    /// Whether it was played with noise.
    pub noisy: bool,
    /// Whether the player reached the required coverage (with corrections: the goal).
    pub solved: bool,
    /// Control steps of the player.
    pub steps: usize,
    /// Largest coverage of any step.
    pub max_coverage: f64,
    /// Recorded episodes; empty if an episode of the expert was not solved.
    pub recorded: Vec<Recording>,
    /// Processor time of the attempt.
    pub cpu: Duration,
}

/// A recorded episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// States and actions.
    pub episode: Episode,
    /// What else is recorded of each control step.
    pub steps: Vec<Step>,
    /// Pictures of all states, (height, width, 3) each; empty unless they are recorded.
    pub pictures: Vec<u8>,
}

/// What is recorded of a control step beside state and action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Contact points per physics step of the control step before, which led to the state.
    pub n_contacts: usize,
    /// Coverage after the executed action.
    pub next_coverage: f64,
}

impl Recording {
    /// Records a step: the environment before it, the action, and the coverage after it.
    fn push(
        &mut self,
        before: &PushTEnv,
        action: Action,
        next_coverage: f64,
        camera: &mut Camera,
    ) -> Result<()> {
        self.episode.states.push(before.state());
        self.episode.actions.push(action);
        self.steps.push(Step {
            n_contacts: before.info().n_contacts,
            next_coverage,
        });
        camera.take(before, &mut self.pictures)
    }
}

/// The policies of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policies<'e> {
    /// Plays, and is corrected.
    pub player: Option<&'e Engine>,
    /// Corrects it; the expert does if there is none.
    pub teacher: Option<&'e Engine>,
}

/// Plays attempt `number`.
///
/// # Errors
/// If its episode can't be started, or a policy refuses a state.
pub fn attempt(settings: &Settings, policies: Policies<'_>, number: u64) -> Result<Attempt> {
    let begin = processor_time();
    let seed = settings.first_seed + number;
    let mut random = Pcg64::seed_from_u64(seed);
    let (near, noisy): (f64, f64) = (random.random_range(0.0..1.0), random.random_range(0.0..1.0));
    let near_goal = near < settings.near_goal_share;
    let noisy = noisy < settings.noise_share && settings.corrections.is_none();
    let env = match near_goal {
        true => start_near_goal(&mut random)?,
        false => start(seed, &settings.seeding)?,
    };
    let mut attempt = Attempt {
        seed,
        near_goal,
        noisy,
        solved: false,
        steps: 0,
        max_coverage: 0.0,
        recorded: Vec::new(),
        cpu: Duration::ZERO,
    };
    match (&settings.corrections, policies.player) {
        (Some(corrections), Some(player)) => {
            let states = visited(player, env, corrections, &mut random, &mut attempt)?;
            for (index, states) in states.iter().enumerate() {
                let seed = seed ^ ((index as u64 + 1) << 48);
                let correction = correction(settings, corrections.steps, policies, states, seed)?;
                attempt.recorded.extend(correction);
            }
        }
        _ => play(settings, env, &mut attempt)?,
    }
    attempt.cpu = processor_time() - begin;
    Ok(attempt)
}

fn start(seed: u64, seeding: &str) -> Result<PushTEnv> {
    let seeding = match seeding {
        "pcg64" => Seeding::Pcg64,
        _ => Seeding::Legacy,
    };
    crate::evaluate::start(seed, seeding)
}

/// Start state with the block within 30 px and 0.3 rad of the goal, and the agent off the block.
fn start_near_goal(random: &mut Pcg64) -> Result<PushTEnv> {
    loop {
        // Records have single precision.
        let mut around = |middle: f64, reach: f64| {
            let value: f64 = random.random_range(middle - reach..middle + reach);
            f64::from(value as f32)
        };
        let block_px = Vec2::new(around(GOAL_PX.x, 30.0), around(GOAL_PX.y, 30.0));
        let start = StartState {
            block_px,
            block_angle_rad: around(GOAL_ANGLE_RAD, 0.3),
            agent_px: Vec2::new(around(256.0, 200.0), around(256.0, 200.0)),
        };
        let env = PushTEnv::new(PushTParams::default(), start, StartOrder::AngleFirst)
            .context("a start near the goal")?;
        // The agent was under the block if the block moved in the first step.
        if (env.info().block_pos_px - block_px).norm() < 1e-6 {
            return Ok(env);
        }
    }
}

/// Plays the expert from `env` on; records its intended actions without noise (DART, arXiv
/// 1703.09327).
fn play(settings: &Settings, env: PushTEnv, attempt: &mut Attempt) -> Result<()> {
    let mut expert = Expert::new(settings.expert, attempt.seed);
    let mut noise = NoiseSource::new(!attempt.seed);
    let mut camera = Camera::new(settings.images);
    let mut recorded = Recording::default();
    recorded.episode.seed = (!attempt.near_goal).then_some(attempt.seed);
    let spread_px = if attempt.noisy {
        settings.noise_px
    } else {
        0.0
    };
    let mut played = episode::Episode::new(env, settings.max_steps);
    while !settings.expert.has_finished(played.env()) && played.steps() < settings.max_steps {
        let before = *played.env();
        let intended = expert.act(&before);
        let executed = intended.map(|v| v + spread_px * noise.next_gaussian().to_num::<f64>());
        played.step(executed)?;
        recorded.push(&before, intended, played.env().coverage(), &mut camera)?;
    }
    attempt.take_result(&played);
    attempt.solved = settings.expert.has_finished(played.env());
    if attempt.solved && !recorded.steps.is_empty() {
        attempt.recorded.push(recorded);
    }
    Ok(())
}

impl Attempt {
    fn take_result(&mut self, played: &episode::Episode) {
        let result = played.result();
        self.steps = result.steps;
        self.max_coverage = result.max_coverage;
        self.solved = result.success;
    }
}

/// Plays an episode of the policy. Returns the states to correct, each after the one before it.
fn visited(
    policy: &Engine,
    env: PushTEnv,
    corrections: &Corrections,
    random: &mut Pcg64,
    attempt: &mut Attempt,
) -> Result<Vec<[Visited; 2]>> {
    let visited = policy_episode(policy, env, attempt)?;
    if visited.len() < 2 {
        return Ok(Vec::new());
    }
    let near_misses: Vec<usize> = (1..visited.len())
        .filter(|&step| visited[step].env.coverage() >= NEAR_MISS_COVERAGE)
        .collect();
    let states = (0..corrections.per_episode).map(|_| {
        let near: f64 = random.random_range(0.0..1.0);
        let step = match near < corrections.near_miss_share && !near_misses.is_empty() {
            true => near_misses[random.random_range(0..near_misses.len())],
            false => random.random_range(1..visited.len()),
        };
        [visited[step - 1], visited[step]]
    });
    Ok(states.collect())
}

/// A state of the policy's episode and the policy's action there.
#[derive(Clone, Copy)]
struct Visited {
    env: PushTEnv,
    action: Action,
}

fn policy_episode(policy: &Engine, env: PushTEnv, attempt: &mut Attempt) -> Result<Vec<Visited>> {
    let mut rollout = policy.rollout(env, attempt.seed, MAX_EPISODE_STEPS)?;
    let mut visited = Vec::new();
    let mut before = env;
    policy.with_planner(|planner| {
        rollout.run(planner, |tick, rollout| {
            let env = std::mem::replace(&mut before, *rollout.episode().env());
            let action = tick.action;
            visited.push(Visited { env, action });
        })
    })?;
    attempt.take_result(rollout.episode());
    Ok(visited)
}

/// Plays the teacher, or the expert, from the second state on.
fn correction(
    settings: &Settings,
    n_steps: usize,
    policies: Policies<'_>,
    states: &[Visited; 2],
    seed: u64,
) -> Result<Option<Recording>> {
    let [before, _] = states;
    let Some(engine) = policies.teacher else {
        let mut expert = Expert::taking_over(settings.expert, seed, before.action);
        return play_on(settings, n_steps, states, |env| Ok(expert.act(env)));
    };
    engine.with_planner(|planner| {
        let mut teacher = Teacher::new(engine, planner, seed, before)?;
        play_on(settings, n_steps, states, |env| teacher.act(env))
    })
}

/// Plays the actions of `act` from `from` on. The policy's row precedes, for the first window's
/// observations.
fn play_on(
    settings: &Settings,
    n_steps: usize,
    [before, from]: &[Visited; 2],
    mut act: impl FnMut(&PushTEnv) -> Result<Action>,
) -> Result<Option<Recording>> {
    let mut env = from.env;
    let mut recorded = Recording::default();
    let mut camera = Camera::new(settings.images);
    recorded.push(&before.env, before.action, env.coverage(), &mut camera)?;
    recorded.episode.continues = true;
    recorded.episode.cut_off = true;
    for _ in 0..n_steps {
        if settings.expert.has_finished(&env) {
            recorded.episode.cut_off = false;
            break;
        }
        let before = env;
        let action = act(&before)?;
        env.step(action)?;
        recorded.push(&before, action, env.coverage(), &mut camera)?;
    }
    Ok((recorded.steps.len() > 1).then_some(recorded))
}

/// A policy that corrects another: it plays on from a state, and knows the one before it.
struct Teacher<'p> {
    planner: &'p mut dyn Planner,
    horizon: Horizon,
    kind: ObservationKind,
}

impl<'p> Teacher<'p> {
    fn new(
        engine: &Engine,
        planner: &'p mut dyn Planner,
        seed: u64,
        before: &Visited,
    ) -> Result<Self> {
        let mut horizon = Horizon::new(engine.loop_shape(), seed)?;
        let kind = engine.observation()?;
        horizon.observe(observed(
            kind,
            &before.env,
            &mut [0.0; MAX_OBSERVATION_DIM],
        )?)?;
        Ok(Self {
            planner,
            horizon,
            kind,
        })
    }

    /// Next action (px) in `env`, in single precision, as records have it.
    fn act(&mut self, env: &PushTEnv) -> Result<Action> {
        let mut room = [0.0; MAX_OBSERVATION_DIM];
        let observation = observed(self.kind, env, &mut room)?;
        let action = self.horizon.act(self.planner, observation)?;
        let action = action.first_chunk().context("a policy without actions")?;
        Ok(action.map(|value| f64::from(value as f32)))
    }
}

fn observed<'o>(
    kind: ObservationKind,
    env: &PushTEnv,
    room: &'o mut [f64; MAX_OBSERVATION_DIM],
) -> Result<&'o [f64]> {
    let (observation, _) = room.split_at_mut(kind.dim());
    observe(kind, &env.state(), observation)?;
    Ok(observation)
}
