//! One physics step of the scene: a disc that nothing stops pushes a T between four walls.
//!
//! Sequential impulses with warm starting (Catto, GDC 2005 and 2006) in the way of Chipmunk2D 7.0.3, which pymunk
//! wraps and whose motion this one equals; written for this scene, so with fixed arrays and no callbacks. Friction
//! and elasticity are 0 for every shape (gym-pusht sets `friction` on bodies, which does nothing), so all tangential
//! impulses are exactly 0 and are left out.

mod body;
mod broad_phase;
mod closest_points;
mod disc;
mod lanes;
mod manifold;
mod memory;
mod shapes;
mod side_by_side;
mod solver;

use crate::pusht::geometry::{Aabb, Vec2};
use body::Agent;
use broad_phase::{BroadPhase, Leaf, N_OTHERS};
use disc::disc_and_box;
use manifold::wall_and_box;
use memory::ContactMemory;
use shapes::{BoxShape, N_BOXES, WALLS};
use solver::{OtherBody, Rest};

pub(crate) use body::Block;
pub(crate) use shapes::BOXES;
pub use shapes::{AGENT_RADIUS_PX, N_WALLS, WALL_ENDS_PX, WALL_RADIUS_PX};
pub(crate) use side_by_side::solve_side_by_side;
pub(crate) use solver::Contacts;

/// Length of a step, s.
pub const PHYSICS_DT_S: f64 = 0.01;

/// Where gym-pusht builds the scene before it moves the bodies to their start: block and agent, px.
const SET_UP_PX: [Vec2; 2] = [Vec2::new(256.0, 300.0), Vec2::new(256.0, 400.0)];

/// What a control step spends its time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The controller, the motion, and the impulses.
    Physics,
    /// Which shapes touch, and where.
    Contacts,
    /// Coverage and reward.
    Coverage,
}

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
    /// Whether the block moved since its shapes were last seen by the broad phase.
    block_moved: bool,
    /// Whether the last search for contacts with the walls found each at the feature where it began.
    features_last: bool,
    rest: Option<Rest>,
}

