//! A model file in memory, with the model that is read in place.

use pusht_core::quant::{Model, ModelError};
use self_cell::self_cell;
use std::borrow::Cow;

self_cell!(
    struct Cell {
        owner: Cow<'static, [u8]>,
        #[covariant]
        dependent: Model,
    }

    impl {Debug}
);

/// Bytes of a model file and the [`Model`] in them.
#[derive(Debug)]
pub struct ModelFile(Cell);

impl ModelFile {
    /// Checks the contents of a model file.
    ///
    /// # Errors
    /// If they are damaged, with the place.
    pub fn parse(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, ModelError> {
        Cell::try_new(bytes.into(), |bytes| Model::parse(bytes)).map(Self)
    }

    /// The model.
    pub fn model(&self) -> &Model<'_> {
        self.0.borrow_dependent()
    }

    /// Contents of the file.
    pub fn bytes(&self) -> &[u8] {
        self.0.borrow_owner()
    }

    /// Ends plans after `n_passes` passes; [`bytes`](Self::bytes) stay as they are.
    ///
    /// # Errors
    /// As [`Model::stop_after`].
    pub fn stop_after(&mut self, n_passes: usize) -> Result<(), ModelError> {
        let stop = |_: &Cow<'static, [u8]>, model: &mut Model<'_>| model.stop_after(n_passes);
        self.0.with_dependent_mut(stop)
    }

    /// Sets the number of actions executed per plan; [`bytes`](Self::bytes) stay as they are.
    ///
    /// # Errors
    /// As [`Model::set_n_action_steps`].
    pub fn set_n_action_steps(&mut self, n_action_steps: usize) -> Result<(), ModelError> {
        let set = |_: &Cow<'static, [u8]>, model: &mut Model<'_>| {
            model.set_n_action_steps(n_action_steps)
        };
        self.0.with_dependent_mut(set)
    }
}
