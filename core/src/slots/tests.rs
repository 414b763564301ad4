//! Slots on a simulated flash that loses its power at any operation and any byte.

extern crate std;

use super::*;
use crate::link::{ModelStore, Offer, Refusal, file_crc32c};
use crate::quant::Model;
use embedded_storage::nor_flash::{ErrorType, ReadNorFlash};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use std::vec::Vec;

/// NOR flash with write units of `W` and erase units of `E` bytes. A unit is written once after each
/// erase, as flash with error correction demands.
#[derive(Clone)]
struct Flash<const W: usize, const E: usize> {
    /// Words, which a model file in it has to be aligned to.
    words: Vec<u64>,
    /// Operations (writes and erases) and bytes until the power is cut, if it is.
    until_cut: Option<(usize, usize)>,
    n_operations: usize,
    n_bytes: usize,
    random: Pcg32,
}

impl<const W: usize, const E: usize> Flash<W, E> {
    fn new(len: usize) -> Self {
        Self {
            words: std::vec![u64::MAX; len / 8],
            until_cut: None,
            n_operations: 0,
            n_bytes: 0,
            random: Pcg32::seed_from_u64(4),
        }
    }

    fn cut_after(&self, operations: usize, bytes: usize) -> Self {
        Self {
            until_cut: Some((operations, bytes)),
            ..self.clone()
        }
    }

    fn power_on(&self) -> Self {
        Self {
            until_cut: None,
            n_operations: 0,
            n_bytes: 0,
            ..self.clone()
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words)
    }

    /// Bytes of an operation on `len` bytes that are done before the power is cut.
    fn powered(&mut self, len: usize) -> usize {
        self.n_operations += 1;
        self.n_bytes += len;
        let Some((operations, bytes)) = &mut self.until_cut else {
            return len;
        };
        let done = if *operations == 0 { 0 } else { len.min(*bytes) };
        *operations = operations.saturating_sub(1);
        *bytes -= done;
        if done < len {
            self.until_cut = Some((0, 0));
        }
        done
    }
}

impl<const W: usize, const E: usize> ErrorType for Flash<W, E> {
    type Error = NorFlashErrorKind;
}

impl<const W: usize, const E: usize> ReadNorFlash for Flash<W, E> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let from = self.bytes().get(offset as usize..).unwrap_or_default();
        let from = from.get(..bytes.len());
        bytes.copy_from_slice(from.ok_or(NorFlashErrorKind::OutOfBounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        8 * self.words.len()
    }
}

impl<const W: usize, const E: usize> NorFlash for Flash<W, E> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = E;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        assert!(from.is_multiple_of(E as u32) && to.is_multiple_of(E as u32) && from < to);
        let (from, to) = (from as usize, to as usize);
        let done = self.powered(to - from);
        self.bytes()[from..from + done].fill(0xff);
        if done == to - from {
            return Ok(());
        }
        // What an erase leaves that was cut: any bits of its unit.
        let unit = (from + done) / E * E;
        for at in unit..unit + E {
            let noise = self.random.next_u32() as u8;
            self.bytes()[at] |= noise;
        }
        Err(NorFlashErrorKind::Other)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        assert!(offset.is_multiple_of(W as u32) && bytes.len().is_multiple_of(W));
        let done = self.powered(bytes.len());
        let noise = self.random.next_u32() as u8;
        let place = &mut self.bytes()[offset as usize..][..bytes.len()];
        if place.iter().any(|byte| *byte != 0xff) {
            return Err(NorFlashErrorKind::Other);
        }
        place[..done].copy_from_slice(&bytes[..done]);
        if done == bytes.len() {
            return Ok(());
        }
        // The byte that was being written: some of its bits.
        place[done] = bytes[done] | noise;
        Err(NorFlashErrorKind::Other)
    }
}

impl<const W: usize, const E: usize> Mapped for Flash<W, E> {
    fn mapped(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }
}

fn open<const W: usize, const E: usize>(flash: Flash<W, E>) -> Slots<Flash<W, E>> {
    Slots::open(flash, |_, _| true).unwrap()
}

