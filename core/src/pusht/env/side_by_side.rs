//! Batched control steps of several environments.

use super::{ControlStep, PHYSICS_STEPS, PushTEnv, Step};
use crate::Error;
use crate::pusht::physics::{Contacts, solve_side_by_side};
use heapless::Vec;

/// Environments per batch: enough to fill the solver's lanes, few enough to stay in the cache.
const BATCH: usize = 32;

/// The contacts of a batch in the same physics step.
type BatchContacts = Vec<Contacts, BATCH>;

/// An environment within its control step.
struct PendingStep<'e> {
    env: &'e mut PushTEnv,
    step: ControlStep,
    outcome: &'e mut Result<Step, Error>,
    /// Whether the contacts of the current physics step are still to be solved.
    is_unsolved: bool,
}

/// [`PushTEnv::step`] for each environment that has an action, with the same bits in less time,
/// since the contacts of several environments are solved in SIMD lanes. The result of environment
/// `i` is written to `outcomes[i]`, which is left unchanged if `actions[i]` is `None`. Elements
/// beyond the shortest of the three slices are ignored.
pub fn step_side_by_side(
    envs: &mut [PushTEnv],
    actions: &[Option<[f64; 2]>],
    outcomes: &mut [Result<Step, Error>],
) {
    let mut contacts: BatchContacts = (0..BATCH).map(|_| Contacts::new()).collect();
    let mut steps: Vec<PendingStep<'_>, BATCH> = Vec::new();
    for ((env, action), outcome) in envs.iter_mut().zip(actions).zip(outcomes) {
        let Some(action) = *action else {
            continue;
        };
        match ControlStep::new(action) {
            // A step that may have to be undone is made alone.
            Ok(step) if !env.may_leave_range(step.goal) => {
                let is_unsolved = false;
                // There is room, since a full list is emptied immediately.
                let _ = steps.push(PendingStep {
                    env,
                    step,
                    outcome,
                    is_unsolved,
                });
            }
            _ => *outcome = env.step(action),
        }
        if steps.is_full() {
            run(&mut steps, &mut contacts);
            steps.clear();
        }
    }
    run(&mut steps, &mut contacts);
}

/// Completes the control steps.
fn run(steps: &mut [PendingStep<'_>], contacts: &mut BatchContacts) {
    for _ in 0..PHYSICS_STEPS {
        physics_step(steps, contacts);
    }
    for pending in steps {
        *pending.outcome = Ok(pending.step.end(pending.env));
    }
}

fn physics_step(steps: &mut [PendingStep<'_>], contacts: &mut BatchContacts) {
    for (pending, contacts) in steps.iter_mut().zip(&mut *contacts) {
        pending.env.control(pending.step.goal);
        let complete = pending.env.world.begin_step(contacts, &mut |_| ());
        pending.is_unsolved = complete.is_none();
        pending.step.n_contact_points += complete.unwrap_or_default();
    }
    solve(steps, contacts);
    for (pending, contacts) in steps.iter_mut().zip(&*contacts) {
        if pending.is_unsolved {
            pending.step.n_contact_points += pending.env.world.end_step(contacts);
        }
    }
}

fn solve(steps: &mut [PendingStep<'_>], contacts: &mut BatchContacts) {
    let mut unsolved: Vec<_, BATCH> = Vec::new();
    for (pending, contacts) in steps.iter_mut().zip(contacts) {
        if pending.is_unsolved {
            // There is room for the whole batch.
            let _ = unsolved.push((contacts, &mut pending.env.world.block));
        }
    }
    solve_side_by_side(&mut unsolved);
}
