//! One physics step of the scene: a disc that nothing stops pushes a T between four walls.
//!
//! Sequential impulses with warm starting (Catto, GDC 2005 and 2006) in the way of Chipmunk2D 7.0.3, which pymunk
//! wraps and whose motion this one equals; written for this scene, so with fixed arrays and no callbacks. Friction
//! and elasticity are 0 for every shape (gym-pusht sets `friction` on bodies, which does nothing), so all tangential
//! impulses are exactly 0 and are left out.

mod body;
mod broad_phase;
mod closest_points;
mod manifold;
mod memory;
mod shapes;
mod solver;

use crate::geometry::{Aabb, Vec2};
use body::Agent;
use broad_phase::{BroadPhase, N_OTHERS};
use manifold::{disc_and_box, wall_and_box};
use memory::ContactMemory;
use shapes::{BoxShape, N_BOXES, WALLS};
use solver::Other;

pub(crate) use body::Block;
pub(crate) use shapes::BOXES;
pub use shapes::{AGENT_RADIUS_PX, N_WALLS, WALL_ENDS_PX, WALL_RADIUS_PX};
pub(crate) use solver::Contacts;

/// Length of a step, s.
pub const PHYSICS_DT_S: f64 = 0.01;

/// Where gym-pusht builds the scene before it moves the bodies to their start: block and agent, px.
const SET_UP_PX: [Vec2; 2] = [Vec2::new(256.0, 300.0), Vec2::new(256.0, 400.0)];

/// The scene. A plain value: a copy continues with the same bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) block: Block,
    boxes: [BoxShape; N_BOXES],
    broad_phase: BroadPhase,
    memory: ContactMemory,
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
            memory: ContactMemory::EMPTY,
            damping_factor,
        }
    }

    /// Makes the shapes follow a block that was placed by hand.
    pub(crate) fn block_was_placed(&mut self) {
        self.boxes = BoxShape::of_block(&self.block.pose);
    }

    /// Advances by [`PHYSICS_DT_S`]; returns the number of contact points. `contacts` is working memory.
    pub(crate) fn step(&mut self, contacts: &mut Contacts) -> usize {
        self.integrate_positions();
        self.find_contacts(contacts);
        self.damp();
        contacts.warm_start(&mut self.block);
        contacts.solve(&mut self.block);
        contacts.store(&mut self.memory);
        contacts.len()
    }

    /// The velocities of the last step still move the bodies, though the block's are about to be damped away.
    fn integrate_positions(&mut self) {
        self.agent.integrate_position();
        if self.block.integrate_position() {
            self.boxes = BoxShape::of_block(&self.block.pose);
        }
    }

    fn find_contacts(&mut self, contacts: &mut Contacts) {
        contacts.clear();
        let (agent, block, boxes, memory) = (&self.agent, &self.block, &self.boxes, &self.memory);
        let agent_bounds = Aabb::of_disc(agent.pos, AGENT_RADIUS_PX);
        let collide = |index: usize, other: usize, remembered| {
            let shape = &boxes[index];
            let wall = WALLS.get(other);
            if !shape
                .bounds
                .intersects(wall.map_or(&agent_bounds, |wall| &wall.bounds))
            {
                return remembered;
            }
            let (manifold, feature) = match wall {
                Some(wall) => wall_and_box(wall, (index, shape, &block.pose), remembered),
                None => disc_and_box(agent.pos, shape, remembered),
            };
            if let Some(manifold) = manifold {
                let other_body = match wall {
                    Some(_) => Other::AT_REST,
                    None => Other {
                        pos: agent.pos,
                        vel: agent.vel,
                    },
                };
                contacts.prepare(
                    index * N_OTHERS + other,
                    &manifold,
                    other_body,
                    block,
                    memory,
                );
            }
            feature
        };
        let moving_agent = (agent_bounds, agent.vel);
        self.broad_phase
            .update(boxes, block.velocity.linear, moving_agent, collide);
    }

    /// gym-pusht's damping is 0: what the block had of velocity is gone before the contacts act.
    fn damp(&mut self) {
        self.block.velocity.linear *= self.damping_factor;
        self.block.velocity.angular *= self.damping_factor;
    }
}
