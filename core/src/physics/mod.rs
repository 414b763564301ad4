//! One physics step of the scene: a disc that nothing stops pushes a T between four walls.
//!
//! Sequential impulses with warm starting (Catto, GDC 2005 and 2006) in the way of Chipmunk2D 7.0.3, which pymunk
//! wraps and whose motion this one equals; written for this scene, so with fixed arrays and no callbacks. Friction
//! and elasticity are 0 for every shape (gym-pusht sets `friction` on bodies, which does nothing), so all tangential
//! impulses are exactly 0 and are left out.

mod body;
mod broad_phase;
mod closest_points;
mod contacts;
mod manifold;
mod shapes;

use crate::geometry::{Aabb, Vec2};
use body::Agent;
use broad_phase::{BroadPhase, N_OTHERS};
use contacts::{ContactPair, N_PAIRS, Other};
use manifold::{disc_and_box, wall_and_box};
use shapes::{BoxShape, N_BOXES, WALLS};

pub(crate) use body::Block;
pub(crate) use shapes::BOXES;
pub use shapes::{AGENT_RADIUS_PX, N_WALLS, WALL_ENDS_PX, WALL_RADIUS_PX};

/// Length of a step, s.
pub const PHYSICS_DT_S: f64 = 0.01;
/// Sweeps of the solver over all contacts (`cpSpace.iterations`).
const SWEEPS: usize = 10;
/// Overlap that is left alone, px. Chipmunk writes it as a single-precision literal.
const SLOP_PX: f64 = 0.1f32 as f64;
/// Share of the overlap that a step removes: `1 - ((1 - 0.1)^60)^0.01` with a single-precision 0.1.
const PUSH_OUT_SHARE: f64 = f64::from_bits(0x3faf_5d6b_ce57_a130);

/// Where gym-pusht builds the scene before it moves the bodies to their start: block and agent, px.
const SET_UP_PX: [Vec2; 2] = [Vec2::new(256.0, 300.0), Vec2::new(256.0, 400.0)];

/// The scene. A plain value: a copy continues with the same bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) block: Block,
    boxes: [BoxShape; N_BOXES],
    broad_phase: BroadPhase,
    pairs: [ContactPair; N_PAIRS],
    /// What is left of the block's velocity after a step without contact.
    damping_factor: f64,
}

impl World {
    /// The scene in its set-up pose, at rest.
    pub(crate) fn set_up(block: Block, damping_factor: f64) -> Self {
        let [block_pos, agent_pos] = SET_UP_PX;
        let boxes = BoxShape::of_block(&crate::geometry::Pose::new(block_pos, 0.0));
        let agent = Agent {
            pos: agent_pos,
            vel: Vec2::zeros(),
        };
        let bounds = [
            boxes[0].bounds,
            boxes[1].bounds,
            Aabb::of_disc(agent_pos, AGENT_RADIUS_PX),
        ];
        Self {
            agent,
            block,
            boxes,
            broad_phase: BroadPhase::set_up(&bounds),
            pairs: [ContactPair::NONE; N_PAIRS],
            damping_factor,
        }
    }

    /// Makes the shapes follow a block that was placed by hand.
    pub(crate) fn block_was_placed(&mut self) {
        self.boxes = BoxShape::of_block(&self.block.pose);
    }

    /// Advances by [`PHYSICS_DT_S`]; returns the number of contact points.
    pub(crate) fn step(&mut self) -> usize {
        self.agent.integrate_position();
        if self.block.integrate_position() {
            self.boxes = BoxShape::of_block(&self.block.pose);
        }
        let touching = self.find_contacts();
        self.damp();
        for &pair in touching.iter() {
            self.pairs[pair].warm_start(&mut self.block);
        }
        self.solve(&touching);
        touching
            .iter()
            .map(|&pair| self.pairs[pair].n_contacts())
            .sum()
    }

    /// The pairs that touch, in the order in which they are to be solved.
    fn find_contacts(&mut self) -> Touching {
        let mut touching = Touching::new();
        let (agent, block, boxes) = (&self.agent, &self.block, &self.boxes);
        let agent_bounds = Aabb::of_disc(agent.pos, AGENT_RADIUS_PX);
        let pairs = &mut self.pairs;
        let collide = |index: usize, other: usize, remembered| {
            let shape = &boxes[index];
            let (bounds, body) = match WALLS.get(other) {
                Some(wall) => (wall.bounds, Other::WALLS),
                None => (
                    agent_bounds,
                    Other {
                        pos: agent.pos,
                        vel: agent.vel,
                    },
                ),
            };
            if !shape.bounds.intersects(&bounds) {
                return remembered;
            }
            let (manifold, feature) = match WALLS.get(other) {
                Some(wall) => wall_and_box(wall, (index, shape, &block.pose), remembered),
                None => disc_and_box(agent.pos, shape, remembered),
            };
            if let Some(manifold) = manifold {
                let pair = index * N_OTHERS + other;
                pairs[pair].touch(&manifold, &body, block);
                let _ = touching.push(pair);
            }
            feature
        };
        self.broad_phase.update(
            boxes,
            block.velocity.linear,
            (agent_bounds, agent.vel),
            collide,
        );
        for (pair, contacts) in self.pairs.iter_mut().enumerate() {
            if !touching.contains(&pair) {
                contacts.miss();
            }
        }
        touching
    }

    /// gym-pusht's damping is 0: what the block had of velocity is gone before the contacts act.
    fn damp(&mut self) {
        self.block.velocity.linear *= self.damping_factor;
        self.block.velocity.angular *= self.damping_factor;
    }

    fn solve(&mut self, touching: &Touching) {
        for _ in 0..SWEEPS {
            let mut changed = false;
            for &pair in touching.iter() {
                changed |= self.pairs[pair].solve(&mut self.block);
            }
            // A sweep that changes nothing repeats itself.
            if !changed {
                break;
            }
        }
        for &pair in touching.iter() {
            self.pairs[pair].keep();
        }
    }
}

type Touching = heapless::Vec<usize, N_PAIRS>;
