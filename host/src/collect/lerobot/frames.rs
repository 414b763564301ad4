//! Features of every control step.

use super::stats::Stats;
use super::table::{Field, Values};
use crate::data::Episode;
use crate::data::lerobot::feature;
use anyhow::Result;
use pusht_core::pusht::env::PushTParams;
use pusht_core::pusht::observation::{ObservationKind, observe};
use serde_json::{Value, json};
use std::ops::Range;

/// Control steps per second.
pub const FPS: u32 = 10;

/// An episode with its place in the dataset.
pub struct Frames<'e> {
    /// States and actions.
    pub episode: &'e Episode,
    /// Coverage after each action.
    pub next_coverage: &'e [[f64; 1]],
    /// Number of the episode.
    pub number: usize,
    /// Its rows among all frames.
    pub rows: Range<usize>,
}

/// Type of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dtype {
    F32,
    I64,
    Bool,
}

/// A feature of numbers.
pub struct Feature {
    /// Name of its column.
    pub name: &'static str,
    /// Values per row.
    pub dim: usize,
    dtype: Dtype,
    /// Names of the values.
    names: &'static [&'static str],
    /// Values of an episode, row by row.
    values: fn(&Frames<'_>) -> Result<Vec<f64>>,
}

/// All features of numbers, in the order of the columns.
pub const FEATURES: [Feature; 12] = [
    Feature {
        name: feature::OBS_STATE,
        dim: 2,
        dtype: Dtype::F32,
        names: &["agent_x", "agent_y"],
        values: |frames| Ok(frames.states().flat_map(|s| [s[0], s[1]]).collect()),
    },
    Feature {
        name: feature::ENV_STATE,
        dim: 16,
        dtype: Dtype::F32,
        names: &[
            "x0", "y0", "x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4", "x5", "y5", "x6", "y6",
            "x7", "y7",
        ],
        values: |frames| frames.corners(),
    },
    Feature {
        name: feature::ACTION,
        dim: 2,
        dtype: Dtype::F32,
        names: &["x", "y"],
        values: |frames| Ok(frames.episode.actions.iter().flatten().copied().collect()),
    },
    Feature {
        name: feature::STATE,
        dim: 5,
        dtype: Dtype::F32,
        names: &["agent_x", "agent_y", "block_x", "block_y", "block_angle"],
        values: |frames| Ok(frames.states().flatten().copied().collect()),
    },
    Feature {
        name: "next.reward",
        dim: 1,
        dtype: Dtype::F32,
        names: &[],
        values: |frames| Ok(frames.outcomes(|c, threshold| (c / threshold).clamp(0.0, 1.0))),
    },
    Feature {
        name: "next.done",
        dim: 1,
        dtype: Dtype::Bool,
        names: &[],
        values: |frames| Ok(frames.each(|step| f64::from(u8::from(step + 1 == frames.rows.len())))),
    },
    Feature {
        name: "next.success",
        dim: 1,
        dtype: Dtype::Bool,
        names: &[],
        values: |frames| Ok(frames.outcomes(|c, threshold| f64::from(u8::from(c > threshold)))),
    },
    Feature {
        name: "timestamp",
        dim: 1,
        dtype: Dtype::F32,
        names: &[],
        values: |frames| Ok(frames.each(|step| step as f64 / f64::from(FPS))),
    },
    Feature {
        name: "frame_index",
        dim: 1,
        dtype: Dtype::I64,
        names: &[],
        values: |frames| Ok(frames.each(|step| step as f64)),
    },
    Feature {
        name: "episode_index",
        dim: 1,
        dtype: Dtype::I64,
        names: &[],
        values: |frames| Ok(frames.each(|_| frames.number as f64)),
    },
    Feature {
        name: "index",
        dim: 1,
        dtype: Dtype::I64,
        names: &[],
        values: |frames| Ok(frames.each(|step| (frames.rows.start + step) as f64)),
    },
    Feature {
        name: "task_index",
        dim: 1,
        dtype: Dtype::I64,
        names: &[],
        values: |frames| Ok(frames.each(|_| 0.0)),
    },
];

impl Frames<'_> {
    fn states(&self) -> impl Iterator<Item = &[f64; 5]> {
        self.episode.states.iter()
    }

    fn corners(&self) -> Result<Vec<f64>> {
        let mut corners = Vec::with_capacity(16 * self.rows.len());
        for state in self.states() {
            let mut observed = [0.0; 18];
            observe(ObservationKind::Vertices, state, &mut observed)?;
            corners.extend(&observed[..16]);
        }
        Ok(corners)
    }

    /// A value of every step, from its number.
    fn each(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        (0..self.rows.len()).map(value).collect()
    }

    /// A value of every step, from the coverage after it and that of success.
    fn outcomes(&self, value: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let threshold = PushTParams::default().success_threshold;
        let values = self.next_coverage.iter();
        values
            .map(|[coverage]| value(*coverage, threshold))
            .collect()
    }
}

impl Feature {
    /// Values of an episode, row by row, in the precision of the file.
    ///
    /// # Errors
    /// If a state is not finite.
    pub fn values(&self, frames: &Frames<'_>) -> Result<Vec<f64>> {
        let mut values = (self.values)(frames)?;
        if self.dtype == Dtype::F32 {
            values.iter_mut().for_each(|v| *v = f64::from(*v as f32));
        }
        Ok(values)
    }

    /// Column of values, and their statistics.
    pub fn column(&self, values: &[f64]) -> (Field, Stats) {
        let stored = match self.dtype {
            Dtype::F32 => Values::F32(values.iter().map(|v| *v as f32).collect()),
            Dtype::I64 => Values::I64(values.iter().map(|v| *v as i64).collect()),
            Dtype::Bool => Values::Bool(values.iter().map(|v| *v != 0.0).collect()),
        };
        let field = match self.dim {
            1 => Field::scalar(self.name, stored),
            dim => Field::list(self.name, dim, stored),
        };
        (field, Stats::of(values, self.dim))
    }

    /// Entry of `meta/info.json`.
    pub fn to_json(&self) -> Value {
        let dtype = match self.dtype {
            Dtype::F32 => "float32",
            Dtype::I64 => "int64",
            Dtype::Bool => "bool",
        };
        let names = (!self.names.is_empty()).then_some(self.names);
        json!({ "dtype": dtype, "shape": [self.dim], "names": names })
    }
}
