//! How deep the stack has been.
// SAFETY of the whole file: start-up code writes every word of the stack's memory before `main`, so that
// all of it may be read.
#![allow(unsafe_code)]

use core::ptr::addr_of;
use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    // Symbols of the linker script; only their addresses mean something.
    static _stack_start: u32;
    static _stack_end: u32;
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
