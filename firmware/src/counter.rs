//! Instructions executed, by the SysTick timer.

use crate::board::SYSTICK_MHZ;

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::interrupt::Mutex;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;

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
    // Nothing else writes it, and a Cortex-M0 has no atomic addition.
    WRAPS.store(WRAPS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    if TASK.is_none() {
        *TASK = cortex_m::interrupt::free(|cs| NEW_TASK.borrow(cs).take());
    }
    if let Some(task) = TASK {
        task.run(&Timer(()));
    }
}

/// Counts the instructions that QEMU executes; without `-icount`, it counts time in the same unit.
pub struct InstructionCounter(());

impl InstructionCounter {
    /// Starts the timer behind the counter.
    pub fn start(timer: SYST) -> Self {
        Self::start_with_period(timer, LONGEST)
    }

    /// Starts the timer behind the counter, and the task in its interrupt, `rate_hz` times a second.
    pub fn start_with_task(timer: SYST, rate_hz: u32, task: &'static mut dyn Task) -> Self {
        cortex_m::interrupt::free(|cs| NEW_TASK.borrow(cs).set(Some(task)));
        Self::start_with_period(timer, SYSTICK_MHZ as u32 * 1_000_000 / rate_hz - 1)
    }

    fn start_with_period(mut timer: SYST, reload: u32) -> Self {
        RELOAD.store(reload, Ordering::Relaxed);
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(reload);
        timer.clear_current();
        timer.enable_interrupt();
        timer.enable_counter();
        Self(())
    }

    /// Instructions since the start, to within about a dozen and 64 for each 2^24 ticks.
    pub fn now(&self) -> u64 {
        self.instructions(self.ticks())
    }

    /// Time since the start, us.
    pub fn us(&self) -> u64 {
        self.ticks() / SYSTICK_MHZ
    }

    /// Ticks of the timer since the start.
    pub fn ticks(&self) -> u64 {
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

    /// As many ticks in instructions.
    pub fn instructions(&self, ticks: u64) -> u64 {
        ticks * 1000 / (SYSTICK_MHZ * INSTRUCTION_NS)
    }
}
