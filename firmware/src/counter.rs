//! Measures cost and time, and runs the task of the timer.
//!
//! On physical boards, [`Counter::now`] counts the cycles of the core (DWT, Armv7-M ARM C1.8 and
//! Armv8-M ARM B14; SysTick where Armv6-M has no such counter). QEMU models no cycles: there it
//! counts instructions, by the board's timer. Time is measured with that timer on both.

use crate::board::{TIMER_MHZ, timer};

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use cortex_m::interrupt::Mutex;
use cortex_m::peripheral::Peripherals;

/// Unit of [`Counter::now`].
pub const UNIT: &str = if cfg!(feature = "qemu") {
    "instructions"
} else {
    "cycles"
};
/// Virtual time per instruction in QEMU with `-icount shift=6`: 2^6 ns.
pub const INSTRUCTION_NS: u64 = 64;

/// The timer's period, ticks: its longest, unless a task has a shorter one.
static PERIOD: AtomicU32 = AtomicU32::new(timer::LONGEST);
static PERIODS: AtomicU32 = AtomicU32::new(0);
static TASK: Mutex<Cell<Option<&'static mut dyn Task>>> = Mutex::new(Cell::new(None));
static IS_STARTED: AtomicBool = AtomicBool::new(false);

/// Work of the timer interrupt, which comes before everything else.
pub trait Task: Send {
    /// Runs once per period, which has just begun.
    fn run(&mut self, timer: &Timer);
}

/// The timer as its task sees it.
pub struct Timer(());

impl Timer {
    /// Ticks since the period began.
    pub fn elapsed(&self) -> u32 {
        timer::elapsed()
    }

    /// Whether the next period has begun: the task has taken longer than a period.
    pub fn is_overrun(&self) -> bool {
        timer::is_pending()
    }
}

/// Counts a period and runs the task; the timer's interrupt calls it.
pub(crate) fn on_timer() {
    #[cfg(pusht_cycle_counter)]
    cycles::carry();
    #[cfg(any(feature = "stm32", feature = "board-microbit"))]
    crate::board::timer_watchdog::on_timer();
    // Nothing else writes it, and a Cortex-M0 has no atomic addition.
    PERIODS.store(PERIODS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    let task = cortex_m::interrupt::free(|cs| TASK.borrow(cs).take());
    if let Some(task) = task {
        task.run(&Timer(()));
        cortex_m::interrupt::free(|cs| TASK.borrow(cs).set(Some(task)));
    }
}

// Time of each message of the log, since the timer's start; 0 before it.
defmt::timestamp!("{=u64:us}", uptime_us());

fn uptime_us() -> u64 {
    match IS_STARTED.load(Ordering::Relaxed) {
        true => Counter(()).us(),
        false => 0,
    }
}

/// Ticks from one interrupt of the timer to the next; starts the timer if it is off.
#[cfg(any(feature = "stm32", feature = "board-microbit"))]
#[allow(
    unsafe_code,
    reason = "the timer is taken where no one else has started it"
)]
pub(crate) fn running_period() -> u32 {
    if !IS_STARTED.load(Ordering::Relaxed) {
        // SAFETY: only this looks at the peripherals again, and only at a timer that is off.
        Counter::start(unsafe { Peripherals::steal() });
    }
    PERIOD.load(Ordering::Relaxed)
}

/// A counter of [`UNIT`]s and of time.
pub struct Counter(());

impl Counter {
    /// Starts the counter.
    pub fn start(peripherals: Peripherals) -> Self {
        Self::start_with_period(peripherals, timer::LONGEST)
    }

    /// Starts the counter, and the task in the timer interrupt, `rate_hz` times per second.
    pub fn start_with_task(
        peripherals: Peripherals,
        rate_hz: u32,
        task: &'static mut dyn Task,
    ) -> Self {
        cortex_m::interrupt::free(|cs| TASK.borrow(cs).set(Some(task)));
        Self::start_with_period(peripherals, TIMER_MHZ as u32 * 1_000_000 / rate_hz)
    }

    fn start_with_period(peripherals: Peripherals, period: u32) -> Self {
        #[cfg(pusht_cycle_counter)]
        if !cycles::start(peripherals.DCB, peripherals.DWT) {
            defmt::warn!("absent: DWT; the timer counts cycles");
        }
        PERIOD.store(period, Ordering::Relaxed);
        timer::start(peripherals.SYST, period);
        IS_STARTED.store(true, Ordering::Relaxed);
        Self(())
    }

    /// Cycles or instructions since the start. Instructions are exact to about a dozen, and to 64
    /// more per 2^24 ticks.
    pub fn now(&self) -> u64 {
        self.in_units(self.raw())
    }

    /// The count in the unit of the hardware. Differences of it are rounded only once, by
    /// [`in_units`](Self::in_units).
    pub fn raw(&self) -> u64 {
        #[cfg(pusht_cycle_counter)]
        if cycles::is_counting() {
            return cycles::now();
        }
        self.ticks()
    }

    /// Converts a difference of [`raw`](Self::raw) to cycles or instructions.
    pub fn in_units(&self, raw: u64) -> u64 {
        if cfg!(feature = "silicon") {
            raw
        } else {
            raw * 1000 / (TIMER_MHZ * INSTRUCTION_NS)
        }
    }

    /// Time since the start, us.
    pub fn us(&self) -> u64 {
        self.ticks() / TIMER_MHZ
    }

    /// Ticks of the timer since the start.
    fn ticks(&self) -> u64 {
        loop {
            let periods = PERIODS.load(Ordering::Relaxed);
            let period = PERIOD.load(Ordering::Relaxed);
            let elapsed = timer::elapsed();
            // The period may have ended while its interrupt was masked or on its way.
            let is_uncounted = timer::is_pending() && elapsed < period / 2;
            // An interrupt between these reads makes them disagree.
            if periods == PERIODS.load(Ordering::Relaxed) {
                let periods = u64::from(periods) + u64::from(is_uncounted);
                return periods * u64::from(period) + u64::from(elapsed);
            }
        }
    }
}

/// Extends the cycle counter, which wraps every ten seconds on some cores, from 32 to 64 bits. The
/// timer interrupt comes more often than it wraps.
#[cfg(pusht_cycle_counter)]
mod cycles {
    use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use cortex_m::peripheral::{DCB, DWT};

    static IS_COUNTING: AtomicBool = AtomicBool::new(false);

    static HIGH: AtomicU32 = AtomicU32::new(0);
    /// Value of the counter when `HIGH` was last updated.
    static LAST: AtomicU32 = AtomicU32::new(0);

    /// Starts the counter, and tells whether it counts: QEMU has none.
    pub fn start(mut debug: DCB, mut counters: DWT) -> bool {
        debug.enable_trace();
        // The registers of the Cortex-M7 are locked after a reset.
        DWT::unlock();
        counters.set_cycle_count(0);
        counters.enable_cycle_counter();
        let before = DWT::cycle_count();
        cortex_m::asm::delay(8);
        IS_COUNTING.store(DWT::cycle_count() != before, Ordering::Relaxed);
        is_counting()
    }

    pub fn is_counting() -> bool {
        IS_COUNTING.load(Ordering::Relaxed)
    }

    /// Counts a wrap; called by the timer interrupt.
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
            // An interrupt between these reads changes `LAST`.
            if last == LAST.load(Ordering::Relaxed) {
                let carry = u32::from(count < last);
                return u64::from(high + carry) << 32 | u64::from(count);
            }
        }
    }
}
