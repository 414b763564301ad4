//! Training samples: windows of an episode, padded by its first and last step, normalised
//! (diffusion_policy's `SequenceSampler` and `LinearNormalizer`).

use super::normalizer::{Normalizer, Normalizers};
use super::random::{self, Purpose};
use crate::data::{ACTION_DIM, Demonstrations, Episode};
use crate::policy_file::{ActionFrame, Observation};
use anyhow::{Context, Result, ensure};
use pusht_core::pusht::observation::{ObservationKind, observe};
use rand::seq::SliceRandom;
use std::ops::Range;

/// Which windows are cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowOptions {
    /// What the policy sees.
    pub observation: Observation,
    /// `To`: observations at the start of a window.
    pub n_obs_steps: usize,
    /// `Tp`: actions in it.
    pub horizon: usize,
    /// `Ta`: actions that are executed, so that its last `Ta - 1` may lie behind the episode.
    pub n_action_steps: usize,
    /// From where actions are counted.
    pub action_frame: ActionFrame,
    /// Poses of every episode that become its goal; 0: as recorded.
    pub n_relabelled_goals: usize,
    /// Whether the mirror image of every episode counts, too.
    pub mirror: bool,
    /// Episodes held out.
    pub validation_episodes: usize,
    /// Draws them.
    pub seed: u64,
}

/// One window: where its first step is in which episode, before 0 in the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    episode: usize,
    start: isize,
}

/// An episode as windows are read from it.
struct PreparedEpisode {
    /// (T, obs) row-major.
    observations: Vec<f64>,
    /// T positions to go to, px.
    actions: Vec<[f64; ACTION_DIM]>,
    /// T positions that actions are counted from when this row is the newest that is observed, px.
    origins: Vec<[f64; ACTION_DIM]>,
}

/// All windows of some sets of demonstrations, split by episode.
pub struct Windows {
    options: WindowOptions,
    episodes: Vec<PreparedEpisode>,
    /// The sets' windows, one set after the other.
    train: Vec<Window>,
    sets: Vec<Range<usize>>,
    validation: Vec<Window>,
    normalizers: Normalizers,
}

/// Which windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Those that the weights are fitted to.
    Train,
    /// Those of the episodes held out.
    Validation,
}

/// Samples side by side, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// (B, Tp, A), normalised.
    pub actions: Vec<f32>,
    /// (B, To * obs), normalised.
    pub global_cond: Vec<f32>,
}

impl Windows {
    /// Cuts the episodes of every set, and their mirror images, into windows; some episodes, drawn from all sets, are
    /// held out together with their images. The normalisers are fitted to all windows unless they are `given`.
    ///
    /// # Errors
    /// If a set has no window to train on, or a state is not finite.
    pub fn new(
        sets: &[Demonstrations],
        options: WindowOptions,
        given: Option<Normalizers>,
    ) -> Result<Self> {
        let n_episodes: usize = sets.iter().map(|set| set.episodes.len()).sum();
        let n_held_out = options.validation_episodes;
        ensure!(
            n_held_out < n_episodes,
            "{n_held_out} of {n_episodes} episodes held out leave none to train on"
        );
        let mut order: Vec<usize> = (0..n_episodes).collect();
        order.shuffle(&mut random::stream(options.seed, Purpose::Split, 0));
        let mut is_held_out = vec![false; n_episodes];
        order[..n_held_out]
            .iter()
            .for_each(|&i| is_held_out[i] = true);

        let mut episodes = Vec::new();
        let (mut train, mut validation, mut ranges) = (Vec::new(), Vec::new(), Vec::new());
        let mut first_of_set = 0;
        for (number, set) in sets.iter().enumerate() {
            let begin = train.len();
            let mut shown =
                shown(set, &options).with_context(|| format!("data set {}", number + 1))?;
            if options.mirror {
                let images = shown.iter().map(|(of, episode)| (*of, episode.mirrored()));
                shown.extend(images.collect::<Vec<_>>());
            }
            for (of, episode) in shown {
                let split = match is_held_out[first_of_set + of] {
                    true => &mut validation,
                    false => &mut train,
                };
                split.extend(windows_of(episodes.len(), &episode, &options));
                episodes.push(PreparedEpisode::new(&episode, &options)?);
            }
            ensure!(
                train.len() > begin,
                "data set {}: no episode is long enough for a window of {} actions: the longest \
                 has {} steps",
                number + 1,
                options.horizon,
                longest(set)
            );
            ranges.push(begin..train.len());
            first_of_set += set.episodes.len();
        }
        let mut windows = Self {
            options,
            episodes,
            train,
            sets: ranges,
            validation,
            normalizers: given.clone().unwrap_or_default(),
        };
        if given.is_none() {
            windows.normalizers = windows.fit();
        }
        Ok(windows)
    }

