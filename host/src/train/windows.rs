//! Training samples: windows of an episode, padded by its first and last step, normalised
//! (diffusion_policy's `SequenceSampler` and `LinearNormalizer`).

use super::random::{self, Purpose};
use crate::data::{ACTION_DIM, Demonstrations, Episode};
use crate::policy_file::{Tensor, Tensors};
use anyhow::{Result, ensure};
use pusht_core::observation::{ObservationKind, observe};
use rand::seq::SliceRandom;

/// Features whose values spread less than this are shifted, but not stretched.
const MIN_RANGE: f64 = 1e-4;

/// Maps each feature's range to [-1, 1]: `normalised = raw * scale + offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalizer {
    /// Factor of each feature.
    pub scale: Vec<f32>,
    /// Offset of each feature, after the factor.
    pub offset: Vec<f32>,
}

impl Normalizer {
    /// Fits the range of every column of `rows` (all of length `dim`).
    pub fn fit<'a>(rows: impl Iterator<Item = &'a [f64]>, dim: usize) -> Self {
        let mut lowest = vec![f64::INFINITY; dim];
        let mut highest = vec![f64::NEG_INFINITY; dim];
        for row in rows {
            for column in 0..dim {
                lowest[column] = lowest[column].min(row[column]);
                highest[column] = highest[column].max(row[column]);
            }
        }
        let scale = |column: usize| match highest[column] - lowest[column] {
            range if range < MIN_RANGE => 1.0,
            range => 2.0 / range,
        };
        let middle = |column: usize| (lowest[column] + highest[column]) / 2.0;
        Self {
            scale: (0..dim).map(|c| scale(c) as f32).collect(),
            offset: (0..dim).map(|c| (-middle(c) * scale(c)) as f32).collect(),
        }
    }

    /// Normalises one row.
    pub fn apply<'a>(&'a self, row: &'a [f64]) -> impl Iterator<Item = f32> + 'a {
        let columns = row.iter().zip(&self.scale).zip(&self.offset);
        columns.map(|((value, scale), offset)| *value as f32 * scale + offset)
    }

    /// Adds the tensors `normalizer.params_dict.<field>.{scale,offset}`.
    pub fn store(&self, field: &str, tensors: &mut Tensors) {
        for (name, values) in [("scale", &self.scale), ("offset", &self.offset)] {
            let tensor = Tensor {
                shape: vec![values.len()],
                data: values.clone(),
            };
            tensors.insert(format!("normalizer.params_dict.{field}.{name}"), tensor);
        }
    }
}

/// The shape of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowShape {
    /// `To`: observations at its start.
    pub n_obs_steps: usize,
    /// `Tp`: actions in it.
    pub horizon: usize,
    /// `Ta`: actions that are executed, so that its last `Ta - 1` may lie behind the episode.
    pub n_action_steps: usize,
}

/// One window: where its first step is in which episode, before 0 in the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    episode: usize,
    start: isize,
}

/// An episode as the network sees it.
struct NormalizedEpisode {
    /// (T, obs) row-major.
    observations: Vec<f32>,
    /// (T, A) row-major.
    actions: Vec<f32>,
    n_steps: usize,
}

/// All windows of a set of demonstrations, split by episode.
pub struct Windows {
    shape: WindowShape,
    obs_dim: usize,
    episodes: Vec<NormalizedEpisode>,
    train: Vec<Window>,
    validation: Vec<Window>,
    /// Fitted to the observations of all episodes.
    pub obs_normalizer: Normalizer,
    /// Fitted to the actions of all episodes.
    pub action_normalizer: Normalizer,
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
    /// Cuts the episodes, and their mirror images if `mirror`, into windows; `n_validation` episodes, drawn with `seed`,
    /// are held out together with their images.
    ///
    /// # Errors
    /// If no episode is left to train on, or a state is not finite.
    pub fn new(
        demonstrations: &Demonstrations,
        kind: ObservationKind,
        shape: WindowShape,
        mirror: bool,
        n_validation: usize,
        seed: u64,
    ) -> Result<Self> {
        let n_episodes = demonstrations.episodes.len();
        ensure!(
            n_validation < n_episodes,
            "{n_validation} of {n_episodes} episodes held out leave none to train on"
        );
        let mut episodes = demonstrations.episodes.clone();
        if mirror {
            episodes.extend(demonstrations.episodes.iter().map(Episode::mirrored));
        }
        let observations = (episodes.iter())
            .map(|episode| observe_all(kind, episode))
            .collect::<Result<Vec<_>>>()?;
        let obs_rows = observations.iter().flat_map(|o| o.chunks_exact(kind.dim()));
        let obs_normalizer = Normalizer::fit(obs_rows, kind.dim());
        let action_rows = episodes.iter().flat_map(|e| e.actions.iter());
        let action_normalizer = Normalizer::fit(action_rows.map(|a| a.as_slice()), ACTION_DIM);

        let mut order: Vec<usize> = (0..n_episodes).collect();
        order.shuffle(&mut random::stream(seed, Purpose::Split, 0));
        let held_out = &order[..n_validation];
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        for (index, episode) in episodes.iter().enumerate() {
            let split = match held_out.contains(&(index % n_episodes)) {
                true => &mut validation,
                false => &mut train,
            };
            split.extend(windows_of(index, episode, shape));
        }
        ensure!(!train.is_empty(), "no episode is long enough for a window");
        let episodes = (episodes.iter().zip(&observations))
            .map(|(episode, observations)| NormalizedEpisode {
                observations: (observations.chunks_exact(kind.dim()))
                    .flat_map(|row| obs_normalizer.apply(row))
                    .collect(),
                actions: (episode.actions.iter())
                    .flat_map(|row| action_normalizer.apply(row))
                    .collect(),
                n_steps: episode.states.len(),
            })
            .collect();
        Ok(Self {
            shape,
            obs_dim: kind.dim(),
            episodes,
            train,
            validation,
            obs_normalizer,
            action_normalizer,
        })
    }

