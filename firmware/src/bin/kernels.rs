//! The kernels of this core (products, activations) against the reference, over random shapes and
//! values. Exit code 0 if all bits are equal.
#![no_std]
#![no_main]

use cortex_m::singleton;
use cortex_m_rt::entry;
use pusht_firmware::kernels::{self, Memory, Tensors};
use pusht_firmware::products::Random;
use pusht_firmware::{board, exit};

const N_PRODUCTS: u32 = 300;
const N_ACTIVATIONS: u32 = 1000;

#[entry]
fn main() -> ! {
    board::start();
    let (Some(memory), Some(tensors)) = (
        singleton!(MEMORY: Memory = Memory::zeros()),
        singleton!(TENSORS: Tensors = Tensors::zeros()),
    ) else {
        defmt::panic!("main runs once");
    };
    let mut random = Random(6);
    for index in 0..N_PRODUCTS {
        if let Err(shape) = kernels::product(&mut random, memory) {
            defmt::error!(
                "product {=u32} differs from the reference: {}",
                index,
                shape
            );
            exit::failure()
        }
    }
    for index in 0..N_ACTIVATIONS {
        if let Err(groups) = kernels::activation(&mut random, tensors) {
            defmt::error!(
                "activation {=u32} differs from the reference: {}",
                index,
                groups
            );
            exit::failure()
        }
    }
    defmt::info!(
        "board={=str} products={=u32} activations={=u32}",
        board::NAME,
        N_PRODUCTS,
        N_ACTIVATIONS
    );
    exit::success()
}
