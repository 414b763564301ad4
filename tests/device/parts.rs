//! What stands in for the parts of physical boards.
//!
//! Registers are cited as (document, section): "PS" is Nordic's nRF52840 product specification 1.8
//! (4413_417), "RM0433" ST's reference manual of the STM32H743, "RP2350" and "RP2040" Raspberry Pi's data
//! sheets (RP-008373-DS and RP-008371-DS). The section numbers were not checked against the files, which
//! could not be fetched here; that start-up gets past each register was (`tests/boots.rs`).

use crate::stand_in::Part;
use std::ops::Range;

/// Region 7 of an Armv7-M protection unit, the one that comes before all others: no access to
/// 0x4000_0000 to 0x5fff_ffff. The firmware turns the unit on for the stack's guard.
const NO_PERIPHERALS: &[(u32, u32)] = &[
    // Number, base, attributes: 2^29 bytes, enabled.
    (0xe000_ed98, 7),
    (0xe000_ed9c, 0x4000_0000),
    (0xe000_eda0, 28 << 1 | 1),
];

/// Where peripherals are on most parts: the buses of slow and fast ones.
const PERIPHERALS: &[Range<u32>] = &[0x4000_0000..0x5000_0000, 0x5000_0000..0x6000_0000];

/// Peripherals of the RP2040 and the RP2350, and those of a core.
const RP_PERIPHERALS: &[Range<u32>] = &[0x4000_0000..0x6000_0000, 0xd000_0000..0xd000_1000];

/// Physical boards, whose images run with a stand-in.
pub(crate) const PARTS: [Part; 4] = [NRF52840, STM32H743, RP2350, RP2040];

const NRF52840: Part = Part {
    board: "nrf52840-dk",
    // Flash at 0 and RAM at 0x2000_0000; 0x1000_0000 (FICR, UICR) reads 0.
    machine: "mps2-an386",
    options: &[],
    set_up: NO_PERIPHERALS,
    free_flash: 0x000f_ff00,
    peripherals: PERIPHERALS,
    has_aliases: false,
    always_set: &[
        // CLOCK (PS 5.4): EVENTS_HFCLKSTARTED, EVENTS_LFCLKSTARTED; NVMC (PS 4.3): READY.
        (0x4000_0100, 1),
        (0x4000_0104, 1),
        (0x4001_e400, 1),
    ],
    follows: &[],
    selected: &[],
    watched: &[],
};

const STM32H743: Part = Part {
    board: "nucleo-h743zi2",
    // Flash at 0x0800_0000, of which the image leaves some of QEMU's 1 MiB free.
    machine: "netduinoplus2",
    options: &[],
    set_up: NO_PERIPHERALS,
    free_flash: 0x080f_ff00,
    peripherals: PERIPHERALS,
    has_aliases: false,
    always_set: &[
        // PWR (RM0433 6.8): ACTVOSRDY, VOSRDY; RCC (8.7): CR.HSIRDY, CSR.LSIRDY; USART3 (48.7): TXE, TC.
        (0x5802_4804, 1 << 13),
        (0x5802_4818, 1 << 13),
        (0x5802_4400, 1 << 2),
        (0x5802_4474, 1 << 1),
        (0x4000_481c, 1 << 7 | 1 << 6),
    ],
    follows: &[
        // RCC (RM0433 8.7): CSIRDY, HSI48RDY, HSERDY and PLLxRDY follow CSION to PLLxON, SWS follows SW.
        (0x5802_4400, 0x1501_1080, 1),
        (0x5802_4410, 7, 3),
    ],
    selected: &[],
    watched: &[],
};

const RP2350: Part = Part {
    board: "pico2",
    // Flash at 0x1000_0000, RAM at 0x2000_0000.
    machine: "mps2-an521",
    // Its first core is without, unlike the part's.
    options: &[
        "-global",
        "sse-200.CPU0_FPU=on",
        "-global",
        "sse-200.CPU0_DSP=on",
    ],
    set_up: &[],
    free_flash: 0x100f_ff00,
    peripherals: RP_PERIPHERALS,
    has_aliases: true,
    always_set: &[
        // XOSC (RP2350 8.2): STABLE; PLL_SYS and PLL_USB (8.6): LOCK.
        (0x4004_8004, 1 << 31),
        (0x4005_0000, 1 << 31),
        (0x4005_8000, 1 << 31),
    ],
    follows: &[],
    // CLOCKS (RP2350 8.1): CLK_REF_SELECTED, CLK_SYS_SELECTED.
    selected: &[(0x4001_0038, 0x4001_0030, 3), (0x4001_0044, 0x4001_003c, 1)],
    // RESETS (RP2350 7.5): RESET_DONE, where the machine has its system information.
    watched: &[(0x4002_0008, u32::MAX)],
};

const RP2040: Part = Part {
    board: "pico",
    machine: "mps2-an521",
    options: &[],
    set_up: &[],
    free_flash: 0x100f_ff00,
    peripherals: RP_PERIPHERALS,
    has_aliases: true,
    always_set: &[
        // RESETS (RP2040 2.14): RESET_DONE; XOSC (2.16): STABLE; PLL_SYS and PLL_USB (2.18): LOCK.
        (0x4000_c008, u32::MAX),
        (0x4002_4004, 1 << 31),
        (0x4002_8000, 1 << 31),
        (0x4002_c000, 1 << 31),
    ],
    follows: &[],
    // CLOCKS (RP2040 2.15): as on the RP2350.
    selected: &[(0x4000_8038, 0x4000_8030, 3), (0x4000_8044, 0x4000_803c, 1)],
    watched: &[],
};
