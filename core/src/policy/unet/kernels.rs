//! The arithmetic, each kernel over contiguous rows of channels.
//!
//! No kernel fuses a multiplication with an addition, so the results are the same at every vector
//! width.

use super::shape::{RowBlock, Shape};

/// Columns of a weight panel: one to four vector registers on today's machines.
pub(super) const PANEL: usize = 16;

/// Rows of a product that share one read of a weight panel.
const TILE: usize = 2;

/// Epsilon of every GroupNorm (PyTorch's default).
pub(super) const GROUP_NORM_EPS: f32 = 1e-5;

/// Weights of a linear layer: `n_inputs` x N in panels of [`PANEL`] columns (the last one
/// zero-filled), and N biases.
#[derive(Clone, Copy)]
pub(super) struct PackedLinear<'w> {
    pub panels: &'w [f32],
    pub bias: &'w [f32],
    pub n_inputs: usize,
}

/// output[row, n] = bias[n] + sum_k input[row, k] w[k, n]. Input rows may overlap.
pub(super) fn matmul(
    input: &[f32],
    from: RowBlock,
    weights: PackedLinear<'_>,
    output: &mut [f32],
    to: RowBlock,
) {
    let n_rows = from.n_rows();
    let panels = weights.panels.chunks_exact(weights.n_inputs * PANEL);
    for (index, (panel, bias)) in panels.zip(weights.bias.chunks(PANEL)).enumerate() {
        let (panel, _) = panel.as_chunks::<PANEL>();
        let mut row = 0;
        while row + TILE <= n_rows {
            let starts = core::array::from_fn::<_, TILE, _>(|r| from.start(row + r));
            let tile = tile_product(input, starts, panel);
            for (r, sums) in tile.iter().enumerate() {
                store(output, to.start(row + r) + index * PANEL, sums, bias);
            }
            row += TILE;
        }
        while row < n_rows {
            let [sums] = tile_product(input, [from.start(row)], panel);
            store(output, to.start(row) + index * PANEL, &sums, bias);
            row += 1;
        }
    }
}

/// R rows of the input times one panel.
#[inline(always)]
fn tile_product<const R: usize>(
    input: &[f32],
    starts: [usize; R],
    panel: &[[f32; PANEL]],
) -> [[f32; PANEL]; R] {
    let rows = starts.map(|start| &input[start..start + panel.len()]);
    let mut sums = [[0.0; PANEL]; R];
    for (k, weights) in panel.iter().enumerate() {
        for r in 0..R {
            let x = rows[r][k];
            for n in 0..PANEL {
                sums[r][n] += x * weights[n];
            }
        }
    }
    sums
}

#[inline(always)]
fn store(output: &mut [f32], start: usize, sums: &[f32; PANEL], bias: &[f32]) {
    let row = &mut output[start..start + bias.len()];
    for ((out, sum), bias) in row.iter_mut().zip(sums).zip(bias) {
        *out = sum + bias;
    }
}

/// GroupNorm in place (Wu and He 2018, arXiv 1803.08494), over the `L C / n_groups` values of each
/// group.
///
/// x = (x - mean) / sqrt(variance + eps) * weight + bias. `per_channel` has room for two values per
/// channel.
pub(super) fn group_norm(
    map: &mut [f32],
    shape: Shape,
    n_groups: usize,
    (weight, bias): (&[f32], &[f32]),
    per_channel: &mut [f32],
) {
    let n_channels = shape.n_channels;
    let count = (shape.length * (n_channels / n_groups)) as f32;
    let (first, second) = per_channel[..2 * n_channels].split_at_mut(n_channels);
    for plan in 0..shape.batch {
        let rows = &mut map[shape.rows(plan)];
        let (mean, deviation) = (&mut *first, &mut *second);
        sum_rows(rows, mean, |x, _| x, deviation);
        spread_group_mean(mean, n_channels / n_groups, count);
        sum_rows(rows, deviation, |x, mean| (x - mean) * (x - mean), mean);
        spread_group_mean(deviation, n_channels / n_groups, count);
        for c in 0..n_channels {
            let scale = weight[c] / libm::sqrtf(deviation[c] + GROUP_NORM_EPS);
            deviation[c] = scale;
            mean[c] = bias[c] - mean[c] * scale;
        }
        scale_rows(rows, deviation, mean);
    }
}

