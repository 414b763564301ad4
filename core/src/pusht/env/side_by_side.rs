//! Environments that take their control steps side by side.

use super::{ControlStep, PHYSICS_STEPS, PushTEnv, Step};
use crate::Error;
use crate::pusht::physics::{Contacts, solve_side_by_side};
use heapless::Vec;

/// Environments that are taken on together: so many that what they need stays near the processor.
const AT_ONCE: usize = 32;

/// Of environments in the same physics step.
type AllContacts = Vec<Contacts, AT_ONCE>;

/// An environment in its control step.
struct Turn<'e> {
    env: &'e mut PushTEnv,
    step: ControlStep,
    outcome: &'e mut Result<Step, Error>,
    /// Whether the contacts of the present physics step are still to be solved.
    is_unsolved: bool,
}

/// [`PushTEnv::step`] for each environment that has an action: the same bits in less time on one core, since the impulses of several
/// environments are computed at once. What an environment's step returns goes to its place in `outcomes`; that of an environment
/// without an action is left as it is. The shortest of the three slices counts.
pub fn step_side_by_side(
    envs: &mut [PushTEnv],
    actions: &[Option<[f64; 2]>],
    outcomes: &mut [Result<Step, Error>],
) {
    let mut contacts: AllContacts = (0..AT_ONCE).map(|_| Contacts::new()).collect();
    let mut turns: Vec<Turn<'_>, AT_ONCE> = Vec::new();
    for ((env, action), outcome) in envs.iter_mut().zip(actions).zip(outcomes) {
        let Some(action) = *action else {
            continue;
        };
        match ControlStep::new(action) {
            // One that may have to be undone goes alone.
            Ok(step) if !env.may_leave_range(step.goal) => {
                let is_unsolved = false;
                // There is room, as a full list is emptied at once.
                let _ = turns.push(Turn {
                    env,
                    step,
                    outcome,
                    is_unsolved,
                });
            }
            _ => *outcome = env.step(action),
        }
        if turns.is_full() {
            take(&mut turns, &mut contacts);
            turns.clear();
        }
    }
    take(&mut turns, &mut contacts);
}

/// The whole control step of each.
fn take(turns: &mut [Turn<'_>], contacts: &mut AllContacts) {
    for _ in 0..PHYSICS_STEPS {
        physics_step(turns, contacts);
    }
    for turn in turns {
        *turn.outcome = Ok(turn.step.end(turn.env));
    }
}

fn physics_step(turns: &mut [Turn<'_>], contacts: &mut AllContacts) {
    for (turn, contacts) in turns.iter_mut().zip(&mut *contacts) {
        turn.env.control(turn.step.goal);
        let over = turn.env.world.begin_step(contacts, &mut |_| ());
        turn.is_unsolved = over.is_none();
        turn.step.n_contact_points += over.unwrap_or_default();
    }
    solve(turns, contacts);
    for (turn, contacts) in turns.iter_mut().zip(&*contacts) {
        if turn.is_unsolved {
            turn.step.n_contact_points += turn.env.world.end_step(contacts);
        }
    }
}

fn solve(turns: &mut [Turn<'_>], contacts: &mut AllContacts) {
    let mut unsolved: Vec<_, AT_ONCE> = Vec::new();
    for (turn, contacts) in turns.iter_mut().zip(contacts) {
        if turn.is_unsolved {
            // There is room for all.
            let _ = unsolved.push((contacts, &mut turn.env.world.block));
        }
    }
    solve_side_by_side(&mut unsolved);
}
