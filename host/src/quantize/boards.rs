//! What a plan costs on each core, and what fits each board of the firmware.

use super::needs::{Needs, Norm, Product, Work};
use pusht_core::quant::WeightBits;

/// Instructions of the kernels of a core, fitted to what `cargo firmware bench` counts for `pusht`,
/// `pusht-small` and `fetch`, layer by layer (`tests/oracle/fit_instructions.py`).
#[derive(Clone, Copy, Debug)]
pub struct Core {
    /// Name.
    pub name: &'static str,
    /// Bytes of an input in the kernels' panel.
    input_bytes: usize,
    /// A product, for tiles of four, two and one positions: per weight, and per row.
    tiles: [[f64; 2]; 3],
    /// The same with weights of 4 bits.
    tiles_of_4_bits: [[f64; 2]; 3],
    /// Per input that is laid into the panel, and per tile.
    fill: [f64; 2],
    /// The last product: per multiplication, and per output.
    output: [f64; 2],
    /// A normalisation with all that follows: per value, per channel, per tensor.
    norm: [f64; 3],
    /// The same, in addition, per value of groups with an odd number of channels.
    odd_norm: f64,
    /// The reference normalisation, per value: with an addition, and with FiLM. Counted in layers of
    /// `models/fetch.ptm` whose values saturate in the self-test.
    reference_norm: [f64; 2],
    /// A step of the sampler and the rest of a pass, per value of the trajectory.
    step: f64,
    /// The condition, per value of the window of observations.
    condition: f64,
}

const CORTEX_M4: Core = Core {
    name: "Cortex-M4F",
    input_bytes: 2,
    tiles: [[3.259, 29.94], [1.930, 27.79], [1.557, 13.58]],
    tiles_of_4_bits: [[3.623, 31.14], [2.273, 24.06], [1.819, 13.14]],
    fill: [0.553, 418.1],
    output: [5.41, 137.0],
    norm: [18.70, 12.84, 1349.8],
    odd_norm: 7.22,
    reference_norm: [85.1, 168.8],
    step: 479.7,
    condition: 26.6,
};
const CORTEX_M3: Core = Core {
    name: "Cortex-M3",
    input_bytes: 4,
    tiles: [[6.266, 31.50], [3.508, 21.88], [2.393, 15.45]],
    tiles_of_4_bits: [[6.376, 40.53], [3.896, 25.49], [2.649, 18.35]],
    fill: [2.880, 260.8],
    output: [4.68, 130.8],
    norm: [36.99, 18.00, 1691.5],
    odd_norm: 0.00,
    reference_norm: [98.3, 179.3],
    step: 515.2,
    condition: 33.1,
};
const CORTEX_M0: Core = Core {
    name: "Cortex-M0+",
    input_bytes: 4,
    tiles: [[11.029, 125.99], [6.508, 77.19], [4.518, 49.21]],
    tiles_of_4_bits: [[11.258, 154.33], [6.773, 91.03], [4.783, 58.12]],
    fill: [4.147, 459.8],
    output: [8.78, 263.8],
    norm: [57.57, 17.35, 3912.7],
    odd_norm: 13.24,
    reference_norm: [230.3, 396.6],
    step: 910.1,
    condition: 122.5,
};
const CORTEX_M55: Core = Core {
    name: "Cortex-M55",
    input_bytes: 2,
    tiles: [[0.937, 34.29], [0.561, 22.92], [0.374, 16.71]],
    tiles_of_4_bits: [[1.017, 44.40], [0.674, 27.61], [0.478, 21.02]],
    fill: [0.710, 234.0],
    output: [5.82, 114.6],
    norm: [6.02, 4.74, 494.0],
    odd_norm: 0.00,
    reference_norm: [89.8, 173.5],
    step: 157.8,
    condition: 63.4,
};
const CORTEX_M7: Core = Core {
    name: "Cortex-M7",
    ..CORTEX_M4
};
const CORTEX_M33: Core = Core {
    name: "Cortex-M33",
    ..CORTEX_M4
};

impl Core {
    /// Estimates the instructions of a plan. What only the values can tell is left out: products
    /// whose scale is above 1/4, and groups of values of which many saturate at both ends, take the
    /// reference kernels.
    pub fn instructions(&self, work: &Work) -> f64 {
        let product = |product: &Product| self.product(product, work.panel_bytes);
        let [per_multiplication, per_output] = self.output;
        let n_outputs = (work.output.n_outputs * work.output.n_positions) as f64;
        let output = n_outputs * (work.output.n_inputs as f64 * per_multiplication + per_output);
        let once = work.projections.iter().map(product).sum::<f64>()
            + self.condition * work.n_observed as f64;
        let pass = work.products.iter().map(product).sum::<f64>()
            + work.norms.iter().map(|norm| self.norm(norm)).sum::<f64>()
            + output
            + self.step * work.n_values as f64;
        once + work.n_passes as f64 * pass
    }

    fn product(&self, product: &Product, panel_bytes: usize) -> f64 {
        let (n_rows, n_inputs) = (product.n_outputs as f64, product.n_inputs as f64);
        let [per_input, per_tile] = self.fill;
        let tiles = match product.bits {
            WeightBits::Four => &self.tiles_of_4_bits,
            _ => &self.tiles,
        };
        let mut left = product.n_positions;
        let mut sum = per_input * n_inputs * left as f64;
        while left > 0 {
            let fits =
                |n: usize| left >= n && n * product.n_inputs * self.input_bytes <= panel_bytes;
            let (size, [per_weight, per_row]) = match (fits(4), fits(2)) {
                (true, _) => (4, tiles[0]),
                (false, true) => (2, tiles[1]),
                (false, false) => (1, tiles[2]),
            };
            sum += per_tile + n_rows * (per_weight * n_inputs + per_row);
            left -= size;
        }
        sum
    }

