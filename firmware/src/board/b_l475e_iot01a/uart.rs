//! USART1 of the STM32L475 (RM0351, chapter 40), at the debugger's serial port. Bytes are received
//! and sent by interrupt. QEMU allows access to its registers by words only, as here.
#![allow(unsafe_code, reason = "unmasking of an interrupt")]

use super::clocks::TIMER_MHZ;
use crate::board::sleep_unless;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::interrupt::Mutex;
use cortex_m::peripheral::NVIC;
use cortex_m::singleton;
use heapless::spsc::{Consumer, Producer, Queue};
use stm32_metapac::gpio::vals::{Moder, Pupdr};
use stm32_metapac::{GPIOB, Interrupt, RCC, USART1, interrupt};

/// Pins of port B, and the number of the function that connects them to the USART (STM32L475 data
/// sheet, table 17).
const TX_PIN: usize = 6;
const RX_PIN: usize = 7;
const USART1_FUNCTION: u8 = 7;
/// Clock of the USART: that of its bus.
const CLOCK_HZ: u32 = TIMER_MHZ as u32 * 1_000_000;

/// Size of the receive queue: several of the longest requests.
const RX_LEN: usize = 512;
const TX_LEN: usize = 128;

/// The interrupt's ends of the queues.
struct Ends {
    received: Producer<'static, u8>,
    to_send: Consumer<'static, u8>,
}

static ENDS: Mutex<RefCell<Option<Ends>>> = Mutex::new(RefCell::new(None));
static LOST: AtomicU32 = AtomicU32::new(0);

#[interrupt]
fn USART1() {
    cortex_m::interrupt::free(|cs| {
        if let Some(ends) = ENDS.borrow(cs).borrow_mut().as_mut() {
            ends.receive();
            ends.send();
        }
    });
}

impl Ends {
    fn receive(&mut self) {
        let state = USART1.isr().read();
        let mut is_lost = state.ore();
        if is_lost {
            USART1.icr().write(|w| w.set_ore(true));
        }
        if state.rxne() {
            let byte = USART1.rdr().read().dr() as u8;
            is_lost |= self.received.enqueue(byte).is_err();
        }
        if is_lost {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends the next byte; its interrupt stays off while there is none.
    fn send(&mut self) {
        if !USART1.isr().read().txe() {
            return;
        }
        match self.to_send.dequeue() {
            Some(byte) => USART1.tdr().write(|w| w.set_dr(byte.into())),
            None => USART1.cr1().modify(|w| w.set_txeie(false)),
        }
    }
}

/// USART1.
pub struct Uart {
    received: Consumer<'static, u8>,
    to_send: Producer<'static, u8>,
}

impl Uart {
    /// Takes the USART and sets it up for `baud`; `None` after the first call.
    pub fn take(baud: u32) -> Option<Self> {
        let rx = singleton!(RX: Queue<u8, RX_LEN> = Queue::new())?;
        let tx = singleton!(TX: Queue<u8, TX_LEN> = Queue::new())?;
        let ((into_rx, received), (to_send, out_of_tx)) = (rx.split(), tx.split());
        let ends = Ends {
            received: into_rx,
            to_send: out_of_tx,
        };
        cortex_m::interrupt::free(|cs| ENDS.borrow(cs).replace(Some(ends)));
        set_pins();
        RCC.apb2enr().modify(|w| w.set_usart1en(true));
        USART1.brr().write(|w| w.set_brr((CLOCK_HZ / baud) as u16));
        USART1.cr1().write(|w| {
            w.set_ue(true);
            w.set_te(true);
            w.set_re(true);
            w.set_rxneie(true);
        });
        // SAFETY: no critical section relies on this interrupt being off.
        unsafe { NVIC::unmask(Interrupt::USART1) };
        Some(Self { received, to_send })
    }

    /// Returns the next byte received.
    pub fn read(&mut self) -> Option<u8> {
        self.received.dequeue()
    }

    /// Number of bytes lost since the last call.
    pub fn lost(&mut self) -> u32 {
        LOST.swap(0, Ordering::Relaxed)
    }

    /// Sends `bytes`; returns when the last one waits to be sent.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            while self.to_send.enqueue(*byte).is_err() {
                sleep_unless(|| self.to_send.ready());
            }
            // The interrupt changes the register, too.
            cortex_m::interrupt::free(|_| USART1.cr1().modify(|w| w.set_txeie(true)));
        }
    }

    /// Returns when the last byte has been sent.
    pub fn flush(&mut self) {
        while USART1.cr1().read().txeie() {
            sleep_unless(|| !USART1.cr1().read().txeie());
        }
        while !USART1.isr().read().tc() {}
    }

    /// Sleeps until an interrupt, unless a byte has been received.
    pub fn wait(&mut self) {
        sleep_unless(|| self.received.ready());
    }
}

/// Connects the pins, with a pull-up where nothing may be connected.
fn set_pins() {
    RCC.ahb2enr().modify(|w| w.set_gpioben(true));
    GPIOB
        .pupdr()
        .modify(|w| w.set_pupdr(RX_PIN, Pupdr::PULL_UP));
    for pin in [TX_PIN, RX_PIN] {
        GPIOB.afr(0).modify(|w| w.set_afr(pin, USART1_FUNCTION));
        GPIOB.moder().modify(|w| w.set_moder(pin, Moder::ALTERNATE));
    }
}
