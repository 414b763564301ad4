//! Physics step of the scene: a kinematic disc (the agent) pushes a T (the block) between four
//! walls.
//!
//! The phases of a step, in the order of Chipmunk2D 7.0.3's `cpSpaceStep`:
//!
//! ```text
//! integrate positions -> collide -> prepare -> damp velocity -> warm start -> solve -> store
//! ```
//!
//! The method is sequential impulses with warm starting (Catto, GDC 2005 and 2006), and the motion
//! is that of Chipmunk, which pymunk wraps. The scene is fixed, so arrays have fixed sizes and
//! there are no user callbacks. Friction and elasticity are 0 for every shape (gym-pusht sets
//! `friction` on bodies, where it has no effect), so tangential impulses are exactly 0 and are left
//! out.

mod body;
mod broad_phase;
mod cache;
mod closest_points;
mod disc;
mod lanes;
mod manifold;
mod shapes;
mod side_by_side;
mod solver;

use crate::pusht::geometry::{Aabb, Vec2};
use body::{Agent, Twist};
use broad_phase::{BroadPhase, Leaf, pair_index};
use cache::ContactCache;
use disc::{Disc, collide_disc_box};
use manifold::collide_wall_box;
use shapes::{BoxShape, N_BOXES, WALLS};
use solver::SleepingBlock;

pub(crate) use body::Block;
pub use manifold::ContactPoint;
pub use shapes::{AGENT_RADIUS_PX, N_WALLS, WALL_ENDS_PX, WALL_RADIUS_PX};
pub(crate) use shapes::{BOXES, scaled_boxes};
pub(crate) use side_by_side::solve_side_by_side;
pub(crate) use solver::Contacts;
pub use solver::MAX_CONTACTS;

/// Length of a physics step, s (gym-pusht `dt`).
pub const PHYSICS_DT_S: f64 = 0.01;

/// Whether flash is scarcer than time, so that walls and clear cases have no form of their own.
const SMALL: bool = cfg!(target_os = "none");

/// Positions of block and agent, px, at which gym-pusht adds them to the space (`_setup`), before
/// it moves them to their start.
const SET_UP_PX: [Vec2; 2] = [Vec2::new(256.0, 300.0), Vec2::new(256.0, 400.0)];

/// Part of a control step, for profiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// PD controller, integration and contact solver.
    Physics,
    /// Collision detection: broad and narrow phase.
    Contacts,
    /// Coverage and reward.
    Coverage,
}

/// Bodies, shapes and all that the next step depends on. A copy continues with the same bits.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) block: Block,
    boxes: [BoxShape; N_BOXES],
    broad_phase: BroadPhase,
    cache: ContactCache,
    /// Factor by which a step damps the block's velocity.
    damping_factor: f64,
    /// Whether the block moved since the broad phase last saw its shapes.
    block_moved: bool,
    /// Whether each wall's closest points lay at the cached feature in the last step.
    features_unchanged: bool,
    sleeping: Option<SleepingBlock>,
}

impl World {
    /// The scene as gym-pusht sets it up, at rest.
    pub(crate) fn new(block: Block, damping_factor: f64, agent_radius: f64) -> Self {
        let [block_pos, agent_pos] = SET_UP_PX;
        let pose = crate::pusht::geometry::Pose::new(block_pos, 0.0);
        let boxes = BoxShape::of_block(&pose, block.scale);
        let agent = Agent {
            pos: agent_pos,
            vel: Vec2::zeros(),
            radius: agent_radius,
        };
        let bounds = [
            boxes[0].bounds,
            boxes[1].bounds,
            Aabb::of_disc(agent_pos, agent_radius),
        ];
        Self {
            agent,
            block,
            boxes,
            broad_phase: BroadPhase::new(&bounds),
            cache: ContactCache::EMPTY,
            damping_factor,
            block_moved: true,
            features_unchanged: false,
            sleeping: None,
        }
    }

    /// Has the next step look at all contacts, after a body has been moved.
    pub(crate) fn wake(&mut self) {
        self.sleeping = None;
    }

    /// Moves the shapes to the block after its pose has been set.
    pub(crate) fn update_shapes(&mut self) {
        self.boxes = BoxShape::of_block(&self.block.pose, self.block.scale);
        self.block_moved = true;
        self.sleeping = None;
    }

    /// Advances by [`PHYSICS_DT_S`]; returns the number of contact points. `contacts` is working
    /// memory; `probe` is told which phase begins.
    pub(crate) fn step(&mut self, contacts: &mut Contacts, probe: &mut impl FnMut(Phase)) -> usize {
        if let Some(n_contacts) = self.begin_step(contacts, probe) {
            return n_contacts;
        }
        contacts.solve(&mut self.block);
        self.end_step(contacts)
    }

