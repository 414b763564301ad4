//! Ends a run with an exit code.
//!
//! QEMU's own boards end it by semihosting. A physical board has no one to ask, and without a
//! debugger a semihosting call is a lock-up: it logs the code and sleeps for ever. `cargo firmware`
//! takes that line of the log for the end, from a probe as from QEMU. Tests on a board (feature
//! `semihosting`) have a debugger, and tell it how they end.

/// Ends a successful run: exit code 0.
pub fn success() -> ! {
    end(0)
}

/// Ends a failed run: exit code 1.
pub fn failure() -> ! {
    end(1)
}

#[cfg(feature = "semihosting")]
fn end(code: i32) -> ! {
    #[cfg(feature = "silicon")]
    crate::rtt::let_a_host_read();
    semihosting::process::exit(code)
}

#[cfg(not(feature = "semihosting"))]
fn end(code: i32) -> ! {
    // Without a level, so that no choice of levels removes it.
    defmt::println!("exit_code={=i32}", code);
    cortex_m::interrupt::disable();
    loop {
        cortex_m::asm::wfi();
    }
}
