//! Batched plans for several environments: each weight is read once per [`BATCH`] plans.

use super::policy::{check_job, check_scratch, plan_together, read_chunk, write_window};
use super::scratch::Parts;
use super::unet::Unobserved;
use crate::Error;
use crate::control::PlanJob;
use crate::noise::Noise;
use crate::quant::format::error::ModelError;
use crate::quant::format::model::Model;
use heapless::Vec;

/// Largest number of plans computed together.
pub const BATCH: usize = 8;

/// Batch size for fewer plans.
const FEW: usize = 4;

/// Words of a cache line of most hosts, and of the widest vector.
const LINE: usize = 8;

/// Batched [`IntPolicy`](super::policy::IntPolicy): plans of a batch are independent.
#[derive(Debug)]
pub struct IntPolicyBatch<'m> {
    model: &'m Model<'m>,
    scratch: &'m mut [u64],
}

impl<'m> IntPolicyBatch<'m> {
    /// Words of working memory for plans with `model`: those of [`BATCH`] single plans, and room to
    /// begin each at a cache line. A vector load of a whole line that lies across two takes twice as
    /// long.
    pub fn scratch_len(model: &Model<'_>) -> usize {
        BATCH * stride(model) + LINE - 1
    }

    /// Creates the policy; `scratch` has at least [`scratch_len`](Self::scratch_len) words.
    ///
    /// # Errors
    /// [`ModelError::ScratchTooSmall`] if it has fewer.
    pub fn new(model: &'m Model<'m>, scratch: &'m mut [u64]) -> Result<Self, ModelError> {
        check_scratch(Self::scratch_len(model), scratch.len())?;
        let line = scratch.as_ptr().align_offset(size_of::<[u64; LINE]>());
        let scratch = &mut scratch[line.min(LINE - 1)..];
        Ok(Self { model, scratch })
    }

    /// As [`Planner::plan`](crate::control::Planner::plan), for every job: in batches of [`BATCH`],
    /// then of four, then one by one.
    ///
    /// # Errors
    /// [`Error::NonFiniteObservation`], [`Error::ObservationTooLarge`] or [`Error::WrongLength`] for
    /// the first invalid job; the jobs from its batch on are not planned.
    pub fn plan(&mut self, jobs: &mut [PlanJob<'_>]) -> Result<(), Error> {
        let (batches, rest) = jobs.as_chunks_mut::<BATCH>();
        for batch in batches {
            self.plan_some(batch)?;
        }
        let (batches, rest) = rest.as_chunks_mut::<FEW>();
        for batch in batches {
            self.plan_some(batch)?;
        }
        for job in rest {
            self.plan_some(core::array::from_mut(job))?;
        }
        Ok(())
    }

    fn plan_some<const B: usize>(&mut self, jobs: &mut [PlanJob<'_>; B]) -> Result<(), Error> {
        let model = self.model;
        for job in jobs.iter() {
            check_job(model, job.window, job.chunk)?;
        }
        let memory = self.scratch.chunks_exact_mut(stride(model));
        let parts: Vec<_, B> = memory
            .take(B)
            .map(|memory| Parts::of(memory, &model.sizes))
            .collect();
        let Ok(mut parts) = parts.into_array::<B>() else {
            // Unreachable: `new` checks the length.
            return Ok(());
        };
        for (part, job) in parts.iter_mut().zip(jobs.iter()) {
            write_window(model, job.window, part);
        }
        let mut noise = jobs.each_mut().map(noise_of);
        plan_together(model, &mut parts, &mut noise, &mut Unobserved);
        for (part, job) in parts.iter().zip(jobs) {
            read_chunk(model, part, job.chunk);
        }
        Ok(())
    }
}

/// Words from one plan's memory to the next.
fn stride(model: &Model<'_>) -> usize {
    model.scratch_len().next_multiple_of(LINE)
}

fn noise_of<'j>(job: &'j mut PlanJob<'_>) -> &'j mut dyn Noise {
    job.noise
}
