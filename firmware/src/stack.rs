//! How deep the stack has been, and what lies on it when it is full.
//!
//! The stack has the lowest addresses of RAM (`boards/*/memory.x`), so that it cannot grow into variables: it leaves the memory, which
//! is a fault.
// SAFETY of the whole file: start-up code writes every word of the stack's memory before `main`, and flash is always readable, so that
// all of both may be read.
#![allow(unsafe_code)]

use core::ptr::addr_of;
use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    // Symbols of the linker script; only their addresses mean something.
    static _stack_start: u32;
    static _stack_end: u32;
    static __stext: u32;
    static __etext: u32;
}

/// Makes a full stack fault at once, whatever lies below its memory. From the start of every binary on.
#[cfg(pusht_armv8m)]
pub fn guard() {
    // SAFETY: the stack is above its end.
    unsafe { cortex_m::register::msplim::write(end()) };
}

/// Makes a full stack fault at once, whatever lies below its memory. From the start of every binary on.
///
/// The memory protection unit forbids the 256 MiB below RAM, which starts at 0x2000_0000 (Armv7-M ARM, B3.5). A core without one has nothing
/// there.
#[cfg(not(pusht_armv8m))]
pub fn guard() {
    const BASE_VALID_REGION_0: u32 = 0x1000_0000 | 1 << 4;
    /// Never executed, no access; 2^28 bytes; enabled.
    const ATTRIBUTES: u32 = 1 << 28 | 27 << 1 | 1;
    /// Privileged code keeps the default map elsewhere; enabled.
    const CTRL: u32 = 1 << 2 | 1;
    assert!(end() == 0x2000_0000);
    // SAFETY: nothing uses that memory.
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

/// Whether the guard has stopped the stack (Armv8-M ARM, D1.2.267: `UFSR.STKOF`).
#[cfg(pusht_armv8m)]
pub fn was_stopped() -> bool {
    const STKOF: u32 = 1 << 20;
    // SAFETY: reading the register changes nothing.
    unsafe { (*cortex_m::peripheral::SCB::PTR).cfsr.read() & STKOF != 0 }
}

/// Whether the guard has stopped the stack: no core before Armv8-M says so.
#[cfg(not(pusht_armv8m))]
pub fn was_stopped() -> bool {
    false
}

/// The lowest address of the stack's memory.
pub fn end() -> u32 {
    addr_of!(_stack_end) as u32
}

/// Most bytes of stack in use at any time so far: all above the lowest word that has lost its paint.
pub fn high_water_bytes() -> usize {
    let (mut word, top) = (addr_of!(_stack_end), addr_of!(_stack_start));
    // SAFETY: the pointer is aligned and stays between the two ends of the stack's memory.
    unsafe {
        while word < top && word.read_volatile() == STACK_PAINT_VALUE {
            word = word.add(1);
        }
        top.byte_offset_from_unsigned(word)
    }
}

/// The return address that lies deepest in the stack's memory, 0 if there is none. With a full stack that is the innermost call, or one
/// of before that nothing has overwritten.
pub fn innermost_return() -> u32 {
    let (mut word, top) = (addr_of!(_stack_end), addr_of!(_stack_start));
    while word < top {
        // SAFETY: the pointer is aligned and stays between the two ends of the stack's memory.
        let value = unsafe { word.read_volatile() };
        if follows_a_call(value) {
            return value & !1;
        }
        // SAFETY: at most one past the end.
        word = unsafe { word.add(1) };
    }
    0
}

/// Whether `value` is an address in the code, in Thumb state, behind a `bl` or a `blx`.
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