    /// Number of windows of a split.
    pub fn len(&self, split: Split) -> usize {
        self.of(split).len()
    }

    /// The windows `indices` of `split`, side by side.
    pub fn batch(&self, split: Split, indices: impl Iterator<Item = usize>) -> Batch {
        let mut batch = Batch {
            actions: Vec::new(),
            global_cond: Vec::new(),
        };
        for index in indices {
            let Window { episode, start } = self.of(split)[index];
            let episode = &self.episodes[episode];
            let last = episode.n_steps as isize - 1;
            let row = |step: usize| (start + step as isize).clamp(0, last) as usize;
            for step in 0..self.shape.n_obs_steps {
                let values = &episode.observations[row(step) * self.obs_dim..][..self.obs_dim];
                batch.global_cond.extend_from_slice(values);
            }
            for step in 0..self.shape.horizon {
                let values = &episode.actions[row(step) * ACTION_DIM..][..ACTION_DIM];
                batch.actions.extend_from_slice(values);
            }
        }
        batch
    }

    fn of(&self, split: Split) -> &[Window] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
        }
    }
}

/// The windows of episode number `index`: the first starts `To - 1` steps before it, or at its first step if it
/// continues a motion; the last ends `Ta - 1` steps behind it.
fn windows_of(
    index: usize,
    episode: &Episode,
    shape: WindowShape,
) -> impl Iterator<Item = Window> + use<> {
    let first = match episode.continues {
        true => 0,
        false => 1 - shape.n_obs_steps as isize,
    };
    let behind = shape.n_action_steps as isize - 1;
    let last = episode.states.len() as isize - shape.horizon as isize + behind;
    (first..=last).map(move |start| Window {
        episode: index,
        start,
    })
}

/// The observation of every step of an episode, row-major.
fn observe_all(kind: ObservationKind, episode: &Episode) -> Result<Vec<f64>> {
    let mut rows = vec![0.0; kind.dim() * episode.states.len()];
    for (state, row) in episode.states.iter().zip(rows.chunks_exact_mut(kind.dim())) {
        observe(kind, state, row).map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    Ok(rows)
}

/// Which training window is sample number `n` of a run: each epoch visits every window once, in an order of
/// its own.
pub struct Order {
    seed: u64,
    epoch: u64,
    indices: Vec<usize>,
}

impl Order {
    /// The order of a run over `n_windows`.
    pub fn new(seed: u64, n_windows: usize) -> Self {
        let mut order = Self {
            seed,
            epoch: 0,
            indices: (0..n_windows).collect(),
        };
        order.shuffle(0);
        order
    }

    /// The window of sample `n`.
    pub fn window(&mut self, n: u64) -> usize {
        let n_windows = self.indices.len() as u64;
        let epoch = n / n_windows;
        if epoch != self.epoch {
            self.shuffle(epoch);
        }
        self.indices[(n % n_windows) as usize]
    }

    fn shuffle(&mut self, epoch: u64) {
        let n_windows = self.indices.len();
        self.indices.clear();
        self.indices.extend(0..n_windows);
        let mut rng = random::stream(self.seed, Purpose::Order, epoch);
        self.indices.shuffle(&mut rng);
        self.epoch = epoch;
    }
}
