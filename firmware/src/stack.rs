//! Measures the stack, guards its end, and finds the last call on a full one.
//!
//! The stack has the lowest addresses of RAM (`boards/*/memory.x`), so that it cannot grow into
//! variables: when it overflows it leaves the memory, which is a fault.
// SAFETY of the whole file: start-up code writes every word of the stack before `main`, and flash
// is always readable, so that both may be read anywhere.
#![allow(unsafe_code)]

use core::ptr::addr_of;
use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    // Symbols of the linker script; only the addresses have a meaning.
    static _stack_start: u32;
    static _stack_end: u32;
    static __stext: u32;
    static __etext: u32;
}

/// Makes a stack overflow fault immediately, whatever lies below the stack. Every binary calls it
/// first.
#[cfg(pusht_armv8m)]
pub fn guard() {
    // SAFETY: the stack is above its end.
    unsafe { cortex_m::register::msplim::write(end()) };
}

/// Makes a stack overflow fault immediately, whatever lies below the stack. Every binary calls it
/// first.
///
/// The memory protection unit forbids writing to the 64 MiB below RAM, which starts at 0x2000_0000
/// (Armv7-M ARM, B3.5). A stack overflows by writing, and whatever a part has there is read-only:
/// system memory, factory calibration and option bytes of STM32 (RM0433 and RM0090, 2.3). Memory
/// and registers that start-up code and HALs use lie below: FICR and UICR of nRF (0x1000_0000), the
/// CCM of STM32F4, SRAM2 of STM32L4, flash of the RP2040. Cores without the unit have no memory
/// there.
#[cfg(not(pusht_armv8m))]
pub fn guard() {
    const BASE_VALID_REGION_0: u32 = 0x1c00_0000 | 1 << 4;
    /// Execute never, read only, 2^26 bytes, enabled.
    const ATTRIBUTES: u32 = 1 << 28 | 0b110 << 24 | 25 << 1 | 1;
    /// Default map elsewhere for privileged code; enabled.
    const CTRL: u32 = 1 << 2 | 1;
    assert!(end() == 0x2000_0000);
    // SAFETY: nothing writes to that memory.
    unsafe {
        let mpu = &*cortex_m::peripheral::MPU::PTR;
        let n_regions = mpu._type.read() >> 8 & 0xff;
        if n_regions == 0 {
            return;
        }
        mpu.rbar.write(BASE_VALID_REGION_0);
        mpu.rasr.write(ATTRIBUTES);
        mpu.ctrl.write(CTRL);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// Whether the guard has caught a stack overflow (Armv8-M ARM, D1.2.267: `UFSR.STKOF`).
#[cfg(pusht_armv8m)]
pub fn was_stopped() -> bool {
    const STKOF: u32 = 1 << 20;
    // SAFETY: reading the register changes nothing.
    unsafe { (*cortex_m::peripheral::SCB::PTR).cfsr.read() & STKOF != 0 }
}

/// Always false: no core before Armv8-M reports it.
#[cfg(not(pusht_armv8m))]
pub fn was_stopped() -> bool {
    false
}

/// The lowest address of the stack.
pub fn end() -> u32 {
    addr_of!(_stack_end) as u32
}

/// Largest stack use so far, in bytes: everything above the lowest word that is no longer painted.
pub fn high_water_bytes() -> usize {
    let (mut word, top) = (addr_of!(_stack_end), addr_of!(_stack_start));
    // SAFETY: the pointer is aligned and stays between the two ends of the stack.
    unsafe {
        while word < top && word.read_volatile() == STACK_PAINT_VALUE {
            word = word.add(1);
        }
        top.byte_offset_from_unsigned(word)
    }
}

/// The return address at the lowest address of the stack, 0 if there is none. On a full stack that
/// is the innermost call, or an older one that has not been overwritten.
pub fn innermost_return() -> u32 {
    let (mut word, top) = (addr_of!(_stack_end), addr_of!(_stack_start));
    while word < top {
        // SAFETY: the pointer is aligned and stays between the two ends of the stack.
        let value = unsafe { word.read_volatile() };
        if follows_a_call(value) {
            return value & !1;
        }
        // SAFETY: at most one past the end.
        word = unsafe { word.add(1) };
    }
    0
}

/// Whether `value` is a Thumb address in the code that follows a `bl` or a `blx`.
fn follows_a_call(value: u32) -> bool {
    let code = addr_of!(__stext) as u32 + 4..addr_of!(__etext) as u32;
    if value & 1 == 0 || !code.contains(&(value - 1)) {
        return false;
    }
    let address = (value - 1) as usize;
    // SAFETY: both lie in the code.
    let [first, second] =
        [address - 4, address - 2].map(|at| unsafe { (at as *const u16).read_volatile() });
    let is_bl = first & 0xf800 == 0xf000 && second & 0xd000 == 0xd000;
    let is_blx = second & 0xff87 == 0x4780;
    is_bl || is_blx
}