    /// The phases before [`Contacts::solve`]; returns the number of contact points if the step is
    /// complete without it.
    pub(crate) fn begin_step(
        &mut self,
        contacts: &mut Contacts,
        probe: &mut impl FnMut(Phase),
    ) -> Option<usize> {
        probe(Phase::Physics);
        self.agent.integrate_position();
        if let Some(n_contacts) = self.try_skip_resting_step(probe) {
            return Some(n_contacts);
        }
        self.integrate_block_position();
        probe(Phase::Contacts);
        self.collide(contacts);
        probe(Phase::Physics);
        contacts.prepare(&self.block, &self.agent, &self.cache);
        self.damp_velocity();
        contacts.warm_start(&mut self.block);
        None
    }

    /// The phases after [`Contacts::solve`]; returns the number of contact points.
    pub(crate) fn end_step(&mut self, contacts: &Contacts) -> usize {
        contacts.store(&mut self.cache);
        let sleeping = contacts.sleeping_block(&self.block);
        self.sleeping = sleeping.filter(|_| self.features_unchanged);
        contacts.len()
    }

    /// Moves the block by the velocities of the last step, before they are damped.
    fn integrate_block_position(&mut self) {
        if self.block.integrate_position() {
            BoxShape::update(&mut self.boxes, &self.block.pose, self.block.scale);
            self.block_moved = true;
        }
    }

    /// Short cut for a sleeping block that the agent does not touch: only the agent changes, which
    /// is the case in half of a demonstration's steps. Returns the number of contact points, or
    /// `None` if the full step is needed; nothing but the agent's position has then been changed.
    ///
    /// The contacts of a sleeping block with the walls stay as they are, and impulses of 0 have no
    /// order. That leaves the agent: the full step is needed if it touches the block, or if it left
    /// its leaf's fat box, since the order of later contacts then changes.
    fn try_skip_resting_step(&mut self, probe: &mut impl FnMut(Phase)) -> Option<usize> {
        let sleeping = self.sleeping?;
        probe(Phase::Contacts);
        let bounds = Aabb::of_disc(self.agent.pos, self.agent.radius);
        if !self.broad_phase.fat_box_contains(Leaf::Agent, &bounds) {
            return None;
        }
        let is_near = |shape: &BoxShape| shape.bounds.intersects(&bounds);
        if (SMALL || self.boxes.iter().any(is_near)) && self.agent_touches(&bounds) {
            return None;
        }
        self.broad_phase.skip();
        self.cache.age_separated(sleeping.touching);
        Some(usize::from(sleeping.n_contacts))
    }

    /// Whether the agent touches the block. If not, the features of their pairs are cached.
    fn agent_touches(&mut self, bounds: &Aabb) -> bool {
        let mut features = [None; N_BOXES];
        for (index, cached) in self.broad_phase.agent_pairs() {
            let Some(shape) = self.boxes.get(index) else {
                continue;
            };
            if shape.bounds.intersects(bounds) {
                let mut touches = false;
                let feature =
                    collide_disc_box(Disc::from(&self.agent), shape, *cached, |_| touches = true);
                if touches {
                    return true;
                }
                features[index] = Some(feature);
            }
        }
        for (index, cached) in self.broad_phase.agent_pairs() {
            if let Some(Some(feature)) = features.get(index) {
                *cached = *feature;
            }
        }
        false
    }

    /// Broad and narrow phase: finds the contact points, in the order in which they are solved.
    fn collide(&mut self, contacts: &mut Contacts) {
        contacts.clear();
        let (agent, block, boxes) = (&self.agent, &self.block, &self.boxes);
        let agent_bounds = Aabb::of_disc(agent.pos, agent.radius);
        let mut features_unchanged = true;
        let collide_pair = |index: usize, obstacle: usize, cached| {
            let Some(shape) = boxes.get(index) else {
                return cached;
            };
            let add = |point: &_| contacts.add(pair_index(index, obstacle), point);
            match WALLS.get(obstacle) {
                Some(wall) if shape.bounds.intersects(&wall.bounds) => {
                    let feature = collide_wall_box(wall, (index, shape, &block.pose), cached, add);
                    features_unchanged &= feature == cached;
                    feature
                }
                None if shape.bounds.intersects(&agent_bounds) => {
                    collide_disc_box(Disc::from(agent), shape, cached, add)
                }
                _ => cached,
            }
        };
        let moving_block = (boxes, block.velocity.linear, self.block_moved);
        let moving_agent = (agent_bounds, agent.vel);
        self.broad_phase
            .update(moving_block, moving_agent, collide_pair);
        self.block_moved = false;
        self.features_unchanged = features_unchanged;
    }

