//! Stands in for the flash of the STM32L475, which QEMU 10 does not have: there it is a ROM, and the
//! controller's registers read 0.
//!
//! QEMU's debugger stub stops the core before each access to either. Here is a model of the
//! controller (RM0351, "Embedded Flash memory (FLASH)"), which executes the access and lets the core
//! go on behind it. The image is the one that is flashed, and knows nothing of this.

use crate::gdb::{Gdb, PC, Watched, XPSR};
use crate::stand_in::after_if_then;
use crate::thumb::{Access, access};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const FLASH: Range<u32> = 0x0800_0000..0x0810_0000;
const PAGE: u32 = 2048;
const BANK: u32 = 512 * 1024;
const RAM: Range<u32> = 0x2000_0000..0x2001_8000;
/// RAM that the firmware does not use (SRAM2), for an instruction.
const FREE_RAM: u32 = 0x1000_0000;

/// Registers from KEYR to ECCR. The one before, ACR, is left to QEMU, which ignores it.
const REGISTERS: Range<u32> = 0x4002_2008..0x4002_201c;
const KEYR: u32 = 0x4002_2008;
const SR: u32 = 0x4002_2010;
const CR: u32 = 0x4002_2014;
const ECCR: u32 = 0x4002_2018;
const KEYS: [u32; 2] = [0x4567_0123, 0xcdef_89ab];

const SR_PROGERR: u32 = 1 << 3;
const SR_PGAERR: u32 = 1 << 5;
const SR_SIZERR: u32 = 1 << 6;
const SR_PGSERR: u32 = 1 << 7;
const SR_ERRORS: u32 = 0xc3fa;
const SR_BSY: u32 = 1 << 16;
const CR_PG: u32 = 1 << 0;
const CR_PER: u32 = 1 << 1;
const CR_STRT: u32 = 1 << 16;
const CR_LOCK: u32 = 1 << 31;
const ECCR_BK: u32 = 1 << 19;
const ECCR_ECCD: u32 = 1 << 31;
/// Interrupt control and state register of the core, and its bit that raises the non-maskable interrupt.
const ICSR: u32 = 0xe000_ed04;
const NMIPENDSET: u32 = 1 << 31;

/// The power goes while one of the two model slots is written: once in each page that is erased, in
/// each double word that holds a byte whose number is a multiple of [`EVERY`](Self::EVERY), and in
/// each of the slot's records.
#[derive(Clone, Debug)]
pub struct PowerCuts {
    /// Addresses of the slot.
    pub slot: Range<u32>,
    /// How often the power has gone.
    pub n: Arc<AtomicU32>,
}

impl PowerCuts {
    /// Bytes from one cut to the next.
    pub const EVERY: u32 = 100;
    /// Bytes of records in front of a slot's file.
    const RECORDS: u32 = 2048;

    fn concern(&self, address: u32) -> bool {
        if !self.slot.contains(&address) {
            return false;
        }
        let offset = address - self.slot.start;
        offset < Self::RECORDS || offset.next_multiple_of(Self::EVERY) < offset + 8
    }
}

/// What comes after an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next instruction.
    GoOn,
    /// The power goes: [`Flash::cut_power`].
    PowerCut,
}

/// The flash and its controller.
pub struct Flash {
    keys: usize,
    control: u32,
    status: u32,
    ecc: u32,
    /// Looks at the status register during which it is busy.
    busy_looks: u32,
    n_operations: u32,
    /// The first half of a double word and its address.
    first: Option<(u32, u32)>,
    /// What can't be read without an error, since the power went while it was written.
    damaged: Vec<Range<u32>>,
    cuts: Option<PowerCuts>,
    /// Pages and double words in which the power has gone.
    cut_pages: HashSet<u32>,
    cut_words: HashSet<u32>,
    code: HashMap<u32, Instruction>,
    random: u32,
}

#[derive(Clone, Copy)]
struct Instruction {
    halves: [u16; 2],
    /// Whether it may be conditional by one of the four halfwords before it.
    may_be_conditional: bool,
}

impl Flash {
    /// The flash after power-up, and cuts of its power.
    pub fn new(cuts: Option<PowerCuts>) -> Self {
        Self {
            keys: 0,
            control: CR_LOCK,
            status: 0,
            ecc: 0,
            busy_looks: 0,
            n_operations: 0,
            first: None,
            damaged: Vec::new(),
            cuts,
            cut_pages: HashSet::new(),
            cut_words: HashSet::new(),
            code: HashMap::new(),
            random: 1,
        }
    }