    fn norm(&self, norm: &Norm) -> f64 {
        let n_values = (norm.n_channels * norm.n_positions) as f64;
        if norm.is_for_reference {
            return n_values * self.reference_norm[usize::from(norm.is_modulated)];
        }
        let [per_value, per_channel, per_tensor] = self.norm;
        let per_value = match norm.has_odd_groups {
            true => per_value + self.odd_norm,
            false => per_value,
        };
        per_value * n_values + per_channel * norm.n_channels as f64 + per_tensor
    }
}

/// A board of the firmware.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Name of the board in `cargo firmware --board`.
    pub name: &'static str,
    /// Core.
    pub core: Core,
    /// Flash, KiB: the region of `firmware/boards/<name>/memory.x` that holds the model file.
    pub flash_kib: usize,
    /// RAM, KiB; without the stack, but on `microbit`.
    pub ram_kib: usize,
    /// What runs there.
    pub binary: Binary,
}

/// The largest binary of the firmware that a board runs with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// The policy behind a serial link.
    Controller,
    /// The same on a board whose code has a memory of its own.
    ControllerBesideModel,
    /// The same in little memory: the stack, which is part of the RAM here, holds the working memory of
    /// a plan, and `core` is optimised for size.
    SmallController,
}

impl Binary {
    /// Flash for the code, KiB, and RAM for variables that do not depend on the policy, bytes:
    /// rounded up from the linked images.
    const fn overhead(self) -> (usize, usize) {
        match self {
            Self::Controller => (72, 2048),
            Self::ControllerBesideModel => (0, 2048),
            // Of the 16 KiB, what the image with a working memory of 7,776 bytes does not need for it.
            Self::SmallController => (58, 7_500),
        }
    }
}

impl Board {
    const fn new(
        name: &'static str,
        core: Core,
        [flash_kib, ram_kib]: [usize; 2],
        binary: Binary,
    ) -> Self {
        Self {
            name,
            core,
            flash_kib,
            ram_kib,
            binary,
        }
    }

    /// Flash and RAM that the firmware with this policy takes, bytes.
    pub fn memory(&self, needs: &Needs) -> [usize; 2] {
        let (code_kib, fixed) = self.binary.overhead();
        [
            needs.file_bytes + 1024 * code_kib,
            8 * needs.scratch_len + fixed + needs.variable_bytes,
        ]
    }

    /// Whether the firmware with this policy fits.
    pub fn fits(&self, needs: &Needs) -> bool {
        let [flash, ram] = self.memory(needs);
        flash <= 1024 * self.flash_kib && ram <= 1024 * self.ram_kib
    }

    /// What the policy takes of the board, in words.
    pub fn describe(&self, needs: &Needs) -> String {
        let [flash, ram] = self.memory(needs).map(|bytes| bytes.div_ceil(1024));
        let verdict = match self.fits(needs) {
            true => format!(
                "a plan about {:.2} million instructions",
                self.core.instructions(&needs.work) / 1e6
            ),
            false => "does not fit".to_owned(),
        };
        format!(
            "{} ({}): flash {flash} of {} KiB, RAM {ram} of {} KiB, {verdict}",
            self.name, self.core.name, self.flash_kib, self.ram_kib
        )
    }
}

const MIB: usize = 1024;
/// Every board.
pub const BOARDS: [Board; 13] = [
    Board::new(
        "mps2-an386",
        CORTEX_M4,
        [4 * MIB, 4 * MIB - 32],
        Binary::Controller,
    ),
    Board::new(
        "mps2-an385",
        CORTEX_M3,
        [4 * MIB, 4 * MIB - 32],
        Binary::Controller,
    ),
    Board::new(
        "mps2-an385-v6m",
        CORTEX_M0,
        [4 * MIB, 4 * MIB - 32],
        Binary::Controller,
    ),
    Board::new(
        "mps2-an500",
        CORTEX_M7,
        [4 * MIB, 4 * MIB - 32],
        Binary::Controller,
    ),
    Board::new(
        "mps2-an505",
        CORTEX_M33,
        [4 * MIB, 2 * MIB - 32],
        Binary::Controller,
    ),
    Board::new(
        "mps3-an547",
        CORTEX_M55,
        [2 * MIB, 4 * MIB - 32],
        Binary::ControllerBesideModel,
    ),
    Board::new("microbit", CORTEX_M0, [256, 16], Binary::SmallController),
    Board::new(
        "nrf52840-dk",
        CORTEX_M4,
        [MIB, 256 - 32],
        Binary::Controller,
    ),
    Board::new(
        "nucleo-h743zi2",
        CORTEX_M7,
        [2 * MIB, 128 - 32],
        Binary::Controller,
    ),
    Board::new(
        "b-l475e-iot01a",
        CORTEX_M4,
        [MIB, 96 - 32],
        Binary::Controller,
    ),
    Board::new(
        "netduinoplus2",
        CORTEX_M4,
        [MIB, 128 - 32],
        Binary::Controller,
    ),
    Board::new("pico", CORTEX_M0, [2047, 264 - 32], Binary::Controller),
    Board::new("pico2", CORTEX_M33, [4 * MIB, 512 - 32], Binary::Controller),
];
