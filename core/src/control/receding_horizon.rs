//! Receding-horizon execution: plan a chunk of actions, execute it, plan again.

use super::planner::{PlanJob, PlanShape, Planner, check_actions, check_len, check_observed};
use crate::Error;
use crate::noise::NoiseSource;

/// Window of observations and queue of actions of one episode.
///
/// When no planned action is left ([`needs_plan`](Self::needs_plan)), a plan is computed from
/// [`plan_inputs`](Self::plan_inputs), passed to [`deliver`](Self::deliver), and executed one
/// action per control tick by [`next_action`](Self::next_action).
///
/// - **Start**: the window repeats the first observation `To` times, as diffusion_policy's
///   `MultiStepWrapper` does.
/// - **Without a plan**, the last action is held; before the first action, the caller's `hold`.
/// - **A late plan** loses the actions of past ticks, so that the others keep their times.
///
/// `WINDOW` is the capacity in values of the window (`To x Do`), `CHUNK` that of the last action
/// and the queue (`(1 + Ta) x Da`).
#[derive(Clone, Debug)]
pub struct RecedingHorizon<const WINDOW: usize, const CHUNK: usize> {
    shape: PlanShape,
    /// `[To][Do]`, oldest first; entries before the episode repeat its first observation.
    window: [f64; WINDOW],
    has_observed: bool,
    /// `[1 + Ta][Da]`: the last action, then the queue.
    actions: [f64; CHUNK],
    has_acted: bool,
    /// Rows of `actions` that hold the queue: `next..end`.
    next: usize,
    end: usize,
    noise: NoiseSource,
}

impl<const WINDOW: usize, const CHUNK: usize> RecedingHorizon<WINDOW, CHUNK> {
    /// Starts an episode for plans of `shape`; `seed` is the seed of its noise.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if `WINDOW` or `CHUNK` is too small for `shape`.
    pub fn new(shape: PlanShape, seed: u64) -> Result<Self, Error> {
        let n_rows = shape.n_action_steps.saturating_add(1);
        let n_actions = n_rows.saturating_mul(shape.action_dim);
        let window_len = shape.n_obs_steps.saturating_mul(shape.obs_dim);
        for (what, needed, room) in [("window", window_len, WINDOW), ("chunk", n_actions, CHUNK)] {
            if needed > room {
                return Err(Error::WrongLength {
                    what,
                    expected: needed,
                    got: room,
                });
            }
        }
        Ok(Self {
            shape,
            window: [0.0; WINDOW],
            has_observed: false,
            actions: [0.0; CHUNK],
            has_acted: false,
            next: 1,
            end: 1,
            noise: NoiseSource::new(seed),
        })
    }

    /// Starts the next episode from an empty window and queue.
    pub fn reset(&mut self, seed: u64) {
        self.has_observed = false;
        self.has_acted = false;
        (self.next, self.end) = (1, 1);
        self.noise = NoiseSource::new(seed);
    }

    /// Dimensions of a window and of a chunk.
    pub fn shape(&self) -> PlanShape {
        self.shape
    }

    /// Records the observation (`[Do]`) of a control tick.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if its length is not `Do`, [`Error::NonFiniteObservation`] if a value
    /// is NaN or infinite, [`Error::ObservationTooLarge`] if one is beyond
    /// [`MAX_OBSERVED`](super::planner::MAX_OBSERVED); the episode is unchanged then.
    pub fn observe(&mut self, observation: &[f64]) -> Result<(), Error> {
        check_len("observation", self.shape.obs_dim, observation.len())?;
        check_observed(observation)?;
        let len = self.shape.window_len();
        let Some(window) = self.window.get_mut(..len) else {
            return Ok(());
        };
        if self.has_observed {
            // Shift by one row; the newest observation takes the last row.
            let newest = len - observation.len();
            for at in 0..newest {
                let moved = window.get(at + observation.len()).copied();
                if let (Some(place), Some(value)) = (window.get_mut(at), moved) {
                    *place = value;
                }
            }
            copy(observation, window.get_mut(newest..).unwrap_or_default());
        } else {
            for row in window.chunks_mut(observation.len().max(1)) {
                copy(observation, row);
            }
            self.has_observed = true;
        }
        Ok(())
    }

    /// The last `To` observations, `[To][Do]`, oldest first.
    pub fn window(&self) -> &[f64] {
        self.window
            .get(..self.shape.window_len())
            .unwrap_or_default()
    }

