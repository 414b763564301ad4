//! What work costs, and the time.
//!
//! On silicon [`Counter::now`] counts the core's cycles (DWT, Armv7-M ARM C1.8 and Armv8-M ARM B14). QEMU has no such counter and no cycles:
//! there it counts instructions, by the SysTick timer. The time is SysTick's on both.

use crate::board::SYSTICK_MHZ;

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::interrupt::Mutex;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{Peripherals, SCB, SYST};
use cortex_m_rt::exception;

/// What [`Counter::now`] counts.
pub const UNIT: &str = if cfg!(feature = "qemu") {
    "instructions"
} else {
    "cycles"
};
/// Time that an instruction takes in QEMU with `-icount shift=6`: 2^6 ns.
pub const INSTRUCTION_NS: u64 = 64;
/// SysTick counts down from here to 0, then starts again, unless a task needs it oftener.
const LONGEST: u32 = 0x00ff_ffff;

static RELOAD: AtomicU32 = AtomicU32::new(LONGEST);
static WRAPS: AtomicU32 = AtomicU32::new(0);
static NEW_TASK: Mutex<Cell<Option<&'static mut dyn Task>>> = Mutex::new(Cell::new(None));

/// What the timer's interrupt does, ahead of everything else.
pub trait Task: Send {
    /// One turn; `timer` has just started again.
    fn run(&mut self, timer: &Timer);
}

/// The timer as its task sees it.
pub struct Timer(());

impl Timer {
    /// Ticks since the timer started again.
    pub fn elapsed(&self) -> u32 {
        RELOAD.load(Ordering::Relaxed) - SYST::get_current()
    }

    /// Whether it has started yet again: the task has taken longer than its period.
    pub fn is_overrun(&self) -> bool {
        SCB::is_pendst_pending()
    }
}

#[exception]
fn SysTick() {
    static mut TASK: Option<&'static mut dyn Task> = None;
    #[cfg(feature = "silicon")]
    cycles::carry();
    // Nothing else writes it, and a Cortex-M0 has no atomic addition.
    WRAPS.store(WRAPS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    if TASK.is_none() {
        *TASK = cortex_m::interrupt::free(|cs| NEW_TASK.borrow(cs).take());
    }
    if let Some(task) = TASK {
        task.run(&Timer(()));
    }
}

/// Counts what [`UNIT`] says.
pub struct Counter(());

impl Counter {
    /// Starts it.
    pub fn start(peripherals: Peripherals) -> Self {
        Self::start_with_period(peripherals, LONGEST)
    }

    /// Starts it, and the task in the timer's interrupt, `rate_hz` times a second.
    pub fn start_with_task(
        peripherals: Peripherals,
        rate_hz: u32,
        task: &'static mut dyn Task,
    ) -> Self {
        cortex_m::interrupt::free(|cs| NEW_TASK.borrow(cs).set(Some(task)));
        Self::start_with_period(peripherals, SYSTICK_MHZ as u32 * 1_000_000 / rate_hz - 1)
    }

    fn start_with_period(peripherals: Peripherals, reload: u32) -> Self {
        #[cfg(feature = "silicon")]
        cycles::start(peripherals.DCB, peripherals.DWT);
        let mut timer = peripherals.SYST;
        RELOAD.store(reload, Ordering::Relaxed);
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(reload);
        timer.clear_current();
        timer.enable_interrupt();
        timer.enable_counter();
        Self(())
    }

    /// Cycles or instructions since the start; instructions to within about a dozen and 64 for each 2^24 ticks.
    pub fn now(&self) -> u64 {
        self.in_units(self.raw())
    }

    /// What is counted in the hardware's own unit, for differences that are rounded once, by [`in_units`](Self::in_units).
    pub fn raw(&self) -> u64 {
        #[cfg(feature = "silicon")]
        return cycles::now();
        #[cfg(feature = "qemu")]
        self.ticks()
    }

    /// As much of [`raw`](Self::raw) in cycles or instructions.
    pub fn in_units(&self, raw: u64) -> u64 {
        if cfg!(feature = "silicon") {
            raw
        } else {
            raw * 1000 / (SYSTICK_MHZ * INSTRUCTION_NS)
        }
    }

    /// Time since the start, us.
    pub fn us(&self) -> u64 {
        self.ticks() / SYSTICK_MHZ
    }

    /// Ticks of the timer since the start.
    fn ticks(&self) -> u64 {
        loop {
            let wraps = WRAPS.load(Ordering::Relaxed);
            let reload = RELOAD.load(Ordering::Relaxed);
            let elapsed = u64::from(reload - SYST::get_current());
            // A wrap between the two reads makes them disagree.
            if wraps == WRAPS.load(Ordering::Relaxed) {
                return u64::from(wraps) * (u64::from(reload) + 1) + elapsed;
            }
        }
    }
}

/// The cycle counter's 32 bits, which some cores wrap every ten seconds, and 32 more: the timer's interrupt comes oftener.
#[cfg(feature = "silicon")]
mod cycles {
    use core::sync::atomic::{AtomicU32, Ordering};
    use cortex_m::peripheral::{DCB, DWT};

    static HIGH: AtomicU32 = AtomicU32::new(0);
    /// The counter when `HIGH` was last looked after.
    static LAST: AtomicU32 = AtomicU32::new(0);

    pub fn start(mut debug: DCB, mut counters: DWT) {
        debug.enable_trace();
        // The M7's registers are locked after a reset.
        DWT::unlock();
        counters.set_cycle_count(0);
        counters.enable_cycle_counter();
    }

    /// From the timer's interrupt.
    pub fn carry() {
        let count = DWT::cycle_count();
        if count < LAST.load(Ordering::Relaxed) {
            HIGH.store(HIGH.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        LAST.store(count, Ordering::Relaxed);
    }

    pub fn now() -> u64 {
        loop {
            let (high, last) = (HIGH.load(Ordering::Relaxed), LAST.load(Ordering::Relaxed));
            let count = DWT::cycle_count();
            // The interrupt between these reads changes `LAST`.
            if last == LAST.load(Ordering::Relaxed) {
                let carry = u32::from(count < last);
                return u64::from(high + carry) << 32 | u64::from(count);
            }
        }
    }
}
