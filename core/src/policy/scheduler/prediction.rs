//! From the network's output to the clean sample that it implies.

use super::{PredictionType, SchedulerConfig};

/// sqrt(abar_t) and sqrt(1 - abar_t): how much of the sample is signal, and how much noise.
#[derive(Clone, Copy)]
pub(super) struct Mixture {
    pub signal: f32,
    pub spread: f32,
}

impl Mixture {
    pub fn new(alpha_prod: f32) -> Self {
        Self {
            signal: libm::sqrtf(alpha_prod),
            spread: libm::sqrtf(1.0 - alpha_prod),
        }
    }

    /// x_0 of one value, before clipping (arXiv 2006.11239, eq. 15; arXiv 2202.00512, section 4).
    pub fn original(self, kind: PredictionType, output: f32, sample: f32) -> f32 {
        match kind {
            PredictionType::Epsilon => (sample - self.spread * output) / self.signal,
            PredictionType::Sample => output,
            PredictionType::VPrediction => self.signal * sample - self.spread * output,
        }
    }

    /// The noise that takes `original` to `sample`.
    pub fn noise(self, original: f32, sample: f32) -> f32 {
        (sample - self.signal * original) / self.spread
    }
}

/// Predicts x_0 from a whole output, clipped or thresholded, into `original`; `room` is
/// overwritten.
pub(super) fn predict_original(
    config: &SchedulerConfig<'_>,
    mixture: Mixture,
    (output, sample): (&[f32], &[f32]),
    original: &mut [f32],
    room: &mut [f32],
) {
    for ((original, output), sample) in original.iter_mut().zip(output).zip(sample) {
        *original = mixture.original(config.prediction_type, *output, *sample);
    }
    if config.thresholding {
        threshold(config, original, room);
    } else if config.clip_sample {
        let range = config.clip_sample_range;
        for value in original {
            *value = value.clamp(-range, range);
        }
    }
}

/// Dynamic thresholding (arXiv 2205.11487): clips to a quantile s >= 1 of the magnitudes and
/// divides by it.
fn threshold(config: &SchedulerConfig<'_>, values: &mut [f32], room: &mut [f32]) {
    for (room, value) in room.iter_mut().zip(values.iter()) {
        *room = libm::fabsf(*value);
    }
    room.sort_unstable_by(f32::total_cmp);
    let quantile = quantile(room, config.dynamic_thresholding_ratio);
    // Like torch.clamp: the upper bound wins where it is below 1.
    let limit = quantile.max(1.0).min(config.sample_max_value);
    for value in values {
        // Unlike `max` and `min`, this keeps a NaN.
        *value = value.clamp(-limit, limit) / limit;
    }
}

/// The `ratio` quantile of sorted values, linear between neighbours.
fn quantile(sorted: &[f32], ratio: f32) -> f32 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let rank = (ratio * last as f32).clamp(0.0, last as f32);
    let below = rank as usize;
    let above = (below + 1).min(last);
    let weight = rank - below as f32;
    sorted[below] + weight * (sorted[above] - sorted[below])
}
