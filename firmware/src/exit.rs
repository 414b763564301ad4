//! Ends a run with an exit code.
//!
//! QEMU's own boards end it by semihosting. A physical board has no one to ask, and without a
//! debugger a semihosting call is a lock-up: it logs the code and sleeps for ever. `cargo firmware`
//! takes that line of the log for the end, from a probe as from QEMU.

/// Ends a successful run: exit code 0.
pub fn success() -> ! {
    end(0)
}

/// Ends a failed run: exit code 1.
pub fn failure() -> ! {
    end(1)
}

#[cfg(feature = "qemu")]
fn end(code: i32) -> ! {
    semihosting::process::exit(code)
}

#[cfg(feature = "silicon")]
fn end(code: i32) -> ! {
    // Without a level, so that no choice of levels removes it.
    defmt::println!("exit_code={=i32}", code);
    cortex_m::interrupt::disable();
    loop {
        cortex_m::asm::wfi();
    }
}
