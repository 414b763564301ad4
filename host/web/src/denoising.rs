//! How noise becomes a path: the sample before every pass of a plan.

use pusht_core::noise::{I8F24, NoiseSource};
use pusht_core::quant::{IntPolicy, Layer, LayerKind, Model, ModelError, Observer};

/// What a plan was computed from.
#[derive(Clone, Debug)]
pub(crate) struct PlanInputs {
    /// `[To][Do]`
    pub(crate) window: Vec<f64>,
    pub(crate) noise: NoiseSource,
}

/// Receives the sample (`[Tp]`, x and y) at the begin of every pass, normalised.
struct Samples {
    paths: Vec<Vec<[f64; 2]>>,
    is_sample_next: bool,
    trajectory_dim: usize,
    n_positions: usize,
}

impl Observer for Samples {
    fn observe(&mut self, values: &[i16], n_channels: usize, exponent: u32) {
        if !std::mem::take(&mut self.is_sample_next) {
            return;
        }
        debug_assert!(n_channels >= self.trajectory_dim);
        let scale = f64::from(1_u32 << exponent);
        let position = |row: &[i16]| match row {
            [x, y, ..] => [f64::from(*x) / scale, f64::from(*y) / scale],
            _ => [0.0; 2],
        };
        let rows = values.chunks_exact(n_channels.max(1));
        self.paths
            .push(rows.take(self.n_positions).map(position).collect());
    }

    fn product_ends(&mut self, layer: Layer) {
        self.is_sample_next |= layer.kind == LayerKind::Output;
    }
}

/// Paths (px) of a plan: the sample before each pass, then the plan itself, each from the first
/// executed action to the last planned one. The plan is that of [`IntPolicy`], to the bit.
pub(crate) fn denoising(
    model: &Model<'_>,
    inputs: &PlanInputs,
) -> Result<Vec<Vec<[f64; 2]>>, ModelError> {
    let mut whole = model.clone();
    whole.set_n_action_steps(model.most_action_steps())?;
    let shape = whole.shape();
    let window: Vec<i32> = (inputs.window.iter().enumerate())
        .map(|(at, value)| whole.observation_value(at % shape.obs_dim).to_fixed(*value))
        .collect();
    let mut samples = Samples {
        paths: Vec::new(),
        is_sample_next: true,
        trajectory_dim: whole.trajectory_dim(),
        n_positions: whole.horizon(),
    };
    let mut chunk = vec![0; shape.chunk_len()];
    let mut scratch = vec![0; whole.scratch_len()];
    let mut noise = inputs.noise.clone();
    let mut policy = IntPolicy::new(&whole, &mut scratch)?;
    let planned = policy.plan_observed(&window, &mut noise, &mut chunk, &mut samples);
    debug_assert!(planned.is_ok(), "{planned:?}");
    let values = [0, 1].map(|column| whole.action_value(column));
    let newest = shape.window_len() - shape.obs_dim;
    let in_px = |normalized: [f64; 2]| {
        [0, 1].map(|column| {
            let value = &values[column];
            let origin = value.relative_to.and_then(|from| window.get(newest + from));
            let normalized = I8F24::saturating_from_num(normalized[column]);
            value.to_f64(value.unnormalize(normalized, origin.copied().unwrap_or_default()))
        })
    };
    let mut paths: Vec<Vec<[f64; 2]>> = (samples.paths.into_iter())
        .map(|path| {
            path.into_iter()
                .skip(whole.first_action())
                .map(in_px)
                .collect()
        })
        .collect();
    let actions = chunk.chunks_exact(2);
    paths.push(
        actions
            .map(|action| [values[0].to_f64(action[0]), values[1].to_f64(action[1])])
            .collect(),
    );
    Ok(paths)
}
