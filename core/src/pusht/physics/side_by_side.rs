//! Solves the contacts of several worlds at the same time, one world per SIMD lane. Each lane
//! computes the operations of [`Contacts::solve`] in the same order, so each world gets the same
//! bits. One world's iterations are a chain of dependent operations; eight worlds hide its latency.

use super::body::{Block, Twist};
use super::lanes::Lanes;
use super::solver::{Contact, Contacts, ITERATIONS, MAX_CONTACTS, same_bits};
use crate::pusht::math::max;
use core::array::from_fn;
use heapless::Vec;

/// Worlds per batch: one AVX-512 register, or two AVX2 registers, so that one hides the other's
/// latency.
const MAX_LANES: usize = 8;
/// Worlds that fit into one AVX2 register.
const MIN_LANES: usize = 4;

/// One contact of each of `N` worlds.
#[derive(Clone, Copy)]
struct ContactLanes<const N: usize> {
    normal: [Lanes<N>; 2],
    arm: [Lanes<N>; 2],
    normal_mass: Lanes<N>,
    other_vel: [Lanes<N>; 2],
    bias_speed: Lanes<N>,
    impulse: Lanes<N>,
    pseudo_impulse: Lanes<N>,
}

impl<const N: usize> ContactLanes<N> {
    /// Padding for worlds with fewer contacts: its impulse stays 0 and adds -0 to the velocities,
    /// which changes no bit, not even the sign of a 0.
    const PADDING: Self = Self {
        normal: [Lanes::all(-0.0); 2],
        arm: [Lanes::ZERO, Lanes::all(-0.0)],
        normal_mass: Lanes::ZERO,
        other_vel: [Lanes::ZERO; 2],
        bias_speed: Lanes::ZERO,
        impulse: Lanes::ZERO,
        pseudo_impulse: Lanes::ZERO,
    };

    fn set(&mut self, lane: usize, contact: &Contact) {
        for axis in 0..2 {
            self.normal[axis].0[lane] = contact.point.normal[axis];
            self.arm[axis].0[lane] = contact.arm[axis];
            self.other_vel[axis].0[lane] = contact.other_vel[axis];
        }
        self.normal_mass.0[lane] = contact.normal_mass;
        self.bias_speed.0[lane] = contact.bias_speed;
        self.impulse.0[lane] = contact.impulse;
    }

    /// Velocity of the block at the contact.
    #[inline(always)]
    fn velocity_of_block(&self, block: &VelocityLanes<N>) -> [Lanes<N>; 2] {
        let [arm_x, arm_y] = self.arm;
        [
            block.x - arm_y * block.angular,
            block.y + arm_x * block.angular,
        ]
    }

    /// Accumulated impulse that brings the relative velocity's normal speed to the target, if
    /// pushing can.
    #[inline(always)]
    fn impulse(
        &self,
        velocity: [Lanes<N>; 2],
        target_speed: Lanes<N>,
        before: Lanes<N>,
    ) -> Lanes<N> {
        let missing_speed =
            target_speed - (velocity[0] * self.normal[0] + velocity[1] * self.normal[1]);
        (before + missing_speed * self.normal_mass).map2(Lanes::ZERO, max)
    }

    /// One visit of an iteration; returns the changes of the impulses.
    #[inline(always)]
    fn solve(
        &mut self,
        velocity: &mut VelocityLanes<N>,
        pseudo: &mut VelocityLanes<N>,
    ) -> [Lanes<N>; 2] {
        let [x, y] = self.velocity_of_block(velocity);
        let relative = [x - self.other_vel[0], y - self.other_vel[1]];
        let impulse = self.impulse(relative, Lanes::ZERO, self.impulse);
        let relative = self.velocity_of_block(pseudo);
        let pseudo_impulse = self.impulse(relative, self.bias_speed, self.pseudo_impulse);
        let changes = [impulse - self.impulse, pseudo_impulse - self.pseudo_impulse];
        (self.impulse, self.pseudo_impulse) = (impulse, pseudo_impulse);
        velocity.apply(self, changes[0]);
        pseudo.apply(self, changes[1]);
        changes
    }
}

/// Velocities, or pseudo-velocities, of the blocks.
#[derive(Clone, Copy)]
struct VelocityLanes<const N: usize> {
    x: Lanes<N>,
    y: Lanes<N>,
    angular: Lanes<N>,
    inverse_moment: Lanes<N>,
}

