//! The BBC micro:bit, as QEMU has it: a Cortex-M0 (nRF51822) with 256 KiB of flash and 16 KiB of RAM. It has what fits: the simulator, the
//! kernels, and plans of a network of a few channels.

/// Clock of SysTick, MHz (QEMU, `hw/arm/nrf51_soc.c`). The part's own core has none.
pub const SYSTICK_MHZ: u64 = 16;
