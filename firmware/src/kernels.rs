//! The kernels of this core (products, activations) against the reference, over random shapes and
//! values.

use crate::products::Random;
use pusht_core::quant::measure::{Activation, Convolution, Normalization, panel_len};
use pusht_core::quant::{Factor, LANES, WeightBits};

/// A micro:bit has no memory for larger shapes.
const IS_SMALL: bool = cfg!(feature = "board-microbit");
const MAX_ROWS: usize = if IS_SMALL { 2 } else { 10 };
const MAX_CHUNKS: usize = if IS_SMALL { 25 } else { 210 };
const MAX_WINDOW: usize = MAX_CHUNKS * LANES;
const MAX_POSITIONS: usize = if IS_SMALL { 5 } else { 9 };
const MAX_STEP_CHUNKS: usize = if IS_SMALL { 6 } else { 12 };
const MAX_STEP: usize = MAX_STEP_CHUNKS * LANES;
const MAX_CHANNELS: usize = if IS_SMALL { 8 } else { 128 };

/// Room for a product.
#[repr(C, align(8))]
pub struct Memory {
    panel: [u64; panel_len(MAX_WINDOW)],
    rows: [u8; MAX_ROWS * Convolution::row_size(MAX_WINDOW, WeightBits::Eight)],
    input: [i16; MAX_WINDOW + (MAX_POSITIONS - 1) * MAX_STEP],
    output: [i16; MAX_ROWS * MAX_POSITIONS],
    expected: [i16; MAX_ROWS * MAX_POSITIONS],
}

impl Memory {
    /// All zeros.
    pub const fn zeros() -> Self {
        Self {
            panel: [0; _],
            rows: [0; _],
            input: [0; _],
            output: [0; _],
            expected: [0; _],
        }
    }
}

/// Buffers of an activation.
#[repr(C, align(4))]
pub struct Tensors {
    parameters: [[u8; 8]; MAX_CHANNELS],
    step: [[u8; 2]; 2 * MAX_CHANNELS],
    observation: [i16; 2 * MAX_CHANNELS],
    x: [i16; MAX_CHANNELS * MAX_POSITIONS],
    old: [i16; MAX_CHANNELS * MAX_POSITIONS],
    output: [i16; MAX_CHANNELS * MAX_POSITIONS],
    expected: [i16; MAX_CHANNELS * MAX_POSITIONS],
}

impl Tensors {
    /// All zeros.
    pub const fn zeros() -> Self {
        Self {
            parameters: [[0; _]; _],
            step: [[0; _]; _],
            observation: [0; _],
            x: [0; _],
            old: [0; _],
            output: [0; _],
            expected: [0; _],
        }
    }
}

/// Compares a random product.
///
/// # Errors
/// The shape with which an output is not the reference's.
pub fn product(random: &mut Random, memory: &mut Memory) -> Result<(), Shape> {
    let shape = Shape::of(random);
    match compare(&shape, random, memory) {
        Some(true) => Ok(()),
        _ => Err(shape),
    }
}

/// Compares a random activation.
///
/// # Errors
/// The groups with which an output is not the reference's.
pub fn activation(random: &mut Random, tensors: &mut Tensors) -> Result<(), Groups> {
    let groups = Groups::of(random);
    match compare_activations(&groups, random, tensors) {
        Some(true) => Ok(()),
        _ => Err(groups),
    }
}

/// A product.
#[derive(Debug, defmt::Format)]
pub struct Shape {
    n_rows: usize,
    bits: WeightBits,
    window: usize,
    step: usize,
    n_positions: usize,
    /// Whether half of the inputs are `i16::MIN` or `i16::MAX`.
    is_extreme: bool,
    /// Smallest shift of a factor.
    least_shift: u32,
}

impl Shape {
    /// Where there is room, one in eight has a window that fills the panel alone; one in eight has
    /// factors that no kernel takes.
    fn of(random: &mut Random) -> Self {
        let most_chunks = match random.below(8) {
            0 => MAX_CHUNKS,
            _ => MAX_CHUNKS.min(50),
        };
        Self {
            n_rows: 1 + random.below(MAX_ROWS),
            bits: [WeightBits::Eight, WeightBits::Four][random.below(2)],
            window: LANES * (1 + random.below(most_chunks)),
            step: LANES * random.below(MAX_STEP_CHUNKS),
            n_positions: 1 + random.below(MAX_POSITIONS),
            is_extreme: random.below(2) == 0,
            least_shift: if random.below(8) == 0 { 25 } else { 33 },
        }
    }
}