    /// Calls `visit` with each contact point of the last step, in the order of the solver. They are
    /// found again, since no body moves after the step's collision detection.
    pub(crate) fn visit_contacts(&self, mut visit: impl FnMut(&ContactPoint)) {
        let agent_bounds = Aabb::of_disc(self.agent.pos, self.agent.radius);
        self.broad_phase.last_pairs(|index, obstacle| {
            let Some(shape) = self.boxes.get(index) else {
                return;
            };
            match WALLS.get(obstacle) {
                Some(wall) if shape.bounds.intersects(&wall.bounds) => {
                    collide_wall_box(wall, (index, shape, &self.block.pose), 0, &mut visit);
                }
                None if shape.bounds.intersects(&agent_bounds) => {
                    collide_disc_box(Disc::from(&self.agent), shape, 0, &mut visit);
                }
                _ => (),
            }
        });
    }

    /// Damps the block's velocity, to 0 by default (quirk: gym-pusht's `damping` is 0). A velocity of
    /// -0 becomes 0, and stays so: no sum has it again.
    fn damp_velocity(&mut self) {
        let Twist { linear, angular } = &mut self.block.velocity;
        *linear = linear.map(|speed| speed * self.damping_factor + 0.0);
        *angular = *angular * self.damping_factor + 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pusht::env::PushTParams;
    use heapless::Vec;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    /// Uniform in [low, high).
    fn uniform(random: &mut Pcg64, low: f64, high: f64) -> f64 {
        low + (high - low) * (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A scene in a random pose, corners and overlaps included.
    fn scene(random: &mut Pcg64) -> World {
        let params = PushTParams::default();
        let mut block = Block::new(params.block_cog_px, params.block_moment, 1.0);
        block.set_angle(uniform(random, -7.0, 7.0));
        block.set_position(Vec2::new(
            uniform(random, 20.0, 490.0),
            uniform(random, 20.0, 490.0),
        ));
        let mut world = World::new(block, 0.0, AGENT_RADIUS_PX);
        world.agent.pos = Vec2::new(uniform(random, 20.0, 490.0), uniform(random, 20.0, 490.0));
        world.update_shapes();
        world
    }

    /// Normal and points of a contact.
    fn bits_of(point: &ContactPoint) -> [u64; 6] {
        let [n, a, b] = [point.normal, point.on_other, point.on_block];
        [n.x, n.y, a.x, a.y, b.x, b.y].map(f64::to_bits)
    }

    /// The feared bug: a step is skipped that would have changed something.
    #[test]
    fn skipped_steps_equal_full_steps_and_contacts_are_found_again() {
        let mut random = Pcg64::seed_from_u64(2);
        let (mut contacts, mut n_asleep_on_walls, mut n_contacts) = (Contacts::new(), 0, 0);
        for _ in 0..300 {
            let mut skipping = scene(&mut random);
            let mut full = skipping;
            let mut goal = Vec2::zeros();
            for t in 0..1000 {
                if t % 40 == 0 {
                    // Towards the block, through it, or away from it.
                    let reach = [0.0, 60.0, 250.0][random.next_u32() as usize % 3];
                    goal.x = skipping.block.cog.x + uniform(&mut random, -reach, reach);
                    goal.y = skipping.block.cog.y + uniform(&mut random, -reach, reach);
                }
                full.sleeping = None;
                n_asleep_on_walls +=
                    usize::from(skipping.sleeping.is_some_and(|block| block.n_contacts > 0));
                let counts = [&mut skipping, &mut full].map(|world| {
                    world.agent.vel += (goal - world.agent.pos) - world.agent.vel * 0.2;
                    world.step(&mut contacts, &mut |_| ())
                });
                assert_eq!(counts[0], counts[1]);
                // The full step was the last: its points are still there.
                let solved = contacts.list.iter().map(|contact| bits_of(&contact.point));
                let solved: Vec<_, MAX_CONTACTS> = solved.collect();
                for world in [&skipping, &full] {
                    let mut visited = Vec::<_, MAX_CONTACTS>::new();
                    world.visit_contacts(|point| visited.push(bits_of(point)).unwrap());
                    assert_eq!(visited, solved);
                }
                n_contacts += solved.len();
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
                assert_eq!(bits(&skipping), bits(&full));
            }
        }
        assert!(n_asleep_on_walls > 2_000, "{n_asleep_on_walls}");
        assert!(n_contacts > 100_000, "{n_contacts}");
    }
}
