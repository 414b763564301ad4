//! The contacts of several worlds, solved side by side: in each lane the operations of [`Contacts::solve`] in its order, so that
//! each world gets its bits. A sweep is one chain of operations that wait for each other; here every operation does for eight worlds.

use super::body::{Block, Twist};
use super::lanes::Lanes;
use super::solver::{Contact, Contacts, MAX_CONTACTS, SWEEPS};
use crate::pusht::math::max;
use core::array::from_fn;
use heapless::Vec;

/// Worlds that are solved at once: two registers of AVX2, one of which works while the other waits.
const MOST_LANES: usize = 8;
/// Where there are no more, they are solved in one register.
const FEW_LANES: usize = 4;

/// A contact of each of `N` worlds.
#[derive(Clone, Copy)]
struct ContactLanes<const N: usize> {
    normal: [Lanes<N>; 2],
    arm: [Lanes<N>; 2],
    mass: Lanes<N>,
    other_vel: [Lanes<N>; 2],
    push_out_speed: Lanes<N>,
    impulse: Lanes<N>,
    pseudo_impulse: Lanes<N>,
}

impl<const N: usize> ContactLanes<N> {
    /// What stands for a contact in a world that has fewer: its impulse stays 0 and adds -0 to the velocities, which changes none, not
    /// even the sign of a 0.
    const NONE: Self = Self {
        normal: [Lanes::all(-0.0); 2],
        arm: [Lanes::ZERO, Lanes::all(-0.0)],
        mass: Lanes::ZERO,
        other_vel: [Lanes::ZERO; 2],
        push_out_speed: Lanes::ZERO,
        impulse: Lanes::ZERO,
        pseudo_impulse: Lanes::ZERO,
    };

    fn set(&mut self, lane: usize, contact: &Contact) {
        for axis in 0..2 {
            self.normal[axis].0[lane] = contact.normal[axis];
            self.arm[axis].0[lane] = contact.arm[axis];
            self.other_vel[axis].0[lane] = contact.other_vel[axis];
        }
        self.mass.0[lane] = contact.mass;
        self.push_out_speed.0[lane] = contact.push_out_speed;
        self.impulse.0[lane] = contact.impulse;
    }

    /// The velocity of the block at the contact.
    #[inline(always)]
    fn velocity_of_block(&self, motion: &Motion<N>) -> [Lanes<N>; 2] {
        let [arm_x, arm_y] = self.arm;
        [
            motion.x - arm_y * motion.angular,
            motion.y + arm_x * motion.angular,
        ]
    }

    /// The impulse that makes the speed at which the bodies part the wanted one, if it can be made by pushing.
    #[inline(always)]
    fn impulse(
        &self,
        velocity: [Lanes<N>; 2],
        wanted_speed: Lanes<N>,
        before: Lanes<N>,
    ) -> Lanes<N> {
        let missing_speed =
            wanted_speed - (velocity[0] * self.normal[0] + velocity[1] * self.normal[1]);
        (before + missing_speed * self.mass).map2(Lanes::ZERO, max)
    }

    /// One pass over the contact; the changes of the impulses.
    #[inline(always)]
    fn solve(&mut self, velocity: &mut Motion<N>, pseudo: &mut Motion<N>) -> [Lanes<N>; 2] {
        let [x, y] = self.velocity_of_block(velocity);
        let parting = [x - self.other_vel[0], y - self.other_vel[1]];
        let impulse = self.impulse(parting, Lanes::ZERO, self.impulse);
        let parting = self.velocity_of_block(pseudo);
        let pseudo_impulse = self.impulse(parting, self.push_out_speed, self.pseudo_impulse);
        let changes = [impulse - self.impulse, pseudo_impulse - self.pseudo_impulse];
        (self.impulse, self.pseudo_impulse) = (impulse, pseudo_impulse);
        velocity.push(self, changes[0]);
        pseudo.push(self, changes[1]);
        changes
    }
}

/// The velocities, or the pseudo-velocities, of the blocks.
struct Motion<const N: usize> {
    x: Lanes<N>,
    y: Lanes<N>,
    angular: Lanes<N>,
    inverse_moment: Lanes<N>,
}

