//! Deterministic weights and inputs, which the generators of the golden data compute in the same
//! way.

use crc::{CRC_32_ISO_HDLC, Crc};
use pusht_core::policy::unet::{ConditionalUnet1D, DownDims, TensorSource, UnetConfig};
use serde::Deserialize;
use std::collections::HashMap;

/// `count` values in [-1, 1): the finaliser of MurmurHash3, applied to the CRC-32 of the name plus
/// multiples of the golden ratio.
pub fn hashed(name: &str, count: usize) -> Vec<f32> {
    let seed = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(name.as_bytes());
    (0..count as u32)
        .map(|i| {
            let mut h = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9));
            h = (h ^ (h >> 16)).wrapping_mul(0x85EB_CA6B);
            h = (h ^ (h >> 13)).wrapping_mul(0xC2B2_AE35);
            h ^= h >> 16;
            (h >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// `ConditionalUnet1D`'s options as the generators write them.
#[derive(Clone, Debug, Deserialize)]
pub struct UnetOptions {
    pub input_dim: usize,
    pub local_cond_dim: Option<usize>,
    pub global_cond_dim: Option<usize>,
    pub diffusion_step_embed_dim: usize,
    pub down_dims: Vec<usize>,
    pub kernel_size: usize,
    pub n_groups: usize,
    pub cond_predict_scale: bool,
}

impl UnetOptions {
    pub fn config(&self) -> UnetConfig {
        UnetConfig {
            input_dim: self.input_dim,
            local_cond_dim: self.local_cond_dim,
            global_cond_dim: self.global_cond_dim,
            diffusion_step_embed_dim: self.diffusion_step_embed_dim,
            down_dims: DownDims::new(&self.down_dims).unwrap(),
            kernel_size: self.kernel_size,
            n_groups: self.n_groups,
            cond_predict_scale: self.cond_predict_scale,
        }
    }

    pub fn network(&self) -> ConditionalUnet1D<Vec<f32>> {
        let config = self.config();
        let memory = vec![0.0; config.weights_len().unwrap()];
        ConditionalUnet1D::new(config, &HashedWeights::new(self), memory).unwrap()
    }
}

/// Every tensor of PyTorch's module by name: weights scaled by fan-in, those of a norm around 1.
pub struct HashedWeights(pub HashMap<String, (Vec<usize>, Vec<f32>)>);

impl HashedWeights {
    /// All tensors; the shapes follow from the options as in `conditional_unet1d.py`.
    pub fn new(options: &UnetOptions) -> Self {
        let mut all = Self(HashMap::new());
        let (embed, dims) = (options.diffusion_step_embed_dim, &options.down_dims);
        all.affine("diffusion_step_encoder.1", &[4 * embed, embed]);
        all.affine("diffusion_step_encoder.3", &[embed, 4 * embed]);
        if let Some(local) = options.local_cond_dim {
            all.residual("local_cond_encoder.0", local, dims[0], options);
        }
        let inputs: Vec<usize> = [options.input_dim].iter().chain(dims).copied().collect();
        for (level, (above, dim)) in inputs.iter().zip(dims).enumerate() {
            all.residual(&format!("down_modules.{level}.0"), *above, *dim, options);
            all.residual(&format!("down_modules.{level}.1"), *dim, *dim, options);
            if level + 1 < dims.len() {
                all.affine(&format!("down_modules.{level}.2.conv"), &[*dim, *dim, 3]);
                let up = dims.len() - 2 - level;
                all.residual(
                    &format!("up_modules.{up}.0"),
                    2 * dims[level + 1],
                    *dim,
                    options,
                );
                all.residual(&format!("up_modules.{up}.1"), *dim, *dim, options);
                all.affine(&format!("up_modules.{up}.2.conv"), &[*dim, *dim, 4]);
            }
        }
        let last = dims[dims.len() - 1];
        all.residual("mid_modules.0", last, last, options);
        all.residual("mid_modules.1", last, last, options);
        all.affine(
            "final_conv.0.block.0",
            &[dims[0], dims[0], options.kernel_size],
        );
        all.affine("final_conv.0.block.1", &[dims[0]]);
        all.affine("final_conv.1", &[options.input_dim, dims[0], 1]);
        all
    }

    fn residual(&mut self, path: &str, dim_in: usize, dim_out: usize, options: &UnetOptions) {
        let kernel = options.kernel_size;
        let cond_dim = options.diffusion_step_embed_dim + options.global_cond_dim.unwrap_or(0);
        let film = dim_out * (1 + usize::from(options.cond_predict_scale));
        self.affine(
            &format!("{path}.blocks.0.block.0"),
            &[dim_out, dim_in, kernel],
        );
        self.affine(&format!("{path}.blocks.0.block.1"), &[dim_out]);
        self.affine(
            &format!("{path}.blocks.1.block.0"),
            &[dim_out, dim_out, kernel],
        );
        self.affine(&format!("{path}.blocks.1.block.1"), &[dim_out]);
        self.affine(&format!("{path}.cond_encoder.1"), &[film, cond_dim]);
        if dim_in != dim_out {
            self.affine(&format!("{path}.residual_conv"), &[dim_out, dim_in, 1]);
        }
    }

    /// Inserts a weight of `shape` and its bias.
    fn affine(&mut self, path: &str, shape: &[usize]) {
        let name = format!("{path}.weight");
        let mut weight = hashed(&name, shape.iter().product());
        let fan_in = shape[1..].iter().product::<usize>() as f32;
        for value in &mut weight {
            *value = match shape.len() {
                1 => 1.0 + *value / 2.0,
                _ => *value * 2.0 / fan_in.sqrt(),
            };
        }
        self.0.insert(name, (shape.to_vec(), weight));
        // Each transposed convolution has as many outputs as inputs, so its bias has this length,
        // too.
        let name = format!("{path}.bias");
        let bias = hashed(&name, shape[0]);
        self.0.insert(name, (vec![shape[0]], bias));
    }
}

impl TensorSource for HashedWeights {
    fn tensor(&self, name: &str) -> Option<(&[usize], &[f32])> {
        let (shape, values) = self.0.get(name)?;
        Some((shape, values))
    }
}