    /// Whether no planned action is left.
    pub fn needs_plan(&self) -> bool {
        self.next >= self.end
    }

    /// Inputs of a plan that begins now: the window and the episode's noise.
    pub fn plan_inputs(&mut self) -> (&[f64], &mut NoiseSource) {
        let len = self.shape.window_len();
        (self.window.get(..len).unwrap_or_default(), &mut self.noise)
    }

    /// Job of a plan into `chunk` (`[Ta][Da]`), for a planner that computes a batch.
    pub fn plan_job<'p>(&'p mut self, chunk: &'p mut [f64]) -> PlanJob<'p> {
        let (window, noise) = self.plan_inputs();
        PlanJob {
            window,
            noise,
            chunk,
        }
    }

    /// Replaces the remaining actions by a chunk from `planner`; simulated time stops meanwhile.
    ///
    /// # Errors
    /// As [`Planner::plan`], and [`Error::NonFiniteAction`] whatever the planner says of a value
    /// that is NaN or infinite; no action is planned then.
    pub fn plan(&mut self, planner: &mut (impl Planner + ?Sized)) -> Result<(), Error> {
        let (len, dim) = (self.shape.window_len(), self.shape.action_dim);
        let window = self.window.get(..len).unwrap_or_default();
        let chunk = self.actions.get_mut(dim..dim + self.shape.chunk_len());
        let chunk = chunk.unwrap_or_default();
        (self.next, self.end) = (1, 1);
        planner.plan(window, &mut self.noise, chunk)?;
        check_actions(chunk)?;
        self.end = 1 + self.shape.n_action_steps;
        Ok(())
    }

    /// Replaces the remaining actions by a chunk (`[Ta][Da]`) computed elsewhere. Skips `age`
    /// actions, one per tick since the newest observation of its window, with that observation's
    /// tick.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if it is not `Ta` actions long, [`Error::NonFiniteAction`] if a value
    /// is NaN or infinite; the episode is unchanged then.
    pub fn deliver(&mut self, chunk: &[f64], age: usize) -> Result<(), Error> {
        check_len("chunk", self.shape.chunk_len(), chunk.len())?;
        check_actions(chunk)?;
        let dim = self.shape.action_dim;
        if let Some(queue) = self.actions.get_mut(dim..dim + chunk.len()) {
            copy(chunk, queue);
        }
        self.end = 1 + self.shape.n_action_steps;
        self.next = age.saturating_add(1).min(self.end);
        Ok(())
    }

    /// Planned actions not yet executed, next first.
    pub fn planned(&self) -> impl Iterator<Item = &[f64]> {
        (self.next..self.end).map(|row| self.row(row))
    }

    /// The last action; `None` before the first.
    pub fn last_action(&self) -> Option<&[f64]> {
        self.has_acted.then(|| self.row(0))
    }

    /// Action (`[Da]`) of this control tick: the next planned one, else the last one, else `hold`.
    pub fn next_action(&mut self, hold: &[f64]) -> &[f64] {
        let dim = self.shape.action_dim;
        let (last, queue) = self.actions.split_at_mut(dim.min(CHUNK));
        if self.next < self.end {
            let start = (self.next - 1) * dim;
            if let Some(planned) = queue.get(start..start + dim) {
                copy(planned, last);
            }
            self.next += 1;
        } else if !self.has_acted {
            copy(hold, last);
        }
        self.has_acted = true;
        last
    }

    /// Discards the queue; the last action becomes the one that `planner` holds. Returns it, or
    /// `None` before the first observation. A held action that is not finite is none: the episode
    /// has no last action then.
    pub fn hold(&mut self, planner: &(impl Planner + ?Sized)) -> Option<&[f64]> {
        if !self.has_observed {
            return None;
        }
        (self.next, self.end) = (1, 1);
        let window = self
            .window
            .get(..self.shape.window_len())
            .unwrap_or_default();
        let newest = window.rchunks(self.shape.obs_dim.max(1)).next();
        let dim = self.shape.action_dim;
        let last = self.actions.get_mut(..dim).unwrap_or_default();
        planner.hold(newest.unwrap_or_default(), last);
        self.has_acted = check_actions(last).is_ok();
        self.has_acted.then_some(last)
    }

    /// Records this control tick's observation and returns its action; plans if none is left.
    ///
    /// # Errors
    /// As [`observe`](Self::observe), with the episode unchanged, and as [`Planner::plan`].
    pub fn act(
        &mut self,
        planner: &mut (impl Planner + ?Sized),
        observation: &[f64],
    ) -> Result<&[f64], Error> {
        self.observe(observation)?;
        if self.needs_plan() {
            self.plan(planner)?;
        }
        Ok(self.next_action(&[]))
    }