impl<const N: usize> Motion<N> {
    fn of<'b>(blocks: impl Iterator<Item = (&'b Block, &'b Twist)>) -> Self {
        let mut motion = Self {
            x: Lanes::ZERO,
            y: Lanes::ZERO,
            angular: Lanes::ZERO,
            inverse_moment: Lanes::ZERO,
        };
        for (lane, (block, twist)) in blocks.enumerate().take(N) {
            motion.x.0[lane] = twist.linear.x;
            motion.y.0[lane] = twist.linear.y;
            motion.angular.0[lane] = twist.angular;
            motion.inverse_moment.0[lane] = block.inverse_moment;
        }
        motion
    }

    fn write_to(&self, lane: usize, twist: &mut Twist) {
        twist.linear.x = self.x.0[lane];
        twist.linear.y = self.y.0[lane];
        twist.angular = self.angular.0[lane];
    }

    #[inline(always)]
    fn push(&mut self, contact: &ContactLanes<N>, impulse: Lanes<N>) {
        let ([n_x, n_y], [arm_x, arm_y]) = (contact.normal, contact.arm);
        let (impulse_x, impulse_y) = (n_x * impulse, n_y * impulse);
        self.x = self.x + impulse_x;
        self.y = self.y + impulse_y;
        self.angular = self.angular + self.inverse_moment * (arm_x * impulse_y - arm_y * impulse_x);
    }
}

/// Sweeps over the contacts until the sweeps are used up, or one changed nothing in any lane.
#[inline(always)]
fn sweep<const N: usize>(
    contacts: &mut [ContactLanes<N>],
    velocity: &mut Motion<N>,
    pseudo: &mut Motion<N>,
) {
    for _ in 0..SWEEPS {
        let mut changed = [0; N];
        for contact in &mut *contacts {
            for change in contact.solve(velocity, pseudo) {
                changed = from_fn(|lane| changed[lane] | change.0[lane].to_bits());
            }
        }
        // But for the sign.
        if changed.iter().fold(0, |all, bits| all | bits) << 1 == 0 {
            break;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sweep_avx2<const N: usize>(
    contacts: &mut [ContactLanes<N>],
    velocity: &mut Motion<N>,
    pseudo: &mut Motion<N>,
) {
    sweep(contacts, velocity, pseudo);
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn sweep_tuned<const N: usize>(
    contacts: &mut [ContactLanes<N>],
    velocity: &mut Motion<N>,
    pseudo: &mut Motion<N>,
) {
    if crate::cpu::has_avx2() {
        // SAFETY: the processor has it.
        unsafe { sweep_avx2(contacts, velocity, pseudo) }
    } else {
        sweep(contacts, velocity, pseudo);
    }
}

#[cfg(not(target_arch = "x86_64"))]
use sweep as sweep_tuned;

/// A world's contacts and its block, before they are solved.
pub(crate) type Unsolved<'w> = (&'w mut Contacts, &'w mut Block);

/// [`Contacts::solve`] for at most `N` worlds.
fn solve_at_once<const N: usize>(worlds: &mut [Unsolved<'_>]) {
    let n_contacts = worlds.iter().map(|(contacts, _)| contacts.len());
    let mut lanes: Vec<ContactLanes<N>, MAX_CONTACTS> = Vec::new();
    // There is room for as many as a world has.
    let _ = lanes.resize(n_contacts.max().unwrap_or_default(), ContactLanes::NONE);
    for (lane, (contacts, _)) in worlds.iter().enumerate().take(N) {
        for (slot, contact) in lanes.iter_mut().zip(&contacts.list) {
            slot.set(lane, contact);
        }
    }
    let blocks = || worlds.iter().map(|(_, block)| &**block);
    let mut velocity = Motion::of(blocks().map(|block| (block, &block.velocity)));
    let mut pseudo = Motion::of(blocks().map(|block| (block, &block.pseudo_velocity)));
    sweep_tuned(&mut lanes, &mut velocity, &mut pseudo);
    for (lane, (contacts, block)) in worlds.iter_mut().enumerate().take(N) {
        for (slot, contact) in lanes.iter().zip(&mut contacts.list) {
            contact.impulse = slot.impulse.0[lane];
        }
        velocity.write_to(lane, &mut block.velocity);
        pseudo.write_to(lane, &mut block.pseudo_velocity);
    }
}

/// [`Contacts::solve`] for any number of worlds; it puts those with as many contacts beside each other.
pub(crate) fn solve_side_by_side(worlds: &mut [Unsolved<'_>]) {
    worlds.sort_unstable_by_key(|(contacts, _)| contacts.len());
    for worlds in worlds.chunks_mut(MOST_LANES) {
        match worlds {
            [(contacts, block)] => contacts.solve(block),
            few if few.len() <= FEW_LANES => solve_at_once::<FEW_LANES>(few),
            many => solve_at_once::<MOST_LANES>(many),
        }
    }
}
