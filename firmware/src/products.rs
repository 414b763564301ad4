//! Instructions that go into matrix products, of one layer and of a whole plan.

use crate::counter::InstructionCounter;
use fixed::types::I16F16;
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{
    self, Convolution, Factor, IntPolicy, MAX_CONDITION_LEN, MAX_HORIZON, Model, Scratch, Tap,
};

/// What products cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Multiplications of a weight with an activation, those with rows of zeros included.
    pub multiplications: u64,
    /// Instructions, those behind the sum (bias, factor, rounding, saturation, store) included.
    pub instructions: u64,
}

/// A convolution of stride 1 with as many channels out as in.
pub struct Layer {
    /// Channels.
    pub n_channels: usize,
    /// Taps.
    pub n_taps: usize,
    /// Positions.
    pub n_positions: usize,
}

const MAX_CHANNELS: usize = 64;
const MAX_WINDOW: usize = 3 * MAX_CHANNELS;
const MAX_POSITIONS: usize = 8;

/// Room for a layer.
#[repr(align(4))]
pub struct Memory {
    rows: [u8; MAX_CHANNELS * Convolution::row_size(MAX_WINDOW)],
    input: [i16; MAX_CHANNELS * (MAX_POSITIONS + 2)],
    output: [i16; MAX_CHANNELS * MAX_POSITIONS],
    expected: [i16; MAX_CHANNELS * MAX_POSITIONS],
}

impl Memory {
    /// Zeros.
    #[allow(clippy::new_without_default, reason = "it belongs into a static")]
    pub const fn new() -> Self {
        Self {
            rows: [0; _],
            input: [0; _],
            output: [0; _],
            expected: [0; _],
        }
    }
}

impl Layer {
    /// Fills the layer with random numbers and runs it once; nothing if an output is not the reference's.
    pub fn measure(
        &self,
        counter: &InstructionCounter,
        scratch: &mut Scratch,
        memory: &mut Memory,
    ) -> Option<Cost> {
        let mut random = Random(self.n_positions as u64);
        let window = self.n_taps * self.n_channels;
        let row_size = Convolution::row_size(window);
        let rows = memory.rows.get_mut(..self.n_channels * row_size)?;
        for row in rows.chunks_exact_mut(row_size) {
            // Sums of about 2^22, to 16 bits.
            let factor = Factor {
                multiplier: (1 << 29) + (random.word() >> 4) as i32,
                shift: 38,
            };
            let bias = random.word() as i32 >> 12;
            Convolution::write_row(row, bias, factor, random.bytes());
        }
        let input = memory
            .input
            .get_mut(..(self.n_positions - 1) * self.n_channels + window)?;
        input.fill_with(|| random.word() as i16);
        let (input, len) = (&*input, self.n_channels * self.n_positions);
        let output = memory.output.get_mut(..len)?;
        let expected = memory.expected.get_mut(..len)?;
        let convolution = Convolution::new(rows, window).ok()?;
        let (step, n_positions) = (self.n_channels, self.n_positions);
        convolution
            .run_reference(input, step, n_positions, expected)
            .ok()?;
        let start = counter.now();
        convolution
            .run(scratch, input, step, n_positions, output)
            .ok()?;
        let instructions = counter.now() - start;
        let is_saturated = |v: &&i16| **v == i16::MAX || **v == i16::MIN;
        let n_saturated = output.iter().filter(is_saturated).count();
        (output == expected && 2 * n_saturated < len).then_some(Cost {
            multiplications: (len * window) as u64,
            instructions,
        })
    }
}

/// Mean instructions of a plan.
pub fn plan_instructions(
    counter: &InstructionCounter,
    model: &Model<'_>,
    scratch: &mut Scratch,
    n_plans: u32,
) -> u64 {
    let start = counter.now();
    quant::selftest(model, scratch, n_plans);
    (counter.now() - start) / u64::from(n_plans)
}

/// What the products of one plan cost.
pub fn of_a_plan(counter: &InstructionCounter, model: &Model<'_>, scratch: &mut Scratch) -> Cost {
    let mut watch = Watch {
        counter,
        begun: 0,
        ticks: 0,
        n_products: 0,
        multiplications: 0,
    };
    let observations = [I16F16::ZERO; MAX_CONDITION_LEN];
    let mut chunk = [[I16F16::ZERO; 2]; MAX_HORIZON];
    let n_observed = model.n_obs_steps() * model.observation().dim();
    let planned = IntPolicy::new(model, scratch).plan_tapped(
        &observations[..n_observed],
        &mut NoiseSource::new(0),
        &mut chunk[..model.n_action_steps()],
        &mut watch,
    );
    defmt::assert!(planned.is_ok(), "the lengths are the model's");
    // What looking at the clock costs by itself.
    let (ticks, n_products) = (watch.ticks, watch.n_products);
    for _ in 0..n_products {
        watch.product_begins();
        watch.product_ends(0);
    }
    Cost {
        multiplications: watch.multiplications,
        instructions: counter.instructions(2 * ticks - watch.ticks),
    }
}

/// Stops the time of products.
struct Watch<'c> {
    counter: &'c InstructionCounter,
    begun: u64,
    ticks: u64,
    n_products: u64,
    multiplications: u64,
}

impl Tap for Watch<'_> {
    fn tensor(&mut self, _: &[i16], _: usize, _: u32) {}

    fn product_begins(&mut self) {
        self.begun = self.counter.ticks();
    }

    fn product_ends(&mut self, n_multiplications: usize) {
        self.ticks += self.counter.ticks() - self.begun;
        self.n_products += 1;
        self.multiplications += n_multiplications as u64;
    }
}

/// A linear congruential generator (Knuth, MMIX): good enough to fill arrays.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn word(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.word() as usize % end
    }

    /// Bytes without end.
    pub fn bytes(&mut self) -> impl Iterator<Item = u8> + '_ {
        core::iter::repeat_with(|| (self.word() >> 8) as u8)
    }
}