/// Writes a file as a host does: from where it was interrupted, in pieces.
fn upload<F: NorFlash>(slots: &mut Slots<F>, file: &[u8]) -> Result<Stored, SlotError> {
    let mut at = slots.begin(file.len() as u32, file_crc32c(file))?;
    for piece in file[at as usize..].chunks(3 * PIECE_ALIGN) {
        at = slots.piece(at, piece)?;
    }
    assert_eq!(at as usize, file.len());
    slots.commit()
}

fn file(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Pcg32::seed_from_u64(seed);
    (0..len).map(|_| random.next_u32() as u8).collect()
}

fn active<const W: usize, const E: usize>(slots: &Slots<Flash<W, E>>) -> Option<&[u8]> {
    slots
        .active()
        .map(|stored| &slots.flash().mapped()[stored.range()])
}

/// An upload that is cut at `cut`, and again later on, loses nothing of the old file; once the power
/// stays, the new one counts. Returns whether the cut hit.
fn survives<const W: usize, const E: usize>(
    flash: &Flash<W, E>,
    [old, new]: [&[u8]; 2],
    cut: (usize, usize),
) -> bool {
    let mut cut_off = open(flash.cut_after(cut.0, cut.1));
    if upload(&mut cut_off, new).is_ok() {
        assert_eq!(active(&cut_off), Some(new));
        return false;
    }
    let mut again = open(
        cut_off
            .flash()
            .power_on()
            .cut_after(usize::MAX, 3 * E + cut.1 % E),
    );
    let now = active(&again).unwrap();
    // The last byte of the commit may be there although its write failed.
    assert!(
        now == old || now == new,
        "neither file after a cut at {cut:?}"
    );
    let was_committed = now == new;
    let _ = upload(&mut again, new);
    let mut last = open(again.flash().power_on());
    let now = active(&last).unwrap();
    assert!(now == new || now == old && !was_committed, "{cut:?}");
    upload(&mut last, new).unwrap();
    assert_eq!(active(&last), Some(new), "{cut:?}");
    assert_eq!(active(&open(last.flash().power_on())), Some(new), "{cut:?}");
    true
}

/// At every operation, and at every hundredth byte that is written or erased.
fn a_cut_leaves_the_old_file_in<const W: usize, const E: usize>(n_units: usize, len: usize) {
    let (old, new) = (file(1, len - 7), file(2, len));
    // The slot that the new file comes to holds an older one.
    let mut slots = open(Flash::<W, E>::new(2 * n_units * E));
    upload(&mut slots, &file(3, len)).unwrap();
    upload(&mut slots, &old).unwrap();
    let flash = slots.flash().power_on();
    let mut whole = open(flash.clone());
    upload(&mut whole, &new).unwrap();
    let Flash {
        n_operations,
        n_bytes,
        ..
    } = *whole.flash();
    let files = [&old[..], &new];
    for operations in 0..n_operations {
        assert!(survives(&flash, files, (operations, usize::MAX)));
    }
    for bytes in (0..n_bytes).step_by(100) {
        assert!(survives(&flash, files, (usize::MAX, bytes)));
    }
    assert!(!survives(&flash, files, (n_operations, usize::MAX)));
}

#[test]
fn a_power_cut_at_any_operation_and_hundredth_byte_leaves_the_old_file() {
    // nRF52840 and RP2350, STM32L4, STM32H7 (units reduced), memory.
    a_cut_leaves_the_old_file_in::<4, 4096>(4, 10_001);
    a_cut_leaves_the_old_file_in::<8, 2048>(8, 12_003);
    a_cut_leaves_the_old_file_in::<32, 8192>(2, 10_000);
    a_cut_leaves_the_old_file_in::<1, 256>(40, 5_999);
}

/// The commit and the records alone.
#[test]
fn a_power_cut_at_any_byte_of_a_short_upload_leaves_the_old_file() {
    let (old, new) = (file(1, 90), file(2, 100));
    let mut slots = open(Flash::<8, 2048>::new(8192));
    upload(&mut slots, &old).unwrap();
    let flash = slots.flash().power_on();
    let mut whole = open(flash.clone());
    upload(&mut whole, &new).unwrap();
    for bytes in 0..whole.flash().n_bytes {
        assert!(survives(&flash, [&old, &new], (usize::MAX, bytes)));
    }
}

