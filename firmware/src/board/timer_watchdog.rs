//! Takes the place of a watchdog that QEMU does not have: the timer's interrupt restarts the device,
//! as long as interrupts are not masked.

use super::TIMER_MHZ;
use crate::{counter, fault};
use core::sync::atomic::{AtomicU32, Ordering};

/// The timer's interrupts after which the device restarts unless it is fed, and those that are left;
/// 0 while it is not armed.
static PERIODS: AtomicU32 = AtomicU32::new(0);
static LEFT: AtomicU32 = AtomicU32::new(0);

/// Arms it; it cannot be disarmed.
pub fn arm(period_ms: u32) {
    let ticks = period_ms * TIMER_MHZ as u32 * 1000;
    let periods = ticks.div_ceil(counter::running_period()) + 1;
    PERIODS.store(periods, Ordering::Relaxed);
    feed();
}

/// Restarts its period.
pub fn feed() {
    LEFT.store(PERIODS.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Counts an interrupt of the timer, and restarts the device after the last one.
pub fn on_timer() {
    match LEFT.load(Ordering::Relaxed) {
        0 => {}
        1 => fault::not_fed(),
        left => LEFT.store(left - 1, Ordering::Relaxed),
    }
}