    fn row(&self, row: usize) -> &[f64] {
        let dim = self.shape.action_dim;
        self.actions
            .get(row * dim..(row + 1) * dim)
            .unwrap_or_default()
    }
}

/// Copies the common length of both slices: `copy_from_slice` without its panic.
pub(super) fn copy(values: &[f64], to: &mut [f64]) {
    debug_assert!(values.len() == to.len());
    for (place, value) in to.iter_mut().zip(values) {
        *place = *value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::planner::MAX_OBSERVED;
    use crate::noise::Noise;

    extern crate std;
    use std::vec::Vec;

    /// Windows of two 1-dimensional observations, chunks of three 2-dimensional actions.
    const SHAPE: PlanShape = PlanShape {
        n_obs_steps: 2,
        obs_dim: 1,
        n_action_steps: 3,
        action_dim: 2,
    };
    type Horizon = RecedingHorizon<2, 8>;

    fn horizon(seed: u64) -> Horizon {
        Horizon::new(SHAPE, seed).unwrap()
    }

    /// Plans pairs of the oldest and newest observation in its window.
    struct Echo {
        plans: usize,
    }

    impl Planner for Echo {
        fn shape(&self) -> PlanShape {
            SHAPE
        }

        fn plan(
            &mut self,
            window: &[f64],
            _: &mut dyn Noise,
            chunk: &mut [f64],
        ) -> Result<(), Error> {
            self.plans += 1;
            for (step, action) in chunk.chunks_mut(2).enumerate() {
                action.copy_from_slice(&[window[0], window[1] + step as f64 / 8.0]);
            }
            Ok(())
        }
    }

    /// One control tick without a planner; the action before the first plan is [7, 7].
    fn tick(episode: &mut Horizon, observation: f64) -> Vec<f64> {
        episode.observe(&[observation]).unwrap();
        episode.next_action(&[7.0, 7.0]).to_vec()
    }

    #[test]
    fn a_chunk_is_executed_before_the_next_plan() {
        let mut planner = Echo { plans: 0 };
        let mut episode = horizon(0);
        let actions: Vec<Vec<f64>> = (0..4)
            .map(|t| {
                let action = episode.act(&mut planner, &[f64::from(t)]);
                action.unwrap().to_vec()
            })
            .collect();
        // The first window repeats the first observation; the second plan sees 2 and 3.
        assert_eq!(actions, [[0.0, 0.0], [0.0, 0.125], [0.0, 0.25], [2.0, 3.0]]);
        assert_eq!(planner.plans, 2);
    }

    #[test]
    fn a_refused_observation_leaves_the_episode_unharmed() {
        let mut planner = Echo { plans: 0 };
        let mut episode = horizon(0);
        episode.act(&mut planner, &[1.0]).unwrap();
        let error = episode.act(&mut planner, &[f64::NAN]);
        assert_eq!(error, Err(Error::NonFiniteObservation));
        for far in [MAX_OBSERVED.next_up(), -1e308] {
            let error = episode.act(&mut planner, &[far]);
            assert_eq!(error, Err(Error::ObservationTooLarge));
        }
        let error = episode.act(&mut planner, &[1.0, 2.0]);
        assert!(matches!(error, Err(Error::WrongLength { .. })));
        assert_eq!(episode.act(&mut planner, &[2.0]), Ok(&[1.0, 1.125][..]));
    }

    const CHUNK: [f64; 6] = [1.0, 0.0, 2.0, 0.0, 3.0, 0.0];

    #[test]
    fn the_hold_lasts_until_the_first_plan_and_the_last_action_after_its_end() {
        let mut episode = horizon(0);
        assert_eq!(tick(&mut episode, 7.0), [7.0, 7.0]);
        // The held action is the last one, not the caller's.
        assert_eq!(episode.next_action(&[8.0, 8.0]), [7.0, 7.0]);
        episode.deliver(&CHUNK, 0).unwrap();
        let actions: Vec<_> = (0..5).map(|_| tick(&mut episode, 9.0)).collect();
        let expected = [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [3.0, 0.0], [3.0, 0.0]];
        assert_eq!(actions, expected);
        assert_eq!(episode.last_action(), Some(&[3.0, 0.0][..]));
    }

    #[test]
    fn what_is_planned_is_what_will_be_executed() {
        let mut episode = horizon(0);
        assert_eq!(episode.planned().count(), 0);
        episode.deliver(&CHUNK, 0).unwrap();
        for first in 0..3 {
            let planned: Vec<_> = episode.planned().collect();
            assert_eq!(planned, CHUNK.chunks(2).skip(first).collect::<Vec<_>>());
            tick(&mut episode, 0.0);
        }
        assert_eq!(episode.planned().count(), 0);
    }

    #[test]
    fn a_late_plan_loses_the_actions_that_are_past() {
        let mut episode = horizon(0);
        episode.deliver(&CHUNK, usize::MAX).unwrap();
        assert!(episode.needs_plan());
        for (age, expected) in [(1, [2.0, 0.0]), (2, [3.0, 0.0]), (3, [7.0, 7.0])] {
            let mut episode = horizon(0);
            for _ in 0..age {
                assert_eq!(tick(&mut episode, 0.0), [7.0, 7.0]);
            }
            episode.deliver(&CHUNK, age).unwrap();
            assert_eq!(tick(&mut episode, 0.0), expected, "{age} ticks late");
        }
    }

    #[test]
    fn a_plan_replaces_what_is_left_of_the_one_before() {
        let mut episode = horizon(0);
        episode.deliver(&CHUNK, 0).unwrap();
        tick(&mut episode, 0.0);
        episode.deliver(&[5.0; 6], 2).unwrap();
        assert_eq!(episode.planned().count(), 1);
        assert_eq!(tick(&mut episode, 0.0), [5.0, 5.0]);
        assert!(episode.deliver(&[0.0; 7], 0).is_err());
    }

    /// Plans and holds actions with one value that is not finite.
    struct Broken(f64);

    impl Planner for Broken {
        fn shape(&self) -> PlanShape {
            SHAPE
        }

        fn plan(&mut self, _: &[f64], _: &mut dyn Noise, chunk: &mut [f64]) -> Result<(), Error> {
            chunk.fill(1.0);
            chunk[5] = self.0;
            Ok(())
        }

        fn hold(&self, _: &[f64], action: &mut [f64]) {
            action[1] = self.0;
        }
    }

    #[test]
    fn an_action_that_is_not_finite_is_an_error_wherever_it_comes_from() {
        for bad in [f64::NAN, f64::INFINITY, -f64::INFINITY] {
            let mut episode = horizon(0);
            let error = episode.act(&mut Broken(bad), &[1.0]);
            assert_eq!(error, Err(Error::NonFiniteAction));
            assert!(episode.needs_plan() && episode.last_action().is_none());
            episode.deliver(&CHUNK, 0).unwrap();
            let mut chunk = CHUNK;
            chunk[2] = bad;
            assert_eq!(episode.deliver(&chunk, 1), Err(Error::NonFiniteAction));
            assert_eq!(tick(&mut episode, 0.0), [1.0, 0.0]);
            assert_eq!(episode.hold(&Broken(bad)), None);
            assert_eq!(episode.last_action(), None);
            assert_eq!(episode.next_action(&[7.0, 7.0]), [7.0, 7.0]);
        }
    }

    #[test]
    fn a_reset_episode_is_a_new_one() {
        let mut planner = Echo { plans: 0 };
        let mut episode = horizon(3);
        episode.act(&mut planner, &[1.0]).unwrap();
        episode.reset(4);
        assert!(episode.needs_plan() && episode.last_action().is_none());
        // The window no longer contains the first observation.
        assert_eq!(episode.act(&mut planner, &[5.0]), Ok(&[5.0, 5.0][..]));
        let (mut reset, mut new) = (episode.noise, horizon(4).noise);
        assert_eq!(reset.next_gaussian(), new.next_gaussian());
    }

    #[test]
    fn rows_without_room_are_refused_when_the_episode_is_made() {
        assert!(RecedingHorizon::<1, 8>::new(SHAPE, 0).is_err());
        assert!(RecedingHorizon::<2, 7>::new(SHAPE, 0).is_err());
        // Products that wrap are not small.
        let half = usize::MAX / 2 + 1;
        for shape in [
            PlanShape {
                n_obs_steps: half,
                obs_dim: 2,
                ..SHAPE
            },
            PlanShape {
                n_action_steps: half - 1,
                ..SHAPE
            },
            PlanShape {
                n_action_steps: usize::MAX,
                ..SHAPE
            },
        ] {
            assert!(Horizon::new(shape, 0).is_err(), "{shape:?}");
        }
    }
}
