//! `torch.randn` on the CPU: MT19937, 24-bit uniforms, Box-Muller in blocks of 16.

use rand_mt::Mt;

const BLOCK: usize = 16;

/// `torch.Generator().manual_seed(seed)`, for tensors of a multiple of 16 values.
pub struct TorchNoise(Mt);

impl TorchNoise {
    pub fn new(seed: u32) -> Self {
        Self(Mt::new(seed))
    }

    fn uniform(&mut self) -> f32 {
        (self.0.next_u32() & 0x00FF_FFFF) as f32 / (1 << 24) as f32
    }

    /// Fills `noise` in `f32`, to the last bit, where `Noise` rounds to 2^-24.
    pub fn fill(&mut self, noise: &mut [f32]) {
        assert!(noise.len().is_multiple_of(BLOCK));
        for value in noise.iter_mut() {
            *value = self.uniform();
        }
        for block in noise.chunks_exact_mut(BLOCK) {
            for j in 0..BLOCK / 2 {
                let (u1, u2) = (1.0 - block[j], block[j + BLOCK / 2]);
                let radius = (-2.0 * u1.ln()).sqrt();
                let angle = 2.0 * std::f32::consts::PI * u2;
                block[j] = radius * angle.cos();
                block[j + BLOCK / 2] = radius * angle.sin();
            }
        }
    }
}
