//! The boards that the firmware is built for.

use anyhow::{Context, Result};

/// A board: how to build for it and how to run on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// Name of the board in `cargo firmware --board`, of its feature and of its memory map.
    pub name: &'static str,
    /// Description of the core, for output.
    pub core: &'static str,
    /// Target triple of the compiler.
    pub target: &'static str,
    /// QEMU's `-machine` that runs its images; `None` where QEMU has none.
    pub machine: Option<&'static str>,
    /// The chip of a physical board, by probe-rs's name; its images log through RTT. `None` for a
    /// board of QEMU alone, which logs by semihosting.
    pub chip: Option<&'static str>,
}

/// Every board that QEMU has; the first is the default.
pub const BOARDS: [Board; 6] = [
    Board {
        name: "mps2-an386",
        core: "Cortex-M4F",
        target: "thumbv7em-none-eabihf",
        machine: Some("mps2-an386"),
        chip: None,
    },
    Board {
        name: "mps2-an385",
        core: "Cortex-M3",
        target: "thumbv7m-none-eabi",
        machine: Some("mps2-an385"),
        chip: None,
    },
    Board {
        name: "mps2-an385-v6m",
        core: "Cortex-M3 with a Cortex-M0+'s instructions",
        target: "thumbv6m-none-eabi",
        machine: Some("mps2-an385"),
        chip: None,
    },
    Board {
        name: "mps2-an500",
        core: "Cortex-M7",
        target: "thumbv7em-none-eabihf",
        machine: Some("mps2-an500"),
        chip: None,
    },
    Board {
        name: "mps2-an505",
        core: "Cortex-M33",
        target: "thumbv8m.main-none-eabihf",
        machine: Some("mps2-an505"),
        chip: None,
    },
    Board {
        name: "mps3-an547",
        core: "Cortex-M55",
        target: "thumbv8m.main-none-eabihf",
        machine: Some("mps3-an547"),
        chip: None,
    },
];

/// A physical board that QEMU has, too, with a Cortex-M0. It has room for an episode or `controller`
/// with a model of 4-bit weights, and for `simulator`, `kernels` and `plans`.
pub const MICROBIT: Board = Board {
    name: "microbit",
    core: "Cortex-M0",
    target: "thumbv6m-none-eabi",
    machine: Some("microbit"),
    chip: Some("nRF51822_xxAA"),
};

/// Physical boards that QEMU has, too: the image that is flashed is the one that QEMU runs.
pub const IN_QEMU: [Board; 2] = [B_L475E_IOT01A, NETDUINOPLUS2];

/// The first of [`IN_QEMU`].
pub const B_L475E_IOT01A: Board = Board {
    name: "b-l475e-iot01a",
    core: "Cortex-M4F at 80 MHz",
    target: "thumbv7em-none-eabihf",
    machine: Some("b-l475e-iot01a"),
    chip: Some("STM32L475VG"),
};

/// The second of [`IN_QEMU`].
pub const NETDUINOPLUS2: Board = Board {
    name: "netduinoplus2",
    core: "Cortex-M4F at 168 MHz",
    target: "thumbv7em-none-eabihf",
    machine: Some("netduinoplus2"),
    chip: Some("STM32F405RGTx"),
};

/// Further physical boards. None was at hand when the firmware was written: their images are built, linked
/// and measured, but have not run.
pub const SILICON: [Board; 4] = [
    Board {
        name: "nrf52840-dk",
        core: "Cortex-M4F",
        target: "thumbv7em-none-eabihf",
        machine: None,
        chip: Some("nRF52840_xxAA"),
    },
    Board {
        name: "nucleo-h743zi2",
        core: "Cortex-M7",
        target: "thumbv7em-none-eabihf",
        machine: None,
        chip: Some("STM32H743ZITx"),
    },
    Board {
        name: "pico2",
        core: "Cortex-M33",
        target: "thumbv8m.main-none-eabihf",
        machine: None,
        chip: Some("RP235x"),
    },
    Board {
        name: "pico",
        core: "Cortex-M0+",
        target: "thumbv6m-none-eabi",
        machine: None,
        chip: Some("RP2040"),
    },
];

impl Board {
    /// Cargo's profile that its images are built with.
    pub(crate) fn profile(&self) -> &'static str {
        match *self == MICROBIT {
            true => "small",
            false => "release",
        }
    }

    /// Every board.
    pub fn all() -> impl Iterator<Item = Self> {
        let of_qemu = BOARDS.into_iter().chain([MICROBIT]);
        of_qemu.chain(IN_QEMU).chain(SILICON)
    }

    /// Finds a board by name.
    ///
    /// # Errors
    /// If no board has this name; the message lists the known ones.
    pub fn named(name: &str) -> Result<Self> {
        let known: Vec<&str> = Self::all().map(|board| board.name).collect();
        Self::all()
            .find(|board| board.name == name)
            .with_context(|| format!("no board {name:?}; there are {}", known.join(", ")))
    }
}
