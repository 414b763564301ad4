//! `torch.randn` on the CPU: MT19937, 24-bit uniforms, Box-Muller in blocks of 16.

use pusht_core::scheduler::NoiseGenerator;

const STATE: usize = 624;
const BLOCK: usize = 16;

/// `torch.Generator().manual_seed(seed)`, for tensors of a multiple of 16 values.
pub struct TorchNoise {
    state: [u32; STATE],
    next: usize,
}

impl TorchNoise {
    /// `init_genrand` of Matsumoto and Nishimura.
    pub fn new(seed: u32) -> Self {
        let mut state = [seed; STATE];
        for i in 1..STATE {
            let before = state[i - 1];
            state[i] = (before ^ (before >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(i as u32);
        }
        Self { state, next: STATE }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == STATE {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C_5680;
        y ^= (y << 15) & 0xEFC6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..STATE {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % STATE] & 0x7FFF_FFFF);
            let odd = if y & 1 == 1 { 0x9908_B0DF } else { 0 };
            self.state[i] = self.state[(i + 397) % STATE] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn uniform(&mut self) -> f32 {
        (self.next_u32() & 0x00FF_FFFF) as f32 / (1 << 24) as f32
    }
}

impl NoiseGenerator for TorchNoise {
    fn fill(&mut self, noise: &mut [f32]) {
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
