//! Fault injection on a wire, with exact counts.

use super::wire::Wire;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use std::collections::HashSet;
use std::io;
use std::time::Duration;

/// A wire with noise: flips one bit of, drops or doubles a given share of the bytes, both ways.
#[derive(Debug)]
pub struct Noisy<W> {
    wire: W,
    share: f64,
    random: Pcg32,
    there: Direction,
    back: Direction,
}

/// Counters of the faults in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Bytes sent.
    pub bytes: u64,
    /// Bytes with a flipped bit.
    pub flipped: u64,
    /// Dropped bytes.
    pub dropped: u64,
    /// Doubled bytes.
    pub doubled: u64,
    /// Frames that the receiver sees and nobody has sent.
    pub damaged_frames: u64,
    /// Empty frames: two zeros in a row.
    pub empty_frames: u64,
}

impl<W> Noisy<W> {
    /// Damages the share `share` of the bytes, with random numbers from `seed`.
    pub fn new(wire: W, share: f64, seed: u64) -> Self {
        Self {
            wire,
            share,
            random: Pcg32::seed_from_u64(seed),
            there: Direction::default(),
            back: Direction::default(),
        }
    }

    /// Changes the share of damaged bytes.
    pub fn set_share(&mut self, share: f64) {
        self.share = share;
    }

    /// Faults in the directions to and from the device.
    pub fn faults(&self) -> [Faults; 2] {
        [self.there.faults, self.back.faults]
    }
}

impl<W: Wire> Wire for Noisy<W> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let damaged = self.there.carry(bytes, self.share, &mut self.random);
        self.wire.send(&damaged)
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        // Half of the buffer, as every byte may be doubled.
        let room = buffer.len() / 2;
        loop {
            let n = self.wire.receive(&mut buffer[..room], limit)?;
            let damaged = self.back.carry(&buffer[..n], self.share, &mut self.random);
            buffer[..damaged.len()].copy_from_slice(&damaged);
            // Bytes that were all dropped do not end the wait.
            if n == 0 || !damaged.is_empty() {
                return Ok(damaged.len());
            }
        }
    }
}

/// One direction, with its sent and received frames.
#[derive(Debug, Default)]
struct Direction {
    faults: Faults,
    sending: Vec<u8>,
    sent: HashSet<Vec<u8>>,
    receiving: Vec<u8>,
}

impl Direction {
    fn carry(&mut self, bytes: &[u8], share: f64, random: &mut Pcg32) -> Vec<u8> {
        let mut carried = Vec::with_capacity(2 * bytes.len());
        for byte in bytes {
            self.put_in(*byte);
            self.faults.bytes += 1;
            if !random.random_bool(share) {
                carried.push(*byte);
                continue;
            }
            match random.random_range(0..3) {
                0 => {
                    self.faults.flipped += 1;
                    carried.push(byte ^ 1 << random.random_range(0..8));
                }
                1 => self.faults.dropped += 1,
                _ => {
                    self.faults.doubled += 1;
                    carried.extend([*byte; 2]);
                }
            }
        }
        for byte in &carried {
            self.take_out(*byte);
        }
        carried
    }

    fn put_in(&mut self, byte: u8) {
        if byte == 0 {
            self.sent.insert(std::mem::take(&mut self.sending));
        } else {
            self.sending.push(byte);
        }
    }

    /// Counts the receiver's frames, without decoding them.
    fn take_out(&mut self, byte: u8) {
        if byte != 0 {
            self.receiving.push(byte);
            return;
        }
        let seen = std::mem::take(&mut self.receiving);
        if seen.is_empty() {
            self.faults.empty_frames += 1;
        } else if !self.sent.contains(&seen) {
            self.faults.damaged_frames += 1;
        }
    }
}
