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
