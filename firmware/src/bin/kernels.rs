//! The kernel of this core against the reference, over random shapes and values. Exit code 0 if all bits are equal.
#![no_std]
#![no_main]

use cortex_m::singleton;
use cortex_m_rt::entry;
use pusht_core::quant::{Convolution, Factor, LANES, Scratch};
use pusht_firmware::products::Random;
use pusht_firmware::{board, exit};

const N_PRODUCTS: u32 = 300;
/// A micro:bit has no room for more.
const IS_SMALL: bool = cfg!(feature = "board-microbit");
const MAX_ROWS: usize = if IS_SMALL { 2 } else { 10 };
const MAX_CHUNKS: usize = if IS_SMALL { 25 } else { 210 };
const MAX_WINDOW: usize = MAX_CHUNKS * LANES;
const MAX_POSITIONS: usize = if IS_SMALL { 5 } else { 9 };
const MAX_STEP_CHUNKS: usize = if IS_SMALL { 6 } else { 12 };
const MAX_STEP: usize = MAX_STEP_CHUNKS * LANES;

/// Room for a product.
#[repr(align(4))]
struct Memory {
    rows: [u8; MAX_ROWS * Convolution::row_size(MAX_WINDOW)],
    input: [i16; MAX_WINDOW + (MAX_POSITIONS - 1) * MAX_STEP],
    output: [i16; MAX_ROWS * MAX_POSITIONS],
    expected: [i16; MAX_ROWS * MAX_POSITIONS],
}

#[entry]
fn main() -> ! {
    board::start();
    let memory = Memory {
        rows: [0; _],
        input: [0; _],
        output: [0; _],
        expected: [0; _],
    };
    let (Some(scratch), Some(memory)) = (
        singleton!(SCRATCH: Scratch = Scratch::new()),
        singleton!(MEMORY: Memory = memory),
    ) else {
        defmt::panic!("main runs once");
    };
    let mut random = Random(6);
    for index in 0..N_PRODUCTS {
        let shape = Shape::of(&mut random);
        if compare(&shape, &mut random, scratch, memory) != Some(true) {
            defmt::error!(
                "product {=u32} differs from the reference: {}",
                index,
                shape
            );
            exit::failure()
        }
    }
    defmt::info!("board={=str} products={=u32}", board::NAME, N_PRODUCTS);
    exit::success()
}

#[derive(defmt::Format)]
struct Shape {
    n_rows: usize,
    window: usize,
    step: usize,
    n_positions: usize,
    /// Whether inputs are the ends of their range.
    is_extreme: bool,
    /// Smallest shift of a factor.
    least_shift: u32,
}

impl Shape {
    /// Where there is room, one in eight has a window that no panel holds; one in eight factors that no kernel takes.
    fn of(random: &mut Random) -> Self {
        let most_chunks = match random.below(8) {
            0 => MAX_CHUNKS,
            _ => MAX_CHUNKS.min(50),
        };
        Self {
            n_rows: 1 + random.below(MAX_ROWS),
            window: LANES * (1 + random.below(most_chunks)),
            step: LANES * random.below(MAX_STEP_CHUNKS),
            n_positions: 1 + random.below(MAX_POSITIONS),
            is_extreme: random.below(2) == 0,
            least_shift: if random.below(8) == 0 { 25 } else { 33 },
        }
    }
}

fn compare(
    shape: &Shape,
    random: &mut Random,
    scratch: &mut Scratch,
    memory: &mut Memory,
) -> Option<bool> {
    let (window, n_positions) = (shape.window, shape.n_positions);
    let row_size = Convolution::row_size(window);
    let rows = memory.rows.get_mut(..shape.n_rows * row_size)?;
    // 2^15 times the sum of magnitudes must leave room for the bias.
    let largest = (65_000 / window as i32).min(128);
    for row in rows.chunks_exact_mut(row_size) {
        let bias = random.word() as i32 >> 11;
        let factor = Factor {
            multiplier: (random.word() >> 1) as i32,
            shift: shape.least_shift + random.below(30) as u32,
        };
        let weights = random.bytes().map(|byte| {
            let weight = i32::from(byte as i8) * largest / 128;
            weight as u8
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
    let convolution = Convolution::new(rows, window).ok()?;
    convolution
        .run_reference(input, shape.step, n_positions, expected)
        .ok()?;
    convolution
        .run(scratch, input, shape.step, n_positions, output)
        .ok()?;
    Some(output == expected)
}