#[test]
fn an_upload_goes_on_where_it_was_cut() {
    let new = file(2, 20_000);
    let mut slots = open(Flash::<8, 2048>::new(2 * 24_576));
    let crc = file_crc32c(&new);
    assert_eq!(slots.begin(20_000, crc), Ok(0));
    for at in (0..9600).step_by(96) {
        slots.piece(at, &new[at as usize..][..96]).unwrap();
    }
    let mut slots = open(slots.flash().power_on());
    // A mark stands for 4,096 bytes of the slot, which begins with 2,048 bytes of its own.
    assert_eq!(slots.begin(20_000, crc), Ok(2 * 4096 - 2048));
    assert_eq!(slots.begin(20_000, crc ^ 1), Ok(0), "another file");
    assert_eq!(slots.begin(20_000, crc), Ok(0));
    upload(&mut slots, &new).unwrap();
    assert_eq!(active(&slots), Some(&new[..]));
}

#[test]
fn a_damaged_file_never_counts() {
    let (old, new) = (file(1, 3000), file(2, 3000));
    let mut slots = open(Flash::<4, 4096>::new(16_384));
    upload(&mut slots, &old).unwrap();
    slots.begin(3000, file_crc32c(&new)).unwrap();
    let mut wrong = new.clone();
    wrong[1234] ^= 1;
    slots.piece(0, &wrong).unwrap();
    assert_eq!(slots.commit(), Err(SlotError::Damaged));
    assert_eq!(slots.commit(), Err(SlotError::OutOfPlace));
    assert_eq!(active(&slots), Some(&old[..]));
    // Not whole.
    slots.begin(3000, file_crc32c(&new)).unwrap();
    slots.piece(0, &new[..64]).unwrap();
    assert_eq!(slots.commit(), Err(SlotError::Damaged));
    assert_eq!(active(&open(slots.flash().power_on())), Some(&old[..]));
}

#[test]
fn a_slot_whose_bits_have_changed_yields_to_the_other_one() {
    let (first, second) = (file(1, 3000), file(2, 3000));
    let mut slots = open(Flash::<4, 4096>::new(16_384));
    upload(&mut slots, &first).unwrap();
    let stored = upload(&mut slots, &second).unwrap();
    assert_eq!((stored.slot, stored.generation), (1, 2));
    let whole = slots.flash().power_on();
    let base = 8192;
    for at in [0, 8, 15, 16, 20, 32, 63, DATA_OFFSET as usize, 5000] {
        let mut flash = whole.clone();
        flash.bytes()[base + at] ^= 4;
        let mut slots = open(flash);
        assert_eq!(active(&slots), Some(&first[..]), "byte {at}");
        upload(&mut slots, &second).unwrap();
        assert_eq!(active(&slots), Some(&second[..]), "byte {at}");
    }
}

#[test]
fn pieces_out_of_place_are_refused() {
    let mut slots = open(Flash::<4, 4096>::new(16_384));
    assert_eq!(slots.piece(0, &[0; 32]), Err(SlotError::OutOfPlace));
    assert_eq!(
        slots.begin(8192, 0),
        Err(SlotError::TooLarge { there: 6144 })
    );
    assert_eq!(
        slots.begin(u32::MAX, 0),
        Err(SlotError::TooLarge { there: 6144 })
    );
    slots.begin(100, 0).unwrap();
    for (at, len) in [(0, 0), (0, 31), (0, 33), (32, 32), (0, 128), (u32::MAX, 32)] {
        let piece = std::vec![0; len];
        assert_eq!(
            slots.piece(at, &piece),
            Err(SlotError::OutOfPlace),
            "{at} {len}"
        );
    }
    assert_eq!(slots.piece(0, &[0; 96]), Ok(96));
    assert_eq!(slots.piece(96, &[0; 4]), Ok(100));
    assert_eq!(slots.piece(100, &[0; 4]), Err(SlotError::OutOfPlace));
}

#[test]
fn a_flash_without_room_for_two_slots_is_refused() {
    for len in [0, 4096, 8192] {
        let opened = Slots::open(Flash::<4, 4096>::new(len), |_, _| true);
        assert_eq!(opened.err(), Some(SlotError::NoRoom), "{len}");
    }
}

const MODEL: &[u8] = crate::include_model!("../../../models/pusht-small.ptm");

