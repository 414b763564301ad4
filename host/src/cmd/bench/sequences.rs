//! Benchmark sequences: start states with their actions.

use crate::data::Demonstrations;
use anyhow::Result;
use pusht_core::pusht::env::{PushTEnv, PushTParams, StartOrder, StartState, Vec2, WINDOW_PX};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::f64::consts::PI;

/// Control steps per generated sequence.
const STEPS: usize = 200;
/// Direction of each wall from the window's centre.
const WALLS: [[f64; 2]; 4] = [[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]];

/// A start state and its actions.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Agent x, y, block x, y, px; block angle, rad.
    pub start: [f64; 5],
    /// Order in which position and angle are set.
    pub order: StartOrder,
    /// Target positions of the agent, px.
    pub actions: Vec<[f64; 2]>,
}

impl Sequence {
    /// Creates the environment at the start.
    ///
    /// # Errors
    /// If the start state can't be simulated.
    pub fn begin(&self) -> Result<PushTEnv, pusht_core::Error> {
        let start = StartState::from_state(&self.start);
        PushTEnv::new(PushTParams::default(), start, self.order)
    }
}

/// Recorded demonstrations, from their first recorded states.
pub fn human(demonstrations: &Demonstrations) -> Vec<Sequence> {
    let of_episode = |episode: &crate::data::Episode| Sequence {
        start: episode.states[0],
        order: StartOrder::AngleFirst,
        actions: episode.actions.clone(),
    };
    demonstrations.episodes.iter().map(of_episode).collect()
}

/// Targets on and around the block, wherever it moves; on the way there, the block rests.
///
/// # Errors
/// If a start state can't be simulated.
pub fn chase(count: usize) -> Result<Vec<Sequence>> {
    generate(count, 1, |random| {
        let start = free_start(random);
        let (mut left, mut offset) = (0, Vec2::zeros());
        let policy = move |random: &mut Pcg64, middle: Vec2| {
            if left == 0 {
                left = random.random_range(5..25);
                offset = Vec2::from_fn(|_, _| random.random_range(-110.0..110.0));
            }
            left -= 1;
            middle + offset
        };
        (start, Box::new(policy))
    })
}

/// Repeated pushes: around the block, then through it towards a wall or a corner.
///
/// # Errors
/// If a start state can't be simulated.
pub fn walls(count: usize) -> Result<Vec<Sequence>> {
    generate(count, 2, |random| {
        let start = free_start(random);
        let (mut left, mut way, mut side) = (0, Vec2::zeros(), Vec2::zeros());
        let policy = move |random: &mut Pcg64, middle: Vec2| {
            if left == 0 {
                left = random.random_range(15..40);
                let towards = [0, 1].map(|_| {
                    Vec2::from(WALLS[random.random_range(0..4)]) * random.random_range(0.2..1.0)
                });
                let sum = towards[0] + towards[1];
                way = sum / sum.norm().max(0.1);
                side = Vec2::from_fn(|_, _| random.random_range(-40.0..40.0));
            }
            left -= 1;
            if left > 12 {
                middle - way * 130.0
            } else {
                middle + way * 90.0 + side
            }
        };
        (start, Box::new(policy))
    })
}

/// The block at a wall, pressed by targets far beyond its centre and the wall.
///
/// # Errors
/// If a start state can't be simulated.
pub fn squeeze(count: usize) -> Result<Vec<Sequence>> {
    generate(count, 3, |random| {
        let way = Vec2::from(WALLS[random.random_range(0..4)]);
        let across = Vec2::new(way.y, way.x);
        let window_middle = Vec2::repeat(0.5 * WINDOW_PX);
        let block = window_middle
            + way * random.random_range(120.0..220.0)
            + across * random.random_range(-200.0..200.0);
        let agent = block - way * random.random_range(60.0..150.0);
        let angle_rad = random.random_range(-PI..PI);
        let start = [agent.x, agent.y, block.x, block.y, angle_rad];
        let (mut left, mut depth, mut shift) = (0, 0.0, 0.0);
        let policy = move |random: &mut Pcg64, middle: Vec2| {
            if left == 0 {
                left = random.random_range(5..30);
                depth = random.random_range(-150.0..200.0);
                shift = random.random_range(-80.0..80.0);
            }
            left -= 1;
            middle + way * depth + across * shift
        };
        (start, Box::new(policy))
    })
}

/// Maps the block's centre to the next target.
type Policy = Box<dyn FnMut(&mut Pcg64, Vec2) -> Vec2>;

/// Plays `count` episodes and records their actions.
fn generate(
    count: usize,
    family: u64,
    begin: impl Fn(&mut Pcg64) -> ([f64; 5], Policy),
) -> Result<Vec<Sequence>> {
    let episode = |number: usize| {
        let mut random = Pcg64::seed_from_u64(family << 32 | number as u64);
        let (start, mut policy) = begin(&mut random);
        let mut sequence = Sequence {
            start,
            order: StartOrder::Legacy,
            actions: Vec::with_capacity(STEPS),
        };
        let mut env = sequence.begin()?;
        for _ in 0..STEPS {
            let [_, _, x, y, angle_rad] = env.state();
            let cog = env.params().block_cog_px;
            let turned = Vec2::new(
                cog.x * angle_rad.cos() - cog.y * angle_rad.sin(),
                cog.x * angle_rad.sin() + cog.y * angle_rad.cos(),
            );
            let action = policy(&mut random, Vec2::new(x, y) + turned).into();
            env.step(action)?;
            sequence.actions.push(action);
        }
        Ok(sequence)
    };
    (0..count).map(episode).collect()
}

fn free_start(random: &mut Pcg64) -> [f64; 5] {
    [
        random.random_range(60.0..450.0),
        random.random_range(60.0..450.0),
        random.random_range(100.0..400.0),
        random.random_range(100.0..400.0),
        random.random_range(-PI..PI),
    ]
}
