//! ST's NUCLEO-H743ZI2: a Cortex-M7 at 400 MHz. The debugger's USB serial port is at PD8 (out) and
//! PD9 (in).
#![allow(
    unsafe_code,
    reason = "caches, and a register that the HAL leaves alone"
)]

use super::left::Left;
use core::mem::zeroed;
use cortex_m::peripheral::{CPUID, SCB};
use embassy_stm32::peripherals::{IWDG1, PD8, PD9, USART3};
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, HSIPrescaler, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk,
    VoltageScale,
};
use embassy_stm32::usart::{BufferedUart, Config};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Peri, bind_interrupts, usart};

bind_interrupts!(struct Irqs {
    USART3 => usart::BufferedInterruptHandler<USART3>;
});

/// Clock of the timer (SysTick), MHz: the core's.
pub const TIMER_MHZ: u64 = 400;

/// The UART and its pins.
struct UartParts {
    uart: Peri<'static, USART3>,
    rx: Peri<'static, PD9>,
    tx: Peri<'static, PD8>,
}

static UART: Left<UartParts> = Left::nothing();
static WATCHDOG: Left<Peri<'static, IWDG1>> = Left::nothing();

/// Starts the HAL and the clocks: 64 MHz (HSI) / 4 x 50 / 2 = 400 MHz for the core, 200 MHz for the
/// buses, 100 MHz for the peripherals (RM0433, 8.5; VOS1).
pub fn start() {
    enable_caches();
    let mut config = embassy_stm32::Config::default();
    config.rcc.hsi = Some(HSIPrescaler::DIV1);
    config.rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL50,
        divp: Some(PllDiv::DIV2),
        divq: Some(PllDiv::DIV8),
        divr: None,
        fracn: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.ahb_pre = AHBPrescaler::DIV2;
    config.rcc.apb1_pre = APBPrescaler::DIV2;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
    config.rcc.apb3_pre = APBPrescaler::DIV2;
    config.rcc.apb4_pre = APBPrescaler::DIV2;
    config.rcc.voltage_scale = VoltageScale::Scale1;
    let chip = embassy_stm32::init(config);
    UART.leave(UartParts {
        uart: chip.USART3,
        rx: chip.PD9,
        tx: chip.PD8,
    });
    WATCHDOG.leave(chip.IWDG1);
}

/// Enables both caches, off after a reset. Without them, code and weights come from flash with its
/// wait states. The default memory map (Armv7-M ARM, B3.1; PM0253, 2.2) makes flash normal memory,
/// cached, and peripherals device memory, so that no region of the memory protection unit is
/// needed: RAM is the DTCM, which is beside the caches, and no DMA is used.
fn enable_caches() {
    // SAFETY: both are tokens without data. Nothing else has them at start-up, and `main` is still
    // to take the core's peripherals: `Peripherals::steal` would count as that.
    let (mut control, mut id) = unsafe { (zeroed::<SCB>(), zeroed::<CPUID>()) };
    control.enable_icache();
    control.enable_dcache(&mut id);
}

/// Whether the hardware reports a reset by the watchdog.
pub fn was_reset_by_watchdog() -> bool {
    /// RCC_RSR and its bits IWDG1RSTF and RMVF, which clears all flags (RM0433, 8.7.39).
    const RSR: *mut u32 = 0x5802_44d0 as *mut u32;
    const IWDG1RSTF: u32 = 1 << 26;
    const RMVF: u32 = 1 << 16;
    // SAFETY: the register belongs to the chip, and nothing else reads it.
    unsafe {
        let reasons = RSR.read_volatile();
        RSR.write_volatile(reasons | RMVF);
        reasons & IWDG1RSTF != 0
    }
}

pub type Port = BufferedUart<'static>;

/// Sets up the UART; `None` after the first call, or for a rate that it cannot make.
pub fn port(baud: u32, tx: &'static mut [u8], rx: &'static mut [u8]) -> Option<Port> {
    let mut config = Config::default();
    config.baudrate = baud;
    let parts = UART.take()?;
    BufferedUart::new(parts.uart, parts.rx, parts.tx, tx, rx, Irqs, config).ok()
}

/// The watchdog. When fed too late, it resets the chip.
pub struct Watchdog(IndependentWatchdog<'static, IWDG1>);

impl Watchdog {
    /// Arms the watchdog; it cannot be disarmed. `None` after the first call.
    pub fn arm(period_ms: u32) -> Option<Self> {
        let mut watchdog = IndependentWatchdog::new(WATCHDOG.take()?, period_ms * 1000);
        watchdog.unleash();
        Some(Self(watchdog))
    }

    /// Restarts the period.
    pub fn feed(&mut self) {
        self.0.pet();
    }
}