fn room_of(model: &Model<'_>) -> Room {
    let shape = model.shape();
    Room {
        scratch_len: model.scratch_len(),
        window_len: shape.window_len(),
        chunk_len: shape.chunk_len() + shape.action_dim,
        obs_dim: shape.obs_dim,
        action_dim: shape.action_dim,
    }
}

/// Sends a file through the store's interface.
fn load(loader: &mut Loader<Flash<8, 2048>>, offer: &Offer, file: &[u8]) -> Result<(), Refusal> {
    let mut at = loader.offer(offer)?;
    for piece in file[at as usize..].chunks(1024) {
        at = loader.piece(at, piece)?;
    }
    loader.commit()
}

#[test]
fn a_model_that_fits_counts_from_the_next_start_on() {
    let model = Model::parse(MODEL).unwrap();
    let flash = Flash::<8, 2048>::new(512 * 1024);
    let mut loader = Loader::open(flash, room_of(&model)).unwrap();
    assert_eq!(loader.active(), None);
    let offer = Offer::of(&model, MODEL.len(), file_crc32c(MODEL));
    load(&mut loader, &offer, MODEL).unwrap();
    let flash = loader.slots().flash().power_on();
    let loader = Loader::open(flash.clone(), room_of(&model)).unwrap();
    assert_eq!(active(loader.slots()), Some(MODEL));
    // The next image has less room: its own model counts.
    let less = Room {
        scratch_len: model.scratch_len() - 1,
        ..room_of(&model)
    };
    assert_eq!(Loader::open(flash, less).unwrap().active(), None);
}

/// Before a byte is sent where the offer says so, and by the stored file where it lies.
#[test]
fn a_model_that_does_not_fit_is_refused_by_name() {
    let model = Model::parse(MODEL).unwrap();
    let room = room_of(&model);
    let flash = Flash::<8, 2048>::new(512 * 1024);
    let offer = Offer::of(&model, MODEL.len(), file_crc32c(MODEL));
    let scratch_bytes = 8 * model.scratch_len() as u32;
    for (room, refusal) in [
        (
            Room {
                scratch_len: room.scratch_len - 1,
                ..room
            },
            Refusal::NeedsRam {
                there: scratch_bytes - 8,
            },
        ),
        (
            Room {
                window_len: room.window_len - 1,
                ..room
            },
            Refusal::NeedsRoom {
                n_obs_steps: 1,
                n_action_steps: 2,
            },
        ),
        (
            Room {
                chunk_len: room.chunk_len - 1,
                ..room
            },
            Refusal::NeedsRoom {
                n_obs_steps: 2,
                n_action_steps: 1,
            },
        ),
        (
            Room {
                obs_dim: 17,
                ..room
            },
            Refusal::OtherTask {
                obs_dim: 17,
                action_dim: 2,
            },
        ),
        (
            Room {
                action_dim: 4,
                ..room
            },
            Refusal::OtherTask {
                obs_dim: 18,
                action_dim: 4,
            },
        ),
    ] {
        let mut loader = Loader::open(flash.clone(), room).unwrap();
        assert_eq!(loader.offer(&offer), Err(refusal));
        // An offer that lies about the policy.
        let lie = Offer {
            scratch_bytes: 0,
            obs_dim: room.obs_dim as u16,
            action_dim: room.action_dim as u16,
            n_obs_steps: 0,
            n_action_steps: 0,
            ..offer
        };
        assert_eq!(load(&mut loader, &lie, MODEL), Err(refusal));
        assert_eq!(loader.active(), None);
    }
    let small = Flash::<8, 2048>::new(64 * 1024);
    let mut loader = Loader::open(small, room).unwrap();
    let there = 30 * 1024;
    assert_eq!(loader.offer(&offer), Err(Refusal::TooLarge { there }));
    // Not a model file.
    let mut loader = Loader::open(flash, room).unwrap();
    let no_model = file(5, 1000);
    let offer = Offer {
        len: 1000,
        crc32c: file_crc32c(&no_model),
        ..offer
    };
    assert_eq!(load(&mut loader, &offer, &no_model), Err(Refusal::BadModel));
    assert_eq!(loader.commit(), Err(Refusal::NotOffered));
}
