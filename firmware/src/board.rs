//! What differs between boards; memory maps are in `boards/`.

/// The board's name, as in the feature and in QEMU's `-machine`.
pub const NAME: &str = if cfg!(feature = "board-mps2-an385") {
    "mps2-an385"
} else if cfg!(feature = "board-mps2-an386") {
    "mps2-an386"
} else if cfg!(feature = "board-mps2-an500") {
    "mps2-an500"
} else {
    "mps2-an505"
};

/// Clock of SysTick, MHz (QEMU, `hw/arm/mps2.c` and `hw/arm/mps2-tz.c`).
pub const SYSTICK_MHZ: u64 = if cfg!(feature = "board-mps2-an505") {
    20
} else {
    25
};
