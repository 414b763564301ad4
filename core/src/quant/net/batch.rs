//! Plans for many environments at once: each weight is read once for [`BATCH`] of them.

use crate::Error;
use crate::control::receding_horizon::PlanJob;
use crate::quant::format::model::Model;
use crate::quant::net::policy::{ObservationWindow, check_len, plan_all};
use crate::quant::net::sampler::FixedPlan;
use crate::quant::net::scratch::{ACTION_DIM, MAX_HORIZON, Scratch};
use crate::quant::net::unet::Unobserved;
use core::array;
use fixed::types::I16F16;
use heapless::Vec;

/// Environments that are planned for together.
pub const BATCH: usize = 8;

/// The same where there are fewer.
const FEW: usize = 4;

/// As [`IntPolicy`](super::IntPolicy), for many environments: the same bits, whatever is planned beside a plan.
#[derive(Debug)]
pub struct IntPolicyBatch<'m> {
    model: &'m Model<'m>,
    scratch: &'m mut [Scratch; BATCH],
}

impl<'m> IntPolicyBatch<'m> {
    /// Every model that was parsed fits.
    pub fn new(model: &'m Model<'m>, scratch: &'m mut [Scratch; BATCH]) -> Self {
        Self { model, scratch }
    }

    /// As [`Planner::plan`](crate::control::receding_horizon::Planner::plan), for every job: [`BATCH`] together, then four, and what is left over one by one.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`], [`Error::WrongLength`] of the first job that is refused; those from its batch on are not planned.
    pub fn plan(&mut self, jobs: &mut [PlanJob<'_>]) -> Result<(), Error> {
        let (batches, rest) = jobs.as_chunks_mut::<BATCH>();
        for batch in batches {
            plan_states(self.model, self.scratch, batch)?;
        }
        let Some((few, _)) = self.scratch.split_first_chunk_mut::<FEW>() else {
            return Ok(());
        };
        let (batches, rest) = rest.as_chunks_mut::<FEW>();
        for batch in batches {
            plan_states(self.model, few, batch)?;
        }
        let [first, ..] = few;
        for job in rest {
            plan_states(self.model, array::from_mut(first), array::from_mut(job))?;
        }
        Ok(())
    }
}

/// The border: rounds the observations to I16F16, plans, and widens the actions.
fn plan_states<const B: usize>(
    model: &Model<'_>,
    scratch: &mut [Scratch; B],
    jobs: &mut [PlanJob<'_>; B],
) -> Result<(), Error> {
    let n_action_steps = model.n_action_steps();
    let mut windows = [ObservationWindow::EMPTY; B];
    for (window, job) in windows.iter_mut().zip(jobs.iter()) {
        check_len("chunk", n_action_steps, job.chunk.len())?;
        *window = ObservationWindow::of(model, job.states)?;
    }
    let mut actions = [[[I16F16::ZERO; ACTION_DIM]; MAX_HORIZON]; B];
    let memory = windows.iter().zip(actions.iter_mut());
    let mut plans: Vec<_, B> = (memory.zip(jobs.iter_mut()))
        .map(|((window, actions), job)| FixedPlan {
            observations: window.values(),
            noise: &mut *job.noise,
            chunk: &mut actions[..n_action_steps],
        })
        .collect();
    plan_all(model, scratch, &mut plans, &mut Unobserved);
    drop(plans);
    for (job, actions) in jobs.iter_mut().zip(actions) {
        for (action, planned) in job.chunk.iter_mut().zip(actions) {
            *action = planned.map(I16F16::to_num);
        }
    }
    Ok(())
}
