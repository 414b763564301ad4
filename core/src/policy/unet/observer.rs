//! Looking inside a pass: every sub-module's output under its PyTorch module path.

use super::shape::Shape;
use core::fmt::{Arguments, Write};
use heapless::String;

/// Sees every tensor that the network computes, in the order of the computation.
///
/// Paths are those of PyTorch's `named_modules` (`down_modules.0.1.blocks.0.block.2`). Four more
/// name what is no module upstream: `sample` (the input), `<residual block>.film` (after scale and
/// bias), `up_modules.<i>.cat` (the concatenation with the skip) and `global_feature` (the
/// condition before Mish).
pub trait Observer {
    /// Whether the compiled network has calls to the observer at all.
    const ENABLED: bool = true;

    /// Takes the output of the module `path`, `[L][C]`: its values, `C` and `L`. Called once per
    /// plan of the batch.
    fn observe(&mut self, path: &str, values: &[f32], n_channels: usize, length: usize);
}

impl<F: FnMut(&str, &[f32], usize, usize)> Observer for F {
    fn observe(&mut self, path: &str, values: &[f32], n_channels: usize, length: usize) {
        self(path, values, n_channels, length);
    }
}

/// Looks at nothing and costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unobserved;

impl Observer for Unobserved {
    const ENABLED: bool = false;

    fn observe(&mut self, _: &str, _: &[f32], _: usize, _: usize) {}
}

/// Longest module path; the deepest is `local_cond_encoder.0.blocks.0.block.0.weight`.
const MAX_PATH: usize = 64;

/// A module path that grows and shrinks with the walk through the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ModulePath(String<MAX_PATH>);

impl ModulePath {
    /// The path, its parts joined by dots.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends a part and returns what [`ModulePath::leave`] needs to remove it.
    pub(super) fn enter(&mut self, part: Arguments<'_>) -> usize {
        let before = self.0.len();
        let dot = if before == 0 { "" } else { "." };
        // Every path of the network fits MAX_PATH.
        let _ = write!(self.0, "{dot}{part}");
        before
    }

    pub(super) fn leave(&mut self, before: usize) {
        self.0.truncate(before);
    }
}

/// An observer and the path of the module that runs.
pub(super) struct Probe<'o, O> {
    observer: &'o mut O,
    path: ModulePath,
}

impl<'o, O: Observer> Probe<'o, O> {
    pub(super) fn new(observer: &'o mut O) -> Self {
        let path = ModulePath::default();
        Self { observer, path }
    }

    /// Appends a part to the path; the answer goes to [`Probe::leave`].
    #[inline]
    pub(super) fn enter(&mut self, part: Arguments<'_>) -> usize {
        match O::ENABLED {
            true => self.path.enter(part),
            false => 0,
        }
    }

    #[inline]
    pub(super) fn leave(&mut self, before: usize) {
        if O::ENABLED {
            self.path.leave(before);
        }
    }

    /// Shows the tensor in `values` as the output of the sub-module `part`.
    #[inline]
    pub(super) fn show(&mut self, part: Arguments<'_>, shape: Shape, values: &[f32]) {
        let before = self.enter(part);
        self.show_here(shape, values);
        self.leave(before);
    }

    /// Shows the tensor in `values` as the output of the module that runs.
    #[inline]
    pub(super) fn show_here(&mut self, shape: Shape, values: &[f32]) {
        if !O::ENABLED {
            return;
        }
        for plan in 0..shape.batch {
            let rows = &values[shape.rows(plan)];
            self.observer
                .observe(self.path.as_str(), rows, shape.n_channels, shape.length);
        }
    }
}
