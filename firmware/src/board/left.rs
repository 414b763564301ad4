//! Peripherals of the chip between start-up and who uses them.

use core::cell::Cell;
use cortex_m::interrupt::Mutex;

/// What start-up leaves for the first who takes it.
pub struct Left<T>(Mutex<Cell<Option<T>>>);

impl<T> Left<T> {
    /// Nothing yet.
    pub const fn nothing() -> Self {
        Self(Mutex::new(Cell::new(None)))
    }

    /// Leaves it.
    pub fn leave(&self, peripheral: T) {
        cortex_m::interrupt::free(|cs| self.0.borrow(cs).set(Some(peripheral)));
    }

    /// Takes it; `None` if it is taken, or not left yet.
    pub fn take(&self) -> Option<T> {
        cortex_m::interrupt::free(|cs| self.0.borrow(cs).take())
    }
}
