//! The formulas of the layers in PyTorch's own layouts, one output value at a time: what the packed kernels are tested against.

/// Sinusoidal embedding of a diffusion step: sin then cos of `step` times 10000^(-i / (n/2 - 1)), i < n/2.
pub fn sinusoidal_embedding(step: f32, out: &mut [f32]) {
    let half = out.len() / 2;
    let rate = (libm::log(10_000.0) / (half as f64 - 1.0)) as f32;
    for i in 0..half {
        let phase = step * libm::expf(i as f32 * -rate);
        out[i] = libm::sinf(phase);
        out[half + i] = libm::cosf(phase);
    }
}