    /// Number of windows of a split.
    pub fn len(&self, split: Split) -> usize {
        self.of(split).len()
    }

    /// Which windows to train on are those of each set.
    pub fn sets(&self) -> &[Range<usize>] {
        &self.sets
    }

    /// What maps observations and actions to [-1, 1].
    pub fn normalizers(&self) -> &Normalizers {
        &self.normalizers
    }

    /// The windows `indices` of `split`, side by side.
    pub fn batch(&self, split: Split, indices: impl Iterator<Item = usize>) -> Batch {
        let mut batch = Batch {
            actions: Vec::new(),
            global_cond: Vec::new(),
        };
        let Normalizers { obs, action } = &self.normalizers;
        for window in indices.map(|index| self.of(split)[index]) {
            let (episode, dim) = (&self.episodes[window.episode], self.obs_dim());
            for step in 0..self.options.n_obs_steps {
                let row = &episode.observations[episode.row(window.start, step) * dim..][..dim];
                batch.global_cond.extend(obs.apply(row));
            }
            for row in episode.actions(window.start, &self.options) {
                batch.actions.extend(action.apply(&row));
            }
        }
        batch
    }

    /// The normalisers whose range is that of all rows, and of all actions that could be counted from them.
    fn fit(&self) -> Normalizers {
        let episodes = || self.episodes.iter();
        let observations = episodes().flat_map(|e| e.observations.chunks_exact(self.obs_dim()));
        let before = self.options.n_obs_steps as isize - 1;
        let actions = episodes().flat_map(|episode| {
            let starts = (0..episode.actions.len() as isize).map(move |row| row - before);
            starts.flat_map(move |start| episode.actions(start, &self.options))
        });
        Normalizers {
            obs: Normalizer::fit(observations, self.obs_dim()),
            action: Normalizer::fit(actions, ACTION_DIM),
        }
    }

    fn obs_dim(&self) -> usize {
        ObservationKind::from(self.options.observation).dim()
    }

    fn of(&self, split: Split) -> &[Window] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
        }
    }
}

/// The episodes of a set as the policy shall see them, each with the number of the recorded one.
fn shown(set: &Demonstrations, options: &WindowOptions) -> Result<Vec<(usize, Episode)>> {
    let mut shown = Vec::new();
    for (of, episode) in set.episodes.iter().enumerate() {
        let copies = match options.n_relabelled_goals {
            0 => vec![episode.clone()],
            n_goals => (episode.relabelled(n_goals)).with_context(|| format!("episode {of}"))?,
        };
        shown.extend(copies.into_iter().map(|copy| (of, copy)));
    }
    Ok(shown)
}

/// Steps of the longest episode.
fn longest(set: &Demonstrations) -> usize {
    let lengths = set.episodes.iter().map(|episode| episode.states.len());
    lengths.max().unwrap_or_default()
}

