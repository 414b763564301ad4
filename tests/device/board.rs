//! The boards that the firmware is built for.

use anyhow::{Context, Result};

/// A board: how to build for it and how to run on it.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Name in `cargo firmware --board`, of the firmware's feature and of its memory map.
    pub name: &'static str,
    /// The core, for people.
    pub core: &'static str,
    /// The compiler's target.
    pub target: &'static str,
    /// QEMU's `-machine`.
    pub qemu_machine: &'static str,
}

/// Every board; the first is the default.
pub const BOARDS: [Board; 6] = [
    Board {
        name: "mps2-an386",
        core: "Cortex-M4F",
        target: "thumbv7em-none-eabihf",
        qemu_machine: "mps2-an386",
    },
    Board {
        name: "mps2-an385",
        core: "Cortex-M3",
        target: "thumbv7m-none-eabi",
        qemu_machine: "mps2-an385",
    },
    Board {
        name: "mps2-an385-v6m",
        core: "Cortex-M3 with a Cortex-M0+'s instructions",
        target: "thumbv6m-none-eabi",
        qemu_machine: "mps2-an385",
    },
    Board {
        name: "mps2-an500",
        core: "Cortex-M7",
        target: "thumbv7em-none-eabihf",
        qemu_machine: "mps2-an500",
    },
    Board {
        name: "mps2-an505",
        core: "Cortex-M33",
        target: "thumbv8m.main-none-eabihf",
        qemu_machine: "mps2-an505",
    },
    Board {
        name: "mps3-an547",
        core: "Cortex-M55",
        target: "thumbv8m.main-none-eabihf",
        qemu_machine: "mps3-an547",
    },
];

impl Board {
    /// The board of that name.
    ///
    /// # Errors
    /// An unknown name; the message lists the known ones.
    pub fn named(name: &str) -> Result<Self> {
        let known: Vec<&str> = BOARDS.iter().map(|board| board.name).collect();
        BOARDS
            .into_iter()
            .find(|board| board.name == name)
            .with_context(|| format!("no board {name:?}; there are {}", known.join(", ")))
    }
}
