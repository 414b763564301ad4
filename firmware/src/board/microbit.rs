//! The BBC micro:bit in QEMU: a Cortex-M0 (nRF51822) with 256 KiB of flash and 16 KiB of RAM. It
//! runs what fits: the simulator, the kernels, and plans of a network with few channels.

/// Clock of SysTick, MHz (QEMU, `hw/arm/nrf51_soc.c`). The real nRF51822 has no SysTick.
pub const SYSTICK_MHZ: u64 = 16;
