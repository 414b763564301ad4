//! Measures the cost of matrix products, of one layer and of a whole plan.

use crate::counter::{Counter, UNIT};
use crate::expected::{LARGEST_CHUNK_LEN, LARGEST_WINDOW_LEN};
use pusht_core::noise::NoiseSource;
use pusht_core::quant::measure::{Convolution, panel_len};
use pusht_core::quant::{Factor, IntPolicy, Layer, LayerKind, Model, Observer, WeightBits};

/// Cost of products.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Multiplications of a weight and an activation, including those with padding.
    pub multiplications: u64,
    /// Cost in [`UNIT`]s, including the epilogue (bias, factor, rounding, saturation, store).
    pub spent: u64,
}

/// A convolution of stride 1 with as many output as input channels.
pub struct Convolved {
    /// Channels.
    pub n_channels: usize,
    /// Taps.
    pub n_taps: usize,
    /// Positions.
    pub n_positions: usize,
    /// Bits of its weights.
    pub bits: WeightBits,
}

const MAX_CHANNELS: usize = 64;
const MAX_WINDOW: usize = 3 * MAX_CHANNELS;
const MAX_POSITIONS: usize = 8;

/// Room for a layer.
#[repr(C, align(8))]
pub struct Memory {
    panel: [u64; panel_len(MAX_WINDOW)],
    rows: [u8; MAX_CHANNELS * Convolution::row_size(MAX_WINDOW, WeightBits::Eight)],
    input: [i16; MAX_CHANNELS * (MAX_POSITIONS + 2)],
    output: [i16; MAX_CHANNELS * MAX_POSITIONS],
    expected: [i16; MAX_CHANNELS * MAX_POSITIONS],
}

impl Memory {
    /// Zeros.
    #[allow(clippy::new_without_default, reason = "it belongs into a static")]
    pub const fn new() -> Self {
        Self {
            panel: [0; _],
            rows: [0; _],
            input: [0; _],
            output: [0; _],
            expected: [0; _],
        }
    }
}

impl Convolved {
    /// Fills the layer with random numbers and runs it once; nothing if an output is not the reference's.
    pub fn measure(&self, counter: &Counter, memory: &mut Memory) -> Option<Cost> {
        let mut random = Random(self.n_positions as u64);
        let window = self.n_taps * self.n_channels;
        let row_size = Convolution::row_size(window, self.bits);
        let rows = memory.rows.get_mut(..self.n_channels * row_size)?;
        for row in rows.chunks_exact_mut(row_size) {
            // Scales sums of about 2^24 to 16 bits.
            let factor = Factor {
                multiplier: (1 << 29) + (random.word() >> 4) as i32,
                shift: 39,
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
        let convolution = Convolution::new(rows, window, self.bits).ok()?;
        let (step, n_positions) = (self.n_channels, self.n_positions);
        convolution
            .run_reference(input, step, n_positions, expected)
            .ok()?;
        let start = counter.now();
        convolution
            .run(&mut memory.panel, input, step, n_positions, output)
            .ok()?;
        let spent = counter.now() - start;
        let is_saturated = |v: &&i16| **v == i16::MAX || **v == i16::MIN;
        let n_saturated = output.iter().filter(is_saturated).count();
        (output == expected && 2 * n_saturated < len).then_some(Cost {
            multiplications: (len * window) as u64,
            spent,
        })
    }
}

/// Fills `costs` with the costs of as many plans with different noise, in [`UNIT`]s, in ascending
/// order.
pub fn plan_costs(counter: &Counter, model: &Model<'_>, scratch: &mut [u64], costs: &mut [u32]) {
    let window = [0; LARGEST_WINDOW_LEN];
    let mut chunk = [0; LARGEST_CHUNK_LEN];
    let shape = model.shape();
    let (window, chunk) = (
        &window[..shape.window_len()],
        &mut chunk[..shape.chunk_len()],
    );
    let Ok(mut policy) = IntPolicy::new(model, scratch) else {
        defmt::panic!("the scratch is the model's");
    };
    for (seed, cost) in (0..).zip(costs.iter_mut()) {
        let start = counter.now();
        let planned = policy.plan_fixed(window, &mut NoiseSource::new(seed), chunk);
        *cost = (counter.now() - start) as u32;
        defmt::assert!(planned.is_ok(), "the lengths are the model's");
    }
    costs.sort_unstable();
}

/// Cost of the products of one plan.
pub fn of_a_plan(counter: &Counter, model: &Model<'_>, scratch: &mut [u64]) -> Cost {
    let mut watch = Watch {
        counter,
        begun: 0,
        raw: 0,
        n_products: 0,
        multiplications: 0,
    };
    plan_watched(model, scratch, &mut watch);
    // The overhead of reading the clock, measured with empty products.
    let (raw, n_products) = (watch.raw, watch.n_products);
    let nothing = Layer {
        kind: LayerKind::Output,
        n_outputs: 0,
        n_inputs: 0,
        n_positions: 0,
    };
    for _ in 0..n_products {
        watch.product_begins();
        watch.product_ends(nothing);
    }
    Cost {
        multiplications: watch.multiplications,
        spent: counter.in_units(2 * raw - watch.raw),
    }
}

fn plan_watched(model: &Model<'_>, scratch: &mut [u64], observer: &mut impl Observer) {
    let window = [0; LARGEST_WINDOW_LEN];
    let mut chunk = [0; LARGEST_CHUNK_LEN];
    let shape = model.shape();
    let planned = IntPolicy::new(model, scratch).map(|mut policy| {
        policy.plan_observed(
            &window[..shape.window_len()],
            &mut NoiseSource::new(0),
            &mut chunk[..shape.chunk_len()],
            observer,
        )
    });
    defmt::assert!(matches!(planned, Ok(Ok(()))), "the lengths are the model's");
}

/// Observer that measures the time of products.
struct Watch<'c> {
    counter: &'c Counter,
    begun: u64,
    raw: u64,
    n_products: u64,
    multiplications: u64,
}

impl Observer for Watch<'_> {
    fn observe(&mut self, _: &[i16], _: usize, _: u32) {}

