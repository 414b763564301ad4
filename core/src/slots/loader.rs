//! Model files from the link into slots: each is checked before it counts.

use super::{DATA_OFFSET, SlotError, Slots, Stored};
use crate::link::{ModelStore, Offer, Refusal};
use crate::quant::Model;
use embedded_storage::nor_flash::NorFlash;

/// A flash that the core reads as memory.
pub trait Mapped: NorFlash {
    /// All bytes of the flash.
    fn mapped(&self) -> &[u8];
}

/// What the image of a device has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Working memory of a plan, words of 8 bytes.
    pub scratch_len: usize,
    /// Values of a window of observations, `To x Do`.
    pub window_len: usize,
    /// Values of the last action and a plan's, `(1 + Ta) x Da`.
    pub chunk_len: usize,
    /// `Do`, which the task decides.
    pub obs_dim: usize,
    /// `Da`, which the task decides.
    pub action_dim: usize,
}

impl Room {
    /// Whether a policy runs in this room.
    ///
    /// # Errors
    /// [`Refusal::OtherTask`], [`Refusal::NeedsRam`] or [`Refusal::NeedsRoom`], with what is there.
    pub fn check(&self, offer: &Offer) -> Result<(), Refusal> {
        let bytes = |words: usize| u32::try_from(8 * words).unwrap_or(u32::MAX);
        let size = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let [n_obs, obs, n_actions, actions] = [
            offer.n_obs_steps,
            offer.obs_dim,
            offer.n_action_steps,
            offer.action_dim,
        ]
        .map(usize::from);
        if (obs, actions) != (self.obs_dim, self.action_dim) {
            return Err(Refusal::OtherTask {
                obs_dim: size(self.obs_dim),
                action_dim: size(self.action_dim),
            });
        }
        if offer.scratch_bytes > bytes(self.scratch_len) {
            return Err(Refusal::NeedsRam {
                there: bytes(self.scratch_len),
            });
        }
        if n_obs * obs > self.window_len || (1 + n_actions) * actions > self.chunk_len {
            return Err(Refusal::NeedsRoom {
                n_obs_steps: size(self.window_len / obs.max(1)),
                n_action_steps: size((self.chunk_len / actions.max(1)).saturating_sub(1)),
            });
        }
        Ok(())
    }

    /// The same of a model file in memory.
    ///
    /// # Errors
    /// Also [`Refusal::BadModel`] if it is none.
    pub fn check_file(&self, file: &[u8]) -> Result<(), Refusal> {
        let model = Model::parse(file).map_err(|_| Refusal::BadModel)?;
        self.check(&Offer::of(&model, file.len(), 0))
    }
}

/// Stores the files that a host sends.
pub struct Loader<F> {
    slots: Slots<F>,
    room: Room,
}

impl<F: Mapped> Loader<F> {
    /// Opens the slots in `flash`; the active one is the later of those that fit `room`.
    ///
    /// # Errors
    /// As [`Slots::open`].
    pub fn open(flash: F, room: Room) -> Result<Self, SlotError> {
        let is_usable = |flash: &F, stored: &Stored| {
            let file = flash.mapped().get(stored.range());
            file.is_some_and(|file| room.check_file(file).is_ok())
        };
        let slots = Slots::open(flash, is_usable)?;
        Ok(Self { slots, room })
    }

    /// The file that runs after the next start; `None` if it is the image's own.
    pub fn active(&self) -> Option<Stored> {
        self.slots.active()
    }

    /// The slots.
    pub fn slots(&self) -> &Slots<F> {
        &self.slots
    }
}

impl From<SlotError> for Refusal {
    fn from(error: SlotError) -> Self {
        match error {
            SlotError::TooLarge { there } => Self::TooLarge { there },
            SlotError::OutOfPlace => Self::NotOffered,
            SlotError::Damaged => Self::BadModel,
            SlotError::NoRoom | SlotError::Flash => Self::StoreFailed,
        }
    }
}

impl<F: Mapped> ModelStore for Loader<F> {
    fn offer(&mut self, offer: &Offer) -> Result<u32, Refusal> {
        self.room.check(offer)?;
        Ok(self.slots.begin(offer.len, offer.crc32c)?)
    }

    fn piece(&mut self, at: u32, bytes: &[u8]) -> Result<u32, Refusal> {
        Ok(self.slots.piece(at, bytes)?)
    }

    fn commit(&mut self) -> Result<(), Refusal> {
        let stored = self.slots.check()?;
        let file = self.slots.flash().mapped().get(stored.range());
        let fits = file.map_or(Err(Refusal::StoreFailed), |file| self.room.check_file(file));
        if let Err(refusal) = fits {
            self.slots.cancel()?;
            return Err(refusal);
        }
        self.slots.commit()?;
        Ok(())
    }
}

// The kernels load words of the file, which lies behind the head of a slot.
const _: () = assert!(DATA_OFFSET.is_multiple_of(8));