impl<const N: usize> VelocityLanes<N> {
    fn of<'b>(blocks: impl Iterator<Item = (&'b Block, &'b Twist)>) -> Self {
        let mut lanes = Self {
            x: Lanes::ZERO,
            y: Lanes::ZERO,
            angular: Lanes::ZERO,
            inverse_moment: Lanes::ZERO,
        };
        for (lane, (block, twist)) in blocks.enumerate().take(N) {
            lanes.x.0[lane] = twist.linear.x;
            lanes.y.0[lane] = twist.linear.y;
            lanes.angular.0[lane] = twist.angular;
            lanes.inverse_moment.0[lane] = block.inverse_moment;
        }
        lanes
    }

    fn write_to(&self, lane: usize, twist: &mut Twist) {
        twist.linear.x = self.x.0[lane];
        twist.linear.y = self.y.0[lane];
        twist.angular = self.angular.0[lane];
    }

    #[inline(always)]
    fn apply(&mut self, contact: &ContactLanes<N>, impulse: Lanes<N>) {
        let ([n_x, n_y], [arm_x, arm_y]) = (contact.normal, contact.arm);
        let (impulse_x, impulse_y) = (n_x * impulse, n_y * impulse);
        self.x = self.x + impulse_x;
        self.y = self.y + impulse_y;
        self.angular = self.angular + self.inverse_moment * (arm_x * impulse_y - arm_y * impulse_x);
    }
}

/// Iterates over the contacts; ends early after an iteration that changed no lane.
#[inline(always)]
fn iterate<const N: usize>(
    contacts: &mut [ContactLanes<N>],
    velocity: &mut VelocityLanes<N>,
    pseudo: &mut VelocityLanes<N>,
) {
    if let [contact] = contacts {
        return iterate_alone(contact, velocity, pseudo);
    }
    for _ in 0..ITERATIONS {
        let mut changed = [0; N];
        for contact in &mut *contacts {
            for change in contact.solve(velocity, pseudo) {
                changed = from_fn(|lane| changed[lane] | change.0[lane].to_bits());
            }
        }
        // Shifts the sign bit out: -0 is no change.
        if changed.iter().fold(0, |all, bits| all | bits) << 1 == 0 {
            break;
        }
    }
}

/// All iterations over a contact that is the only one of its world; why they may end early says
/// `iterate` of the solver.
#[inline(always)]
fn iterate_alone<const N: usize>(
    contact: &mut ContactLanes<N>,
    velocity: &mut VelocityLanes<N>,
    pseudo: &mut VelocityLanes<N>,
) {
    for _ in 0..ITERATIONS / 2 {
        let before = state(contact, velocity, pseudo);
        contact.solve(velocity, pseudo);
        contact.solve(velocity, pseudo);
        if same_bits(&before, &state(contact, velocity, pseudo)) {
            break;
        }
    }
}