    fn product_begins(&mut self) {
        self.begun = self.counter.raw();
    }

    fn product_ends(&mut self, layer: Layer) {
        self.raw += self.counter.raw() - self.begun;
        self.n_products += 1;
        self.multiplications += layer.n_multiplications() as u64;
    }
}

/// Logs the cost of each layer in the first pass of a plan: one line per matrix product, and one
/// for the operations on its result (normalisation, FiLM, mish, addition) where there are any
/// besides storing it. `name` is the name of the model in the log.
pub fn log_layers(counter: &Counter, name: &str, model: &Model<'_>, scratch: &mut [u64]) {
    let mut log = LayerLog {
        counter,
        name,
        since: 0,
        n_layers: 0,
        is_result_stored: false,
        is_over: false,
    };
    plan_watched(model, scratch, &mut log);
}

struct LayerLog<'c> {
    counter: &'c Counter,
    name: &'c str,
    /// Time at which the last logged operation ended.
    since: u64,
    n_layers: u32,
    /// Whether the next tensor is the unchanged result of a product.
    is_result_stored: bool,
    is_over: bool,
}

impl LayerLog<'_> {
    fn spent(&self) -> u64 {
        self.counter.in_units(self.counter.raw() - self.since)
    }
}

impl Observer for LayerLog<'_> {
    fn observe(&mut self, values: &[i16], n_channels: usize, _: u32) {
        let spent = self.spent();
        if !self.is_result_stored && !self.is_over {
            defmt::info!(
                "{=str} layer {=u32}: activation, {=usize} channels x {=usize} positions, {=str}={=u64}",
                self.name,
                self.n_layers,
                n_channels,
                values.len() / n_channels.max(1),
                UNIT,
                spent
            );
        }
        self.is_result_stored = false;
        self.since = self.counter.raw();
    }

    fn product_begins(&mut self) {
        self.since = self.counter.raw();
    }

    fn product_ends(&mut self, layer: Layer) {
        let spent = self.spent();
        if !self.is_over {
            self.n_layers += 1;
            defmt::info!(
                "{=str} layer {=u32}: {}, {=usize} outputs x {=usize} inputs x {=usize} positions, multiplications={=usize} {=str}={=u64}",
                self.name,
                self.n_layers,
                layer.kind,
                layer.n_outputs,
                layer.n_inputs,
                layer.n_positions,
                layer.n_multiplications(),
                UNIT,
                spent
            );
        }
        self.is_result_stored = true;
        self.is_over |= layer.kind == LayerKind::Output;
        self.since = self.counter.raw();
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

    /// An endless iterator of bytes.
    pub fn bytes(&mut self) -> impl Iterator<Item = u8> + '_ {
        core::iter::repeat_with(|| (self.word() >> 8) as u8)
    }
}
