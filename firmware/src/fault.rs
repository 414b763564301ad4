//! Fault handling. After a fault the agent is no longer driven and a log message says what happened
//! and where. Then the run ends with exit code 1 or, if it began with [`start`], the device
//! restarts and knows the reason.

use crate::{board, exit, stack};
use core::arch::naked_asm;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use cortex_m::peripheral::SCB;
use pusht_core::link::Restart;

/// Whether a fault ends in a restart.
static RESTARTS: AtomicBool = AtomicBool::new(false);

/// Reason of the restart: a mark, a kind, an address. Start-up code leaves this memory alone.
// SAFETY: the section only keeps start-up code from initialising the variable; every value is
// valid.
#[allow(unsafe_code)]
#[unsafe(link_section = ".uninit.RESTART")]
static RESTART: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
/// Marks that the memory holds a reason; unlikely as its content after power-up.
const MARK: u32 = 0xfa17_a11e;

/// Starts the board; from here on, faults end in a restart. Returns the reason of this start and
/// logs it.
pub fn start() -> Restart {
    board::start();
    let restart = restart();
    RESTARTS.store(true, Ordering::Relaxed);
    defmt::info!("board={=str} start={}", board::NAME, restart);
    restart
}

/// Reads and clears the reason of this start.
fn restart() -> Restart {
    let [mark, kind, address] = &RESTART;
    if mark.load(Ordering::Relaxed) != MARK {
        return match board::was_reset_by_watchdog() {
            true => Restart::Watchdog,
            false => Restart::PowerOrPin,
        };
    }
    mark.store(0, Ordering::Relaxed);
    let address = address.load(Ordering::Relaxed);
    match kind.load(Ordering::Relaxed) {
        1 => Restart::Watchdog,
        2 => Restart::Panic,
        3 => Restart::HardFault { address },
        4 => Restart::StackOverflow { address },
        _ => Restart::PowerOrPin,
    }
}

/// Enters the safe state: interrupts are masked, and nothing is driven until the restart, which
/// begins idle. Returns whether this fault is the first. It is not if it occurs while another one
/// is being logged: the watchdog may fire within a log message, and a message within a message
/// panics.
fn is_first(why: Restart) -> bool {
    static IS_ENDING: AtomicBool = AtomicBool::new(false);
    cortex_m::interrupt::disable();
    if IS_ENDING.load(Ordering::Relaxed) {
        return false;
    }
    IS_ENDING.store(true, Ordering::Relaxed);
    let (kind, at) = match why {
        Restart::PowerOrPin => (0, 0),
        Restart::Watchdog => (1, 0),
        Restart::Panic => (2, 0),
        Restart::HardFault { address } => (3, address),
        Restart::StackOverflow { address } => (4, address),
    };
    let [mark, stored_kind, address] = &RESTART;
    stored_kind.store(kind, Ordering::Relaxed);
    address.store(at, Ordering::Relaxed);
    mark.store(MARK, Ordering::Relaxed);
    true
}

/// Ends the safe state: restarts the device or ends the run.
fn end() -> ! {
    if RESTARTS.load(Ordering::Relaxed) {
        #[cfg(feature = "silicon")]
        crate::rtt::let_a_debugger_read();
        SCB::sys_reset()
    }
    exit::failure()
}

/// Handles `defmt::panic!`, which has already logged message and place.
#[defmt::panic_handler]
fn logged_panic() -> ! {
    is_first(Restart::Panic);
    end()
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    if is_first(Restart::Panic) {
        let (file, line) = match info.location() {
            Some(place) => (place.file(), place.line()),
            None => ("", 0),
        };
        // Values within a message are left out: `core::fmt` would come into every image.
        let message = info.message().as_str().unwrap_or("a message with values");
        defmt::error!("panicked at {=str}:{=u32}: {=str}", file, line, message);
    }
    end()
}

/// Defines an exception that calls `$handler(sp, pc)` with the stack pointer at the exception and
/// the interrupted address (0 if the stack is full and does not hold it). The handler runs on a
/// fresh stack: it does not return, and the old stack may have no room.
macro_rules! on_a_new_stack {
    ($exception:ident, $handler:path) => {
        // SAFETY: an exception entry; it reads the exception frame, if that lies in the stack, and
        // never returns.
        #[allow(unsafe_code, non_snake_case)]
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $exception() {
            naked_asm!(
                "mov r0, sp",
                "movs r1, #0",
                "ldr r2, 2f",
                "ldr r3, 3f",
                "cmp r0, r2",
                "blo 1f",
                // The frame is r0 to r3, r12, lr, pc, xPSR.
                "ldr r1, [r0, #24]",
                "1:",
                "mov sp, r3",
                "bl {handler}",
                ".p2align 2",
                "2: .word _stack_end",
                "3: .word _stack_start",
                handler = sym $handler,
            )
        }
    };
}

on_a_new_stack!(HardFault, hard_fault);
#[cfg(not(feature = "board-b-l475e-iot01a"))]
on_a_new_stack!(NonMaskableInt, watchdog_expired);

/// Bytes that may be free on a full stack, because the next push does not fit: less than a frame of
/// 16 registers.
const OVERFLOW_MARGIN: u32 = 64;

extern "C" fn hard_fault(sp: u32, pc: u32) -> ! {
    if stack::was_stopped() {
        if is_first(Restart::StackOverflow { address: pc }) {
            defmt::error!("stack overflow: sp={=u32:#010x} pc={=u32:#010x}", sp, pc);
        }
    } else if sp < stack::end() + OVERFLOW_MARGIN {
        let address = stack::innermost_return();
        if is_first(Restart::StackOverflow { address }) {
            defmt::error!(
                "stack overflow: sp={=u32:#010x}, innermost known call returns to pc={=u32:#010x}",
                sp,
                address
            );
        }
    } else if is_first(Restart::HardFault { address: pc }) {
        defmt::error!("hard fault at pc={=u32:#010x}", pc);
    }
    end()
}

/// Handles memory of the image that does not hold what was written.
#[cfg(feature = "board-b-l475e-iot01a")]
pub fn memory_is_damaged(address: u32) -> ! {
    if is_first(Restart::HardFault { address }) {
        defmt::error!("flash is damaged at {=u32:#010x}", address);
    }
    end()
}

/// Handles a timeout where the timer's interrupt stands in for a watchdog.
#[cfg(any(feature = "stm32", feature = "board-microbit"))]
pub fn not_fed() -> ! {
    if is_first(Restart::Watchdog) {
        defmt::error!("watchdog: not fed in time");
    }
    end()
}

#[cfg(not(feature = "board-b-l475e-iot01a"))]
extern "C" fn watchdog_expired(_sp: u32, pc: u32) -> ! {
    if is_first(Restart::Watchdog) {
        defmt::error!("watchdog: hanging at pc={=u32:#010x}", pc);
    }
    end()
}