impl PreparedEpisode {
    fn new(episode: &Episode, options: &WindowOptions) -> Result<Self> {
        let kind = ObservationKind::from(options.observation);
        let mut observations = vec![0.0; kind.dim() * episode.states.len()];
        for (state, row) in (episode.states.iter()).zip(observations.chunks_exact_mut(kind.dim())) {
            observe(kind, state, row).map_err(|error| anyhow::anyhow!("{error}"))?;
        }
        let origin = |[agent_x, agent_y, ..]: &[f64; 5]| match options.action_frame {
            ActionFrame::Window => [0.0; ACTION_DIM],
            ActionFrame::Agent => [*agent_x, *agent_y],
        };
        Ok(Self {
            observations,
            actions: episode.actions.clone(),
            origins: episode.states.iter().map(origin).collect(),
        })
    }

    /// The row that step `step` of the window from row `start` shows.
    fn row(&self, start: isize, step: usize) -> usize {
        let last = self.actions.len() as isize - 1;
        (start + step as isize).clamp(0, last) as usize
    }

    /// The actions of the window from row `start`, px.
    fn actions(
        &self,
        start: isize,
        options: &WindowOptions,
    ) -> impl Iterator<Item = [f64; ACTION_DIM]> {
        let [origin_x, origin_y] = self.origins[self.row(start, options.n_obs_steps - 1)];
        (0..options.horizon).map(move |step| {
            let [x, y] = self.actions[self.row(start, step)];
            [x - origin_x, y - origin_y]
        })
    }
}

/// The windows of episode number `index`: the first starts `To - 1` steps before it, or at its first step if it
/// continues a motion; the last ends `Ta - 1` steps behind it, or at its last step if it is cut off.
fn windows_of(
    index: usize,
    episode: &Episode,
    options: &WindowOptions,
) -> impl Iterator<Item = Window> + use<> {
    let first = match episode.continues {
        true => 0,
        false => 1 - options.n_obs_steps as isize,
    };
    let behind = match episode.cut_off {
        true => 0,
        false => options.n_action_steps as isize - 1,
    };
    let last = episode.states.len() as isize - options.horizon as isize + behind;
    (first..=last).map(move |start| Window {
        episode: index,
        start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pusht_core::pusht::env::{GOAL_ANGLE_RAD, GOAL_PX};

    #[test]
    fn relabelled_copies_of_an_episode_and_their_images_are_held_out_together() {
        // The block comes nearest in row 19 and leaves then: copies end there and 8 ticks before.
        let state = |row: usize| {
            let off = match row {
                0..19 => 9.0,
                19 => 8.0,
                _ => 300.0,
            };
            [150.0, 200.0, GOAL_PX.x, GOAL_PX.y + off, GOAL_ANGLE_RAD]
        };
        let episode = Episode {
            states: (0..24).map(state).collect(),
            actions: vec![[150.0, 200.0]; 24],
            ..Episode::default()
        };
        let mut set = Demonstrations {
            episodes: vec![episode; 3],
        };
        let options = WindowOptions {
            observation: Observation::State,
            n_obs_steps: 2,
            horizon: 8,
            n_action_steps: 8,
            action_frame: ActionFrame::Window,
            n_relabelled_goals: 2,
            mirror: true,
            validation_episodes: 1,
            seed: 1,
        };
        let windows = Windows::new(std::slice::from_ref(&set), options, None).unwrap();
        // Windows begin 1 step before an episode and end 7 behind it.
        let of_an_episode = 2 * ((20 - 8 + 1 + 8) + (12 - 8 + 1 + 8));
        assert_eq!(windows.len(Split::Validation), of_an_episode);
        assert_eq!(windows.len(Split::Train), 2 * of_an_episode);

        for state in &mut set.episodes[1].states {
            state[2] = 0.0;
        }
        let refused = Windows::new(&[set], options, None).err().unwrap();
        let message = format!("{refused:#}");
        let expected = "data set 1: episode 1: its highest coverage is 0.000";
        assert!(message.starts_with(expected), "{message}");
    }
}
