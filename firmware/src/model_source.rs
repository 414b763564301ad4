//! The model that a device runs: the image's, or one that a host has sent.

use crate::expected::MODEL;
use pusht_core::link::{ModelStore, Source};

/// The model file that runs, and the store for the next one.
pub struct ModelSource {
    /// The model file.
    pub file: &'static [u8],
    /// Where it is from.
    pub source: Source,
    /// Where a host's files go; `None` on boards without room for them.
    pub store: Option<&'static mut dyn ModelStore>,
}

/// Opens the board's slots. To be called once.
#[cfg(feature = "slots")]
pub fn open() -> ModelSource {
    use crate::board::Storage;
    use crate::expected::{ACTION_DIM, CHUNK_LEN, OBS_DIM, SCRATCH_LEN, WINDOW_LEN};
    use cortex_m::singleton;
    use pusht_core::slots::{Loader, Room};

    let room = Room {
        scratch_len: SCRATCH_LEN,
        window_len: WINDOW_LEN,
        chunk_len: CHUNK_LEN,
        obs_dim: OBS_DIM,
        action_dim: ACTION_DIM,
    };
    let opened = Storage::take().map(|storage| Loader::open(storage, room));
    let store = match opened {
        Some(Ok(loader)) => singleton!(LOADER: Loader<Storage> = loader),
        Some(Err(error)) => {
            defmt::error!("model slots: {}", error);
            None
        }
        None => None,
    };
    let active = store.as_ref().and_then(|store| {
        let active = store.active()?;
        Some((active, store.slots().flash().file(&active)?))
    });
    let (file, source) = match active {
        Some((active, file)) => (
            file,
            Source::Slot {
                slot: active.slot.into(),
                generation: active.generation,
            },
        ),
        None => (MODEL, Source::Image),
    };
    ModelSource {
        file,
        source,
        store: store.map(|store| store as &'static mut dyn ModelStore),
    }
}

/// The image's model: the board has no room for another.
#[cfg(not(feature = "slots"))]
pub fn open() -> ModelSource {
    ModelSource {
        file: MODEL,
        source: Source::Image,
        store: None,
    }
}
