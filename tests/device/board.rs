//! The boards that the firmware is built for.

use anyhow::{Context, Result};

/// A board: how to build for it and how to run on it.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Name of the board in `cargo firmware --board`, of its feature and of its memory map.
    pub name: &'static str,
    /// Description of the core, for output.
    pub core: &'static str,
    /// Target triple of the compiler.
    pub target: &'static str,
    /// What runs it.
    pub runner: Runner,
}

/// What runs a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// QEMU with this `-machine`.
    Qemu(&'static str),
    /// A physical board: probe-rs flashes this chip and shows its log.
    ProbeRs(&'static str),
}

/// Every board that QEMU has; the first is the default.
pub const BOARDS: [Board; 6] = [
    Board {
        name: "mps2-an386",
        core: "Cortex-M4F",
        target: "thumbv7em-none-eabihf",
        runner: Runner::Qemu("mps2-an386"),
    },
    Board {
        name: "mps2-an385",
        core: "Cortex-M3",
        target: "thumbv7m-none-eabi",
        runner: Runner::Qemu("mps2-an385"),
    },
    Board {
        name: "mps2-an385-v6m",
        core: "Cortex-M3 with a Cortex-M0+'s instructions",
        target: "thumbv6m-none-eabi",
        runner: Runner::Qemu("mps2-an385"),
    },
    Board {
        name: "mps2-an500",
        core: "Cortex-M7",
        target: "thumbv7em-none-eabihf",
        runner: Runner::Qemu("mps2-an500"),
    },
    Board {
        name: "mps2-an505",
        core: "Cortex-M33",
        target: "thumbv8m.main-none-eabihf",
        runner: Runner::Qemu("mps2-an505"),
    },
    Board {
        name: "mps3-an547",
        core: "Cortex-M55",
        target: "thumbv8m.main-none-eabihf",
        runner: Runner::Qemu("mps3-an547"),
    },
];

/// A Cortex-M0 in QEMU. It has room for parts of the firmware: `simulator`, `kernels`, and `plans`
/// with a small network.
pub const MICROBIT: Board = Board {
    name: "microbit",
    core: "Cortex-M0",
    target: "thumbv6m-none-eabi",
    runner: Runner::Qemu("microbit"),
};

/// Physical boards. None was at hand when the firmware was written: their images are built, linked
/// and measured, but have not run.
pub const SILICON: [Board; 3] = [
    Board {
        name: "nrf52840-dk",
        core: "Cortex-M4F",
        target: "thumbv7em-none-eabihf",
        runner: Runner::ProbeRs("nRF52840_xxAA"),
    },
    Board {
        name: "nucleo-h743zi2",
        core: "Cortex-M7",
        target: "thumbv7em-none-eabihf",
        runner: Runner::ProbeRs("STM32H743ZITx"),
    },
    Board {
        name: "pico2",
        core: "Cortex-M33",
        target: "thumbv8m.main-none-eabihf",
        runner: Runner::ProbeRs("RP235x"),
    },
];

impl Board {
    /// Finds a board by name.
    ///
    /// # Errors
    /// If no board has this name; the message lists the known ones.
    pub fn named(name: &str) -> Result<Self> {
        let all = || BOARDS.into_iter().chain([MICROBIT]).chain(SILICON);
        let known: Vec<&str> = all().map(|board| board.name).collect();
        all()
            .find(|board| board.name == name)
            .with_context(|| format!("no board {name:?}; there are {}", known.join(", ")))
    }
}
