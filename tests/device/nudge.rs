//! Keeps QEMU's event loop going for a UART whose model does not ask for the next byte.
//!
//! QEMU 10's STM32L4 USART (`hw/char/stm32l4x5_usart.c`) takes a byte only when the event loop turns
//! for another reason: reading the last one does not wake it. Bytes for the second UART, whose
//! receiver is off, are such a reason, and are lost.

use anyhow::Result;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

/// Time between two bytes: two on the wire of the first UART.
const PERIOD: Duration = Duration::from_micros(200);

/// Waits for QEMU to connect to the argument of `-serial` that it returns, and sends bytes there
/// until QEMU ends.
///
/// # Errors
/// If the system has no port.
pub fn serial() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let Ok((mut uart, _)) = listener.accept() else {
            return;
        };
        while uart.write_all(&[0]).is_ok() {
            thread::sleep(PERIOD);
        }
    });
    Ok(format!("tcp:{address},nodelay=on"))
}
