//! The timer of Nordic's chips: a TIMER at 16 MHz. SysTick does not count in `wfi` there, as long
//! as no debugger is attached (nRF52840 product specification 1.8, 4.1: the core's clock stops),
//! and the nRF51822 has none. A TIMER keeps its clock and its interrupt wakes the core (nRF52840
//! product specification, 6.30; nRF51 reference manual 3.0, chapter 18).
// SAFETY of the whole file: the registers belong to the timer that nothing else uses, and each is
// accessed as a whole word.
#![allow(unsafe_code)]

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::{NVIC, SYST};

/// TIMER0 of the nRF51822, the only one with 32 bits, or TIMER1 of the nRF52840: the driver of its
/// UART counts bytes with TIMER0.
const BASE: usize = if cfg!(feature = "board-microbit") {
    0x4000_8000
} else {
    0x4000_9000
};
/// The number of the interrupt is the peripheral's.
pub const IRQ: u16 = (BASE >> 12 & 0xff) as u16;

/// The longest period, ticks: an eighth of a second, since the core sleeps as long, and the
/// controller looks for a silent host when it wakes.
pub const LONGEST: u32 = 1 << 21;

const TASKS_START: usize = 0x000;
const TASKS_STOP: usize = 0x004;
const TASKS_CLEAR: usize = 0x00c;
const TASKS_CAPTURE_1: usize = 0x044;
const EVENTS_COMPARE_0: usize = 0x140;
const SHORTS: usize = 0x200;
const INTENSET: usize = 0x304;
const MODE: usize = 0x504;
const BITMODE: usize = 0x508;
const PRESCALER: usize = 0x510;
const CC_0: usize = 0x540;
const CC_1: usize = 0x544;

const COMPARE_0_CLEAR: u32 = 1 << 0;
const INT_COMPARE_0: u32 = 1 << 16;
const MODE_TIMER: u32 = 0;
const BITMODE_32: u32 = 3;

fn read(register: usize) -> u32 {
    // SAFETY: see the top of the file.
    unsafe { ((BASE + register) as *const u32).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: see the top of the file.
    unsafe { ((BASE + register) as *mut u32).write_volatile(value) }
}

#[derive(Clone, Copy)]
struct Irq;

// SAFETY: the number is the timer's.
unsafe impl InterruptNumber for Irq {
    fn number(self) -> u16 {
        IRQ
    }
}

/// Starts the timer: an interrupt every `period` ticks. SysTick stays off.
pub fn start(_systick: SYST, period: u32) {
    write(TASKS_STOP, 1);
    write(TASKS_CLEAR, 1);
    write(MODE, MODE_TIMER);
    write(BITMODE, BITMODE_32);
    write(PRESCALER, 0);
    write(CC_0, period);
    write(EVENTS_COMPARE_0, 0);
    write(SHORTS, COMPARE_0_CLEAR);
    write(INTENSET, INT_COMPARE_0);
    // SAFETY: no critical section relies on this interrupt being off.
    unsafe { NVIC::unmask(Irq) };
    write(TASKS_START, 1);
}

/// Ticks since the period began.
pub fn elapsed() -> u32 {
    // An interrupt between the two captures anew, which is later and as right.
    write(TASKS_CAPTURE_1, 1);
    read(CC_1)
}

/// Whether a period has ended and its interrupt has not run yet.
pub fn is_pending() -> bool {
    read(EVENTS_COMPARE_0) != 0
}

/// Handles the timer's interrupt.
pub fn on_interrupt() {
    write(EVENTS_COMPARE_0, 0);
    // The write has arrived when it can be read back; before, the interrupt would come again.
    read(EVENTS_COMPARE_0);
    crate::counter::on_timer();
}
