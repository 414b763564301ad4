//! How a run ends: with success, or in a fault that the log names.

use core::panic::PanicInfo;
use cortex_m_rt::{ExceptionFrame, exception};

/// Ends a run in which all was well: exit code 0.
pub fn success() -> ! {
    semihosting::process::exit(0)
}

/// Ends a run in which something was wrong: exit code 1.
pub fn failure() -> ! {
    semihosting::process::exit(1)
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    failure()
}

// SAFETY: reads the stacked registers only and does not return to the code that faulted.
#[allow(unsafe_code)]
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at {=u32:#010x}", frame.pc());
    failure()
}