    /// Lets the stub stop before accesses.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn watch(&self, core: &mut Gdb) -> Result<()> {
        core.watch(Watched::Writes, FLASH.start, FLASH.end - FLASH.start)?;
        core.watch(
            Watched::All,
            REGISTERS.start,
            REGISTERS.end - REGISTERS.start,
        )
    }

    /// What a reset of the chip does.
    pub fn reset(&mut self) {
        (self.keys, self.control, self.status, self.ecc) = (0, CR_LOCK, 0, 0);
        (self.busy_looks, self.first) = (0, None);
    }

    /// What a power cut does: RAM holds anything afterwards.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn cut_power(&mut self, core: &mut Gdb) -> Result<()> {
        if let Some(cuts) = &self.cuts {
            cuts.n.fetch_add(1, Ordering::Relaxed);
        }
        let noise: Vec<u8> = RAM.map(|_| self.noise()).collect();
        core.write(RAM.start, &noise)?;
        self.reset();
        core.reset()
    }

    /// Whether the core has stopped before an access to the flash, or the controller.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub fn is_next(&mut self, core: &mut Gdb) -> Result<bool> {
        let registers = core.registers()?;
        let instruction = self.instruction(core, registers[PC])?;
        let Some(access) = access(instruction.halves, &registers) else {
            return Ok(false);
        };
        let range = access.address..access.address.saturating_add(access.len_of_data());
        let meets = |there: &Range<u32>| there.start < range.end && range.start < there.end;
        Ok(meets(&REGISTERS)
            || access.is_store && meets(&FLASH)
            || !access.is_store && self.damaged.iter().any(meets))
    }

    /// Executes the access before which the core has stopped.
    ///
    /// # Errors
    /// If the firmware does what it must not, or QEMU has ended.
    pub fn answer(&mut self, core: &mut Gdb) -> Result<Next> {
        let registers = core.registers()?;
        let pc = registers[PC];
        let instruction = self.instruction(core, pc)?;
        let access = access(instruction.halves, &registers);
        let access = access.with_context(|| format!("no access at {pc:#010x}"))?;
        if !access.is_store && !REGISTERS.contains(&access.address) {
            self.fail_to_read(core, &access)?;
            return Ok(Next::GoOn);
        }
        let mut next = Next::GoOn;
        let addresses = (access.address..).step_by(access.size as usize);
        for (&register, address) in access.registers.iter().zip(addresses) {
            match (access.is_store, REGISTERS.contains(&address)) {
                (false, _) => core.set_register(register, self.load(address))?,
                (true, true) => next = self.store(core, address, registers[register])?,
                (true, false) => {
                    next = self.write(core, address, access.size, registers[register])?;
                }
            }
            if next == Next::PowerCut {
                return Ok(next);
            }
        }
        if let Some((register, value)) = access.written_back {
            core.set_register(register, value)?;
        }
        if instruction.may_be_conditional {
            let xpsr = core.register(XPSR)?;
            core.set_register(XPSR, after_if_then(xpsr))?;
        }
        core.set_register(PC, pc + access.len)?;
        Ok(next)
    }

    fn instruction(&mut self, core: &mut Gdb, pc: u32) -> Result<Instruction> {
        if let Some(known) = self.code.get(&pc) {
            return Ok(*known);
        }
        let [before_4, before_2, code] = core.words(pc.wrapping_sub(8))?;
        let halves = |word: u32| [word as u16, (word >> 16) as u16];
        // IT: 0xbf00 with a mask in its lowest bits.
        let is_if_then = |half: u16| half & 0xff00 == 0xbf00 && half & 0xf != 0;
        let mut before = [before_4, before_2].into_iter().flat_map(halves);
        let instruction = Instruction {
            halves: halves(code),
            may_be_conditional: before.any(is_if_then),
        };
        self.code.insert(pc, instruction);
        Ok(instruction)
    }

    fn load(&mut self, register: u32) -> u32 {
        match register {
            SR if self.busy_looks > 0 => {
                self.busy_looks -= 1;
                self.status | SR_BSY
            }
            SR => self.status,
            CR => self.control,
            ECCR => self.ecc,
            _ => 0,
        }
    }

    fn store(&mut self, core: &mut Gdb, register: u32, value: u32) -> Result<Next> {
        match register {
            KEYR => {
                let is_right = KEYS.get(self.keys) == Some(&value);
                // After a wrong key, none is right until the next reset.
                self.keys = if is_right { self.keys + 1 } else { KEYS.len() };
                if is_right && self.keys == KEYS.len() {
                    self.control &= !CR_LOCK;
                    self.keys = 0;
                }
            }
            SR => self.status &= !value,
            ECCR => self.ecc &= !(value & ECCR_ECCD),
            CR if self.control & CR_LOCK == 0 => {
                ensure!(self.busy_looks == 0, "CR is written while busy");
                self.control = value & !CR_STRT;
                if value & (CR_STRT | CR_PER) == CR_STRT | CR_PER {
                    return self.erase(core);
                }
            }
            _ => {}
        }
        Ok(Next::GoOn)
    }

    fn erase(&mut self, core: &mut Gdb) -> Result<Next> {
        let (page, bank) = (self.control >> 3 & 0xff, self.control >> 11 & 1);
        let page = FLASH.start + BANK * bank + PAGE * page;
        let range = page..page + PAGE;
        let is_cut = self.cuts.as_ref().is_some_and(|cuts| cuts.concern(page));
        if is_cut && self.cut_pages.insert(page) {
            let noise: Vec<u8> = range.clone().map(|_| self.noise()).collect();
            core.write(page, &noise)?;
            self.damage(core, range)?;
            return Ok(Next::PowerCut);
        }
        let mut healed = Vec::new();
        self.damaged.retain(|damaged| {
            let is_here = range.contains(&damaged.start);
            healed.extend(is_here.then(|| damaged.clone()));
            !is_here
        });
        for damaged in healed {
            core.unwatch(Watched::Reads, damaged.start, damaged.end - damaged.start)?;
        }
        core.write(page, &[0xff; PAGE as usize])?;
        self.busy_looks = 2;
        Ok(Next::GoOn)
    }

    /// A write to the flash: the first or the second half of a double word.
    fn write(&mut self, core: &mut Gdb, address: u32, size: u32, value: u32) -> Result<Next> {
        ensure!(self.busy_looks == 0, "a write to the flash while busy");
        let error = match (self.control & CR_PG, size, self.first, address % 8) {
            (0, ..) => SR_PGSERR,
            _ if self.status & SR_ERRORS != 0 => SR_PGSERR,
            (_, 1 | 2, ..) => SR_SIZERR,
            (_, _, None, 0) => {
                self.first = Some((address, value));
                return Ok(Next::GoOn);
            }
            (_, _, Some((first, low)), 4) if first + 4 == address => {
                let double = (u64::from(value) << 32 | u64::from(low)).to_le_bytes();
                self.first = None;
                return self.write_double(core, first, double);
            }
            _ => SR_PGAERR,
        };
        self.first = None;
        self.status |= error;
        Ok(Next::GoOn)
    }

    fn write_double(&mut self, core: &mut Gdb, address: u32, double: [u8; 8]) -> Result<Next> {
        let old = core.memory(address, 8)?;
        if old != [0xff; 8] && double != [0; 8] {
            self.status |= SR_PROGERR;
            return Ok(Next::GoOn);
        }
        let is_cut = (self.cuts.as_ref()).is_some_and(|cuts| cuts.concern(address));
        if is_cut && self.cut_words.insert(address) {
            let written = double.map(|byte| byte | self.noise());
            core.write(address, &written)?;
            self.damage(core, address..address + 8)?;
            return Ok(Next::PowerCut);
        }
        core.write(address, &double)?;
        self.n_operations += 1;
        self.busy_looks = u32::from(self.n_operations.is_multiple_of(16));
        Ok(Next::GoOn)
    }

    fn damage(&mut self, core: &mut Gdb, range: Range<u32>) -> Result<()> {
        core.watch(Watched::Reads, range.start, range.end - range.start)?;
        self.damaged.push(range);
        Ok(())
    }

    /// A read of damaged flash: the core reads what is there, and hears of it by its non-maskable
    /// interrupt.
    fn fail_to_read(&mut self, core: &mut Gdb, access: &Access) -> Result<()> {
        let read = access.address..access.address + access.len_of_data();
        let overlaps = |damaged: &&Range<u32>| damaged.start < read.end && read.start < damaged.end;
        let Some(damaged) = self.damaged.iter().find(overlaps).cloned() else {
            bail!("stopped before {access:x?}");
        };
        let len = damaged.end - damaged.start;
        core.unwatch(Watched::Reads, damaged.start, len)?;
        core.step()?;
        core.watch(Watched::Reads, damaged.start, len)?;
        let offset = damaged.start.max(read.start) / 8 * 8 - FLASH.start;
        let bank = if offset < BANK { 0 } else { ECCR_BK };
        self.ecc = ECCR_ECCD | bank | (offset % BANK);
        // str r1, [r0]
        core.write(FREE_RAM, &0x6001_u16.to_le_bytes())?;
        let there = core.registers()?;
        for (register, value) in [(0, ICSR), (1, NMIPENDSET), (PC, FREE_RAM)] {
            core.set_register(register, value)?;
        }
        core.step()?;
        for register in [0, 1, PC] {
            core.set_register(register, there[register])?;
        }
        Ok(())
    }

    fn noise(&mut self) -> u8 {
        self.random = self
            .random
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        (self.random >> 24) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_goes_at_each_hundredth_byte_of_a_slot_and_in_its_records() {
        let cuts = PowerCuts {
            slot: 0x0800_8000..0x0801_0000,
            n: Arc::default(),
        };
        let at = |offset: u32| cuts.concern(0x0800_8000 + offset);
        assert!(at(0) && at(32) && at(64));
        let n = (2048..4096).step_by(8).filter(|offset| at(*offset)).count();
        assert_eq!(n, (2100..4096).step_by(100).count());
        assert!(!cuts.concern(0x0800_7ff8) && !cuts.concern(0x0801_0000));
    }

    #[test]
    fn the_controller_begins_locked_and_says_when_it_is_busy() {
        let mut flash = Flash::new(None);
        assert_eq!(flash.load(CR), CR_LOCK);
        assert_eq!(flash.load(SR), 0);
        flash.busy_looks = 1;
        assert_eq!((flash.load(SR), flash.load(SR)), (SR_BSY, 0));
    }
}
