//! An episode in turns of one physics step, for a timer's interrupt: nothing in it waits.

use crate::Error;
use crate::control::pipeline::{Pipeline, PipelineCounts, Plan, PlanRequest};
use crate::control::receding_horizon::Action;
use crate::pusht::env::{ControlStep, PHYSICS_STEPS, PushTEnv};
use crate::pusht::episode::{EpisodeResult, MAX_EPISODE_STEPS, Record};
use crate::pusht::observation::STATE_DIM;

/// The environment and the side of the policy that must never wait. Plans are computed elsewhere.
pub struct RealTimeEpisode {
    env: PushTEnv,
    pipeline: Pipeline,
    record: Record,
    /// Physics steps taken of the present control step.
    phase: usize,
    present: Option<(ControlStep, [f64; STATE_DIM], Action)>,
}

impl RealTimeEpisode {
    /// An episode at its start.
    pub fn new(env: PushTEnv, pipeline: Pipeline) -> Self {
        Self {
            env,
            pipeline,
            record: Record::new(),
            phase: 0,
            present: None,
        }
    }

    /// Control ticks that are over.
    pub fn n_ticks(&self) -> usize {
        self.record.steps()
    }

    /// What was counted so far.
    pub fn counts(&self) -> PipelineCounts {
        self.pipeline.counts()
    }

    /// A physics step, and what begins or ends with it: with every [`PHYSICS_STEPS`]th a control tick, which asks `arrived` for the plan
    /// that has come since the last one, and tells `begin` of the plan that begins now. Returns the result once the episode is over.
    ///
    /// # Errors
    /// Those of [`Pipeline::tick`], [`ControlStep::new`] and [`ControlStep::finish`].
    pub fn turn(
        &mut self,
        arrived: impl FnOnce() -> Option<Plan>,
        begin: impl FnOnce(PlanRequest),
    ) -> Result<Option<EpisodeResult>, Error> {
        let (mut step, state, action) = match self.present.take() {
            Some(present) => present,
            None => self.begin_tick(arrived(), begin)?,
        };
        step.physics_step(&mut self.env);
        self.phase += 1;
        if self.phase < PHYSICS_STEPS {
            self.present = Some((step, state, action));
            return Ok(None);
        }
        self.phase = 0;
        let outcome = step.finish(&mut self.env)?;
        self.record.tick(&state, &action, &outcome);
        let is_over = self.record.is_over(MAX_EPISODE_STEPS);
        Ok(is_over.then(|| self.record.clone().finish(&self.env.state())))
    }

    fn begin_tick(
        &mut self,
        plan: Option<Plan>,
        begin: impl FnOnce(PlanRequest),
    ) -> Result<(ControlStep, [f64; STATE_DIM], Action), Error> {
        let state = self.env.state();
        let (action, request) = self.pipeline.tick(&state, plan)?;
        if let Some(request) = request {
            begin(request);
        }
        Ok((ControlStep::new(action)?, state, action))
    }
}
