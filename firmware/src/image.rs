//! Size of the image in flash and RAM, by the symbols of the linker script.
#![allow(
    unsafe_code,
    reason = "the symbols' declaration; nothing of them is read"
)]

use crate::expected::MODELS;
use core::ptr::addr_of;

unsafe extern "C" {
    // Only the addresses have a meaning.
    static __vector_table: u32;
    static __sidata: u32;
    static __sdata: u32;
    static __edata: u32;
    static __euninit: u32;
}

/// The address behind the image in flash.
pub fn end() -> usize {
    let initial = addr_of!(__edata) as usize - addr_of!(__sdata) as usize;
    addr_of!(__sidata) as usize + initial
}

/// Bytes of flash: code, constants, models and the initial values of variables.
pub fn flash_bytes() -> usize {
    let start = addr_of!(__vector_table) as usize;
    let end = end();
    let is_elsewhere = |model: &[u8]| !(start..end).contains(&(model.as_ptr() as usize));
    let models = MODELS.iter().map(|(_, file)| *file);
    let elsewhere: usize = models
        .filter(|file| is_elsewhere(file))
        .map(<[u8]>::len)
        .sum();
    end - start + elsewhere
}

/// Bytes of RAM: variables, without the stack.
pub fn ram_bytes() -> usize {
    addr_of!(__euninit) as usize - addr_of!(__sdata) as usize
}