/// sums[c] = sum over rows of term(row[c], given[c]).
#[inline(always)]
fn sum_rows(rows: &[f32], sums: &mut [f32], term: impl Fn(f32, f32) -> f32, given: &[f32]) {
    sums.fill(0.0);
    for row in rows.chunks_exact(sums.len()) {
        for ((sum, x), given) in sums.iter_mut().zip(row).zip(given) {
            *sum += term(*x, *given);
        }
    }
}

/// Replaces each channel's sum by the mean of its group.
fn spread_group_mean(sums: &mut [f32], group_channels: usize, count: f32) {
    for group in sums.chunks_exact_mut(group_channels) {
        let mean = group.iter().sum::<f32>() / count;
        group.fill(mean);
    }
}

/// Sinusoidal embedding of a diffusion step: sin, then cos, of `step` times 10000^(-i / (n/2 - 1)),
/// i < n/2 (Vaswani et al. 2017, arXiv 1706.03762, as diffusion_policy's `SinusoidalPosEmb` has
/// it).
pub(super) fn sinusoidal_embedding(step: f32, out: &mut [f32]) {
    let half = out.len() / 2;
    let rate = (libm::log(10_000.0) / (half as f64 - 1.0)) as f32;
    for i in 0..half {
        let phase = step * libm::expf(i as f32 * -rate);
        out[i] = libm::sinf(phase);
        out[half + i] = libm::cosf(phase);
    }
}

/// FiLM (Perez et al. 2017, arXiv 1709.07871): row[c] = scale[c] row[c] + bias[c].
pub(super) fn scale_rows(rows: &mut [f32], scale: &[f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(scale.len()) {
        for ((x, scale), bias) in row.iter_mut().zip(scale).zip(bias) {
            *x = *x * scale + bias;
        }
    }
}

/// FiLM without a scale: row[c] = row[c] + bias[c].
pub(super) fn shift_rows(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len()) {
        add(row, bias);
    }
}

/// sum[i] = sum[i] + other[i].
pub(super) fn add(sum: &mut [f32], other: &[f32]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

/// Mish in place (Misra 2019, arXiv 1908.08681):
/// x tanh(ln(1 + e^x)) = x (n^2 + 2n) / (n^2 + 2n + 2) with n = e^x.
pub(super) fn mish(values: &mut [f32]) {
    for x in values {
        let n = exp(*x);
        let numerator = n * (n + 2.0);
        *x *= numerator / (numerator + 2.0);
    }
}

/// e^x to 2 units in the last place for x in [-87, 20], and e^-87 or e^20 outside: there Mish is 0
/// or x already.
///
/// x = m ln 2 + r with m the nearest integer; e^r by its Taylor polynomial; 2^m through the
/// exponent's bits. Without branches or table, so that a loop of it vectorises.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, which is left in the low
    /// bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > -87.0 { x } else { -87.0 };
    let x = if x < 20.0 { x } else { 20.0 };
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let m = shifted - ROUND;
    let r = x - m * LN_2_HIGH - m * LN_2_LOW;
    let mut sum = 1.0 / 5040.0;
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum * r + coefficient;
    }
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()) << 23;
    f32::from_bits(sum.to_bits().wrapping_add(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mish_equals_its_formula_in_f64_from_tail_to_tail() {
        let mut worst = 0.0_f64;
        for step in -40_000..40_000 {
            let x = step as f32 / 400.0;
            let mut got = [x];
            mish(&mut got);
            let n = libm::exp(f64::from(x));
            let expected = f64::from(x) * libm::tanh(libm::log1p(n));
            let error = (f64::from(got[0]) - expected).abs() / expected.abs().max(1e-30);
            // Below -87 the answer is a denormal away from zero.
            if x > -87.0 {
                worst = worst.max(error);
            }
        }
        assert!(worst < 6e-7, "worst relative error {worst}");
    }

    #[test]
    fn mish_of_huge_values_is_finite() {
        let mut values = [f32::MAX, -f32::MAX, 0.0, 1e4, -1e4];
        mish(&mut values);
        assert_eq!(values[0], f32::MAX);
        assert!(values[1].is_finite() && values[2] == 0.0 && values[3] == 1e4);
        assert!(values[4].abs() < 1e-30);
    }
}