impl World {
    /// The scene in its set-up pose, at rest.
    pub(crate) fn set_up(block: Block, damping_factor: f64) -> Self {
        let [block_pos, agent_pos] = SET_UP_PX;
        let boxes = BoxShape::of_block(&crate::pusht::geometry::Pose::new(block_pos, 0.0));
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
            block_moved: true,
            features_last: false,
            rest: None,
        }
    }

    /// Makes the shapes follow a block that was placed by hand.
    pub(crate) fn block_was_placed(&mut self) {
        self.boxes = BoxShape::of_block(&self.block.pose);
        self.block_moved = true;
        self.rest = None;
    }

    /// Advances by [`PHYSICS_DT_S`]; returns the number of contact points. `contacts` is working memory; `watch` is told what
    /// begins.
    pub(crate) fn step(&mut self, contacts: &mut Contacts, watch: &mut impl FnMut(Phase)) -> usize {
        if let Some(n_contacts) = self.begin_step(contacts, watch) {
            return n_contacts;
        }
        contacts.solve(&mut self.block);
        self.end_step(contacts)
    }

    /// What comes before the contacts are solved; the number of contact points, if the step is over by it.
    pub(crate) fn begin_step(
        &mut self,
        contacts: &mut Contacts,
        watch: &mut impl FnMut(Phase),
    ) -> Option<usize> {
        watch(Phase::Physics);
        self.agent.integrate_position();
        if let Some(n_contacts) = self.rest_on(watch) {
            return Some(n_contacts);
        }
        self.integrate_block();
        watch(Phase::Contacts);
        self.find_contacts(contacts);
        watch(Phase::Physics);
        self.damp();
        contacts.warm_start(&mut self.block);
        None
    }

    /// What comes after; the number of contact points.
    pub(crate) fn end_step(&mut self, contacts: &Contacts) -> usize {
        contacts.store(&mut self.memory);
        self.rest = contacts.rest(&self.block).filter(|_| self.features_last);
        contacts.len()
    }

    /// The velocities of the last step still move the block, though they are about to be damped away.
    fn integrate_block(&mut self) {
        if self.block.integrate_position() {
            self.boxes = BoxShape::of_block(&self.block.pose);
            self.block_moved = true;
        }
    }

    /// The short cut of a step that changes nothing but the agent, which is half of them; it returns the number of contact
    /// points, or `None` if the step has to be made.
    ///
    /// The block lies still ([`Contacts::rest`]), so that its contacts with the walls come out as they were, and with impulses of 0
    /// they come out so in any order. What is left to be looked at is whether the agent touches the block. If it does,
    /// or if it left its leaf's box and so changes the order of later contacts, nothing is changed here.
    fn rest_on(&mut self, watch: &mut impl FnMut(Phase)) -> Option<usize> {
        let rest = self.rest?;
        watch(Phase::Contacts);
        let bounds = Aabb::of_disc(self.agent.pos, AGENT_RADIUS_PX);
        if !self.broad_phase.keeps(Leaf::Agent, &bounds) {
            return None;
        }
        let mut features = [None; N_BOXES];
        for (index, feature) in self.broad_phase.partners_of_agent() {
            let Some(shape) = self.boxes.get(index) else {
                continue;
            };
            if shape.bounds.intersects(&bounds) {
                let mut touches = false;
                let found = disc_and_box(self.agent.pos, shape, *feature, |_| touches = true);
                if touches {
                    return None;
                }
                features[index] = Some(found);
            }
        }
        for (index, feature) in self.broad_phase.partners_of_agent() {
            if let Some(Some(found)) = features.get(index) {
                *feature = *found;
            }
        }
        self.memory.age_all_but(rest.touching);
        Some(usize::from(rest.n_contacts))
    }

    fn find_contacts(&mut self, contacts: &mut Contacts) {
        contacts.clear();
        let (agent, block, boxes, memory) = (&self.agent, &self.block, &self.boxes, &self.memory);
        let agent_bounds = Aabb::of_disc(agent.pos, AGENT_RADIUS_PX);
        let mut features_last = true;
        let collide = |index: usize, other: usize, remembered| {
            let Some(shape) = boxes.get(index) else {
                return remembered;
            };
            let wall = WALLS.get(other);
            if !shape
                .bounds
                .intersects(wall.map_or(&agent_bounds, |wall| &wall.bounds))
            {
                return remembered;
            }
            let pair = index * N_OTHERS + other;
            // Each of them with its own other body known, which is a fortieth of a step's instructions.
            let feature = match wall {
                Some(wall) => {
                    let part = (index, shape, &block.pose);
                    wall_and_box(wall, part, remembered, |point| {
                        contacts.prepare(pair, point, OtherBody::AT_REST, block, memory);
                    })
                }
                None => disc_and_box(agent.pos, shape, remembered, |point| {
                    let other = OtherBody {
                        pos: agent.pos,
                        vel: agent.vel,
                    };
                    contacts.prepare(pair, point, other, block, memory);
                }),
            };
            features_last &= feature == remembered || wall.is_none();
            feature
        };
        let moving_block = (boxes, block.velocity.linear, self.block_moved);
        let moving_agent = (agent_bounds, agent.vel);
        self.broad_phase.update(moving_block, moving_agent, collide);
        self.block_moved = false;
        self.features_last = features_last;
    }

    /// gym-pusht's damping is 0: what the block had of velocity is gone before the contacts act.
    fn damp(&mut self) {
        self.block.velocity.linear *= self.damping_factor;
        self.block.velocity.angular *= self.damping_factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pusht::env::PushTParams;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    /// Uniform in [low, high).
    fn uniform(random: &mut Pcg64, low: f64, high: f64) -> f64 {
        low + (high - low) * (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A scene anywhere, corners and overlaps included.
    fn scene(random: &mut Pcg64) -> World {
        let params = PushTParams::default();
        let mut block = Block::new(params.block_cog_px, params.block_moment);
        block.set_angle(uniform(random, -7.0, 7.0));
        block.set_position(Vec2::new(
            uniform(random, 20.0, 490.0),
            uniform(random, 20.0, 490.0),
        ));
        let mut world = World::set_up(block, 0.0);
        world.agent.pos = Vec2::new(uniform(random, 20.0, 490.0), uniform(random, 20.0, 490.0));
        world.block_was_placed();
        world
    }

    #[test]
    fn a_step_left_out_would_have_changed_something() {
        let mut random = Pcg64::seed_from_u64(2);
        let (mut contacts, mut rests_on_walls) = (Contacts::new(), 0);
        for _ in 0..300 {
            let mut short = scene(&mut random);
            let mut whole = short;
            let mut goal = Vec2::zeros();
            for t in 0..1000 {
                if t % 40 == 0 {
                    // To the block, now and then through it, or away.
                    let reach = [0.0, 60.0, 250.0][random.next_u32() as usize % 3];
                    goal.x = short.block.cog.x + uniform(&mut random, -reach, reach);
                    goal.y = short.block.cog.y + uniform(&mut random, -reach, reach);
                }
                whole.rest = None;
                rests_on_walls += usize::from(short.rest.is_some_and(|rest| rest.n_contacts > 0));
                let counts = [&mut short, &mut whole].map(|world| {
                    world.agent.vel += (goal - world.agent.pos) - world.agent.vel * 0.2;
                    world.step(&mut contacts, &mut |_| ())
                });
                assert_eq!(counts[0], counts[1]);
                let bits = |world: &World| {
                    let block = &world.block;
                    [
                        world.agent.pos.x,
                        world.agent.pos.y,
                        block.cog.x,
                        block.cog.y,
                        block.angle_rad,
                        block.velocity.linear.x,
                        block.velocity.angular,
                        block.pseudo_velocity.linear.y,
                    ]
                    .map(|value| (value + 0.0).to_bits())
                };
                assert_eq!(bits(&short), bits(&whole));
            }
        }
        assert!(rests_on_walls > 2_000, "{rests_on_walls}");
    }
}