fn compare(shape: &Shape, random: &mut Random, memory: &mut Memory) -> Option<bool> {
    let (window, n_positions) = (shape.window, shape.n_positions);
    let row_size = Convolution::row_size(window, shape.bits);
    let rows = memory.rows.get_mut(..shape.n_rows * row_size)?;
    // 2^15 times the sum of magnitudes must leave room for the bias.
    let largest = (65_000 / window as i32).min(128);
    for row in rows.chunks_exact_mut(row_size) {
        let bias = random.word() as i32 >> 11;
        let factor = Factor {
            multiplier: (random.word() >> 1) as i32,
            shift: shape.least_shift + random.below(30) as u32,
        };
        let mut weight = || i32::from(random.word() as i8) * largest / 128;
        let weights = core::iter::repeat_with(|| match shape.bits {
            WeightBits::Eight => weight() as u8,
            WeightBits::Four => (weight() / 16) as u8 & 15 | (weight() / 16 * 16) as u8,
        });
        Convolution::write_row(row, bias, factor, weights);
    }
    let input = memory
        .input
        .get_mut(..window + (n_positions - 1) * shape.step)?;
    for value in &mut *input {
        *value = match (shape.is_extreme, random.word() >> 30) {
            (true, 0) => i16::MIN,
            (true, 1) => i16::MAX,
            _ => random.word() as i16,
        };
    }
    let output = memory.output.get_mut(..shape.n_rows * n_positions)?;
    let expected = memory.expected.get_mut(..shape.n_rows * n_positions)?;
    let convolution = Convolution::new(rows, window, shape.bits).ok()?;
    convolution
        .run_reference(input, shape.step, n_positions, expected)
        .ok()?;
    convolution
        .run(&mut memory.panel, input, shape.step, n_positions, output)
        .ok()?;
    Some(output == expected)
}

/// An activation.
#[derive(Debug, defmt::Format)]
pub struct Groups {
    n_groups: usize,
    group_size: usize,
    n_positions: usize,
    gamma_exponent: u32,
    /// Bits of a `gamma`, including its sign.
    gamma_bits: u32,
    eps_bits: u32,
    /// Binary places of FiLM and of what is added.
    exponent: u32,
    result_exponent: u32,
    /// Bits of an input.
    n_bits: u32,
}

impl Groups {
    /// One in eight has an odd number of positions, one in eight factors that no kernel takes, one in
    /// eight whole fours of groups, also more than a kernel takes; half have groups as networks have
    /// them, half `gamma` as they do; with a small variance, `n x`
    /// leaves 32 bits.
    fn of(random: &mut Random) -> Self {
        let n_groups = match random.below(8) {
            0 => (4 * (1 + random.below(9))).min(MAX_CHANNELS),
            _ => 1 + random.below(8),
        };
        let n_positions = 2 + 2 * random.below(MAX_POSITIONS / 2);
        let group_size = 1 + random.below(MAX_CHANNELS / n_groups);
        let is_usual = random.below(2) == 0;
        let (gamma_exponent, gamma_bits) = match random.below(8) {
            0 => (8, 16),
            1..4 => {
                let places = random.below(15) as u32;
                (places, places + 2)
            }
            _ => (14, 16),
        };
        Self {
            n_groups,
            group_size: if is_usual {
                1 << group_size.ilog2()
            } else {
                group_size
            },
            n_positions: n_positions - usize::from(random.below(8) == 0),
            gamma_exponent,
            gamma_bits,
            eps_bits: random.below(25) as u32,
            exponent: 12 + random.below(4) as u32,
            result_exponent: 5 + random.below(12) as u32,
            n_bits: 1 + random.below(16) as u32,
        }
    }
}

fn compare_activations(
    groups: &Groups,
    random: &mut Random,
    tensors: &mut Tensors,
) -> Option<bool> {
    let n_channels = groups.n_groups * groups.group_size;
    let len = n_channels * groups.n_positions;
    let parameters = tensors.parameters.get_mut(..n_channels)?;
    for place in &mut *parameters {
        let gamma = (random.word() as i32 >> (32 - groups.gamma_bits))
            .clamp(-0x7fff, 0x7fff)
            .to_le_bytes();
        let beta = (random.word() as i32 >> 15).to_le_bytes();
        place[..4].copy_from_slice(&gamma);
        place[4..].copy_from_slice(&beta);
    }
    let step = tensors.step.get_mut(..2 * n_channels)?;
    step.fill_with(|| (random.word() as i16).to_le_bytes());
    let observation = tensors.observation.get_mut(..2 * n_channels)?;
    observation.fill_with(|| random.word() as i16);
    let x = tensors.x.get_mut(..len)?;
    x.fill_with(|| (random.word() as i32 >> (32 - groups.n_bits)) as i16);
    let old = tensors.old.get_mut(..len)?;
    old.fill_with(|| random.word() as i16);
    let norm = Normalization {
        parameters: parameters.as_flattened(),
        n_groups: groups.n_groups,
        gamma_exponent: groups.gamma_exponent,
        eps: 1 + (u64::from(random.word()) >> (32 - groups.eps_bits)),
        n_positions: groups.n_positions,
    };
    let (exponent, result_exponent) = (groups.exponent, groups.result_exponent);
    let film = Activation::with_film(norm, step, observation, exponent, result_exponent);
    let sum = Activation::with_sum(norm, exponent, result_exponent);
    let output = tensors.output.get_mut(..len)?;
    let expected = tensors.expected.get_mut(..len)?;
    for activation in [film.ok()?, sum.ok()?] {
        output.copy_from_slice(old);
        expected.copy_from_slice(old);
        activation.run(x, output).ok()?;
        activation.run_reference(x, expected).ok()?;
        if output != expected {
            return Some(false);
        }
    }
    Some(true)
}