/// What an iteration changes.
#[inline(always)]
fn state<const N: usize>(
    contact: &ContactLanes<N>,
    velocity: &VelocityLanes<N>,
    pseudo: &VelocityLanes<N>,
) -> [Lanes<N>; 8] {
    let impulses = [contact.impulse, contact.pseudo_impulse];
    let [[a, b, c], [d, e, f]] = [velocity, pseudo].map(|v| [v.x, v.y, v.angular]);
    [a, b, c, d, e, f, impulses[0], impulses[1]]
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn iterate_avx2<const N: usize>(
    contacts: &mut [ContactLanes<N>],
    velocity: &mut VelocityLanes<N>,
    pseudo: &mut VelocityLanes<N>,
) {
    iterate(contacts, velocity, pseudo);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512vl")]
fn iterate_avx512<const N: usize>(
    contacts: &mut [ContactLanes<N>],
    velocity: &mut VelocityLanes<N>,
    pseudo: &mut VelocityLanes<N>,
) {
    iterate(contacts, velocity, pseudo);
}

/// [`iterate`] with AVX-512 or AVX2 where the processor supports it.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn iterate_dispatched<const N: usize>(
    contacts: &mut [ContactLanes<N>],
    velocity: &mut VelocityLanes<N>,
    pseudo: &mut VelocityLanes<N>,
) {
    if crate::cpu::has_avx512() {
        // SAFETY: the processor supports AVX-512, as was just checked.
        unsafe { iterate_avx512(contacts, velocity, pseudo) }
    } else if crate::cpu::has_avx2() {
        // SAFETY: the processor supports AVX2, as was just checked.
        unsafe { iterate_avx2(contacts, velocity, pseudo) }
    } else {
        iterate(contacts, velocity, pseudo);
    }
}

#[cfg(not(target_arch = "x86_64"))]
use iterate as iterate_dispatched;

/// The contacts and the block of a world that is to be solved.
pub(crate) type Unsolved<'w> = (&'w mut Contacts, &'w mut Block);

/// [`Contacts::solve`] for at most `N` worlds.
fn solve_batch<const N: usize>(worlds: &mut [Unsolved<'_>]) {
    let n_contacts = worlds.iter().map(|(contacts, _)| contacts.len());
    let mut lanes: Vec<ContactLanes<N>, MAX_CONTACTS> = Vec::new();
    // There is room for the contacts of any world.
    let _ = lanes.resize(n_contacts.max().unwrap_or_default(), ContactLanes::PADDING);
    for (lane, (contacts, _)) in worlds.iter().enumerate().take(N) {
        for (slot, contact) in lanes.iter_mut().zip(&contacts.list) {
            slot.set(lane, contact);
        }
    }
    let blocks = || worlds.iter().map(|(_, block)| &**block);
    let mut velocity = VelocityLanes::of(blocks().map(|block| (block, &block.velocity)));
    let mut pseudo = VelocityLanes::of(blocks().map(|block| (block, &block.pseudo_velocity)));
    iterate_dispatched(&mut lanes, &mut velocity, &mut pseudo);
    for (lane, (contacts, block)) in worlds.iter_mut().enumerate().take(N) {
        for (slot, contact) in lanes.iter().zip(&mut contacts.list) {
            contact.impulse = slot.impulse.0[lane];
        }
        velocity.write_to(lane, &mut block.velocity);
        pseudo.write_to(lane, &mut block.pseudo_velocity);
    }
}

/// [`Contacts::solve`] for any number of worlds, sorted by their number of contacts, so that there
/// is little padding.
pub(crate) fn solve_side_by_side(worlds: &mut [Unsolved<'_>]) {
    worlds.sort_unstable_by_key(|(contacts, _)| contacts.len());
    let n_free = worlds.partition_point(|(contacts, _)| contacts.len() == 0);
    let (_, worlds) = worlds.split_at_mut(n_free);
    for worlds in worlds.chunks_mut(MAX_LANES) {
        match worlds {
            [(contacts, block)] => contacts.solve(block),
            few if few.len() <= MIN_LANES => solve_batch::<MIN_LANES>(few),
            many => solve_batch::<MAX_LANES>(many),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::pusht::geometry::Vec2;
    use crate::pusht::physics::body::Agent;
    use crate::pusht::physics::cache::ContactCache;
    use crate::pusht::physics::manifold::ContactPoint;
    use std::vec::Vec as List;

    /// A block with `index` mod 4 contacts, that moves into them and overlaps.
    fn world(index: usize) -> (Contacts, Block) {
        let mut block = Block::new(Vec2::new(0.0, 45.0), 12_000.0, 1.0);
        block.velocity.linear = Vec2::new(30.0 - 7.0 * index as f64, -40.0);
        block.velocity.angular = 0.2 * index as f64;
        let agent = Agent {
            pos: Vec2::new(10.0, -20.0),
            vel: Vec2::new(0.0, 90.0),
            radius: 15.0,
        };
        let mut contacts = Contacts::new();
        for contact in 0..index % 4 {
            let on_block = Vec2::new(20.0 * contact as f64 - 15.0, -10.0);
            let point = ContactPoint {
                normal: Vec2::new(0.6, 0.8),
                on_other: on_block + Vec2::new(0.3, 0.4 + index as f64),
                on_block,
                id: contact as u8,
            };
            contacts.add(4 * contact, &point);
        }
        contacts.prepare(&block, &agent, &ContactCache::EMPTY);
        (contacts, block)
    }

    fn bits((contacts, block): &(Contacts, Block)) -> List<u64> {
        let twists = [block.velocity, block.pseudo_velocity];
        let velocities = twists
            .iter()
            .flat_map(|t| [t.linear.x, t.linear.y, t.angular]);
        let impulses = contacts.list.iter().map(|contact| contact.impulse);
        velocities.chain(impulses).map(f64::to_bits).collect()
    }

    /// One world, both widths of the lanes, full and with empty lanes, and more than one batch.
    /// Under Miri, a batch of each width.
    #[test]
    fn contacts_solved_in_lanes_have_the_bits_of_those_solved_alone() {
        let all: List<usize> = (1..=MAX_LANES + 2).collect();
        let numbers: &[usize] = if cfg!(miri) { &[2, 5] } else { &all };
        for n_worlds in numbers.iter().copied() {
            let mut alone: List<_> = (0..n_worlds).map(world).collect();
            let mut together: List<_> = (0..n_worlds).map(world).collect();
            for (contacts, block) in &mut alone {
                contacts.solve(block);
            }
            let mut unsolved: List<Unsolved<'_>> = (together.iter_mut())
                .map(|(contacts, block)| (contacts, block))
                .collect();
            solve_side_by_side(&mut unsolved);
            for index in 0..n_worlds {
                let before = bits(&world(index));
                let expected = bits(&alone[index]);
                assert_eq!(bits(&together[index]), expected, "{index} of {n_worlds}");
                assert_eq!(expected != before, index % 4 > 0, "{index} of {n_worlds}");
            }
        }
    }
}
