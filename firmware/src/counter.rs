//! Instructions executed, by the SysTick timer.

use crate::board::SYSTICK_MHZ;

use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;

/// Time that an instruction takes in QEMU with `-icount shift=6`: 2^6 ns.
pub const INSTRUCTION_NS: u64 = 64;
/// SysTick counts down from here to 0, then starts again.
const RELOAD: u32 = 0x00ff_ffff;

static WRAPS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    // Nothing else writes it, and a Cortex-M0 has no atomic addition.
    WRAPS.store(WRAPS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Counts the instructions that QEMU executes; without `-icount`, it counts time in the same unit.
pub struct InstructionCounter(());

impl InstructionCounter {
    /// Starts the timer behind the counter.
    pub fn start(mut timer: SYST) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(RELOAD);
        timer.clear_current();
        timer.enable_interrupt();
        timer.enable_counter();
        Self(())
    }

    /// Instructions since the start, to within about a dozen and 64 for each 2^24 ticks.
    pub fn now(&self) -> u64 {
        self.ticks() * 1000 / (SYSTICK_MHZ * INSTRUCTION_NS)
    }

    /// Time since the start, us.
    pub fn us(&self) -> u64 {
        self.ticks() / SYSTICK_MHZ
    }

    fn ticks(&self) -> u64 {
        loop {
            let wraps = WRAPS.load(Ordering::Relaxed);
            let elapsed = u64::from(RELOAD - SYST::get_current());
            // A wrap between the two reads makes them disagree.
            if wraps == WRAPS.load(Ordering::Relaxed) {
                return u64::from(wraps) * (u64::from(RELOAD) + 1) + elapsed;
            }
        }
    }
}
