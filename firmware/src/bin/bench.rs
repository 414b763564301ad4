//! Cost of the policy on this board, in cycles (in QEMU: instructions): convolutions, each layer of
//! a pass, whole plans (with both shipped models, or the model that is named) and the share of matrix
//! products; also flash, RAM and stack. Exit code 0 if the kernel agrees with the reference bit for bit.
#![no_std]
#![no_main]

use cortex_m::singleton;
use cortex_m_rt::entry;
use pusht_core::quant::{Model, WeightBits};
use pusht_firmware::counter::{Counter, UNIT};
use pusht_firmware::products::{self, Convolved};
use pusht_firmware::{board, exit, expected, image, stack};

/// Plans of each model. QEMU counts the same instructions for each, and a board's cycles differ.
const N_PLANS: usize = if cfg!(feature = "silicon") { 1000 } else { 2 };
/// Positions of the layer that `docs/quantisation.md` compares, those of the deeper levels, and one;
/// with weights of 8 bits, then of 4 (`nibbles`).
const POSITIONS: [usize; 4] = [8, 4, 2, 1];

#[entry]
fn main() -> ! {
    board::start();
    defmt::info!("board={=str}", board::NAME);
    let (Some(peripherals), Some(costs), Some(scratch), Some(memory)) = (
        cortex_m::Peripherals::take(),
        singleton!(COSTS: [u32; N_PLANS] = [0; N_PLANS]),
        singleton!(SCRATCH: [u64; expected::LARGEST_SCRATCH_LEN] = [0; expected::LARGEST_SCRATCH_LEN]),
        singleton!(MEMORY: products::Memory = products::Memory::new()),
    ) else {
        defmt::panic!("main runs once");
    };
    let counter = Counter::start(peripherals);
    let mut is_right = true;
    let both = [("layer", WeightBits::Eight), ("nibbles", WeightBits::Four)];
    let layers = both.map(|of| POSITIONS.map(|n_positions| (of, n_positions)));
    for ((name, bits), n_positions) in layers.into_iter().flatten() {
        let layer = Convolved {
            n_channels: 64,
            n_taps: 3,
            n_positions,
            bits,
        };
        let Some(cost) = layer.measure(&counter, memory) else {
            defmt::error!("the kernel's outputs are not the reference's");
            is_right = false;
            continue;
        };
        defmt::info!(
            "{=str}_{=usize}_{=str}={=u64} {=str}_{=usize}_multiplications={=u64}",
            name,
            n_positions,
            UNIT,
            cost.spent,
            name,
            n_positions,
            cost.multiplications
        );
    }
    for (name, file) in &expected::MODELS {
        match &Model::parse(file) {
            Ok(model) => measure_plans(&counter, name, model, scratch, costs),
            Err(error) => defmt::panic!("model file: {}", error),
        }
    }
    defmt::info!(
        "flash_bytes={=usize} ram_bytes={=usize} stack_bytes={=usize}",
        image::flash_bytes(),
        image::ram_bytes(),
        stack::high_water_bytes()
    );
    if is_right {
        exit::success()
    }
    exit::failure()
}

fn measure_plans(
    counter: &Counter,
    name: &str,
    model: &Model<'_>,
    scratch: &mut [u64],
    costs: &mut [u32; N_PLANS],
) {
    products::log_layers(counter, name, model, scratch);
    products::plan_costs(counter, model, scratch, costs);
    let [least, median, most] = [costs[0], costs[N_PLANS / 2], costs[N_PLANS - 1]];
    defmt::info!(
        "{=str}_plans={=usize} {=str}_plan_{=str}_min={=u32} {=str}_plan_{=str}_max={=u32}",
        name,
        N_PLANS,
        name,
        UNIT,
        least,
        name,
        UNIT,
        most
    );
    let cost = products::of_a_plan(counter, model, scratch);
    defmt::info!(
        "{=str}_plan_{=str}={=u32} {=str}_product_{=str}={=u64} {=str}_multiplications={=u64}",
        name,
        UNIT,
        median,
        name,
        UNIT,
        cost.spent,
        name,
        cost.multiplications
    );
}
