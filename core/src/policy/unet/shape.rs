//! How a tensor lies in memory.

use core::ops::Range;

/// A batch of tensors, each between its rows of zeros: `[B][padding + L + padding][C]`.
///
/// The zeros are the convolutions' padding: a convolution of `k` taps is then a matrix product
/// whose input rows are `k` consecutive rows of the tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub batch: usize,
    pub length: usize,
    pub n_channels: usize,
    pub padding: usize,
}

impl Shape {
    /// Values of the whole batch, padding included.
    pub fn len(self) -> usize {
        self.batch * self.plan_len()
    }

    fn plan_len(self) -> usize {
        (self.length + 2 * self.padding) * self.n_channels
    }

    /// Where the `L` rows of a plan lie.
    pub fn rows(self, plan: usize) -> Range<usize> {
        let start = plan * self.plan_len() + self.padding * self.n_channels;
        start..start + self.length * self.n_channels
    }

    /// Vectors of `n_channels` values, one per row of the batch.
    pub fn of_vectors(batch: usize, n_channels: usize) -> Self {
        Self {
            batch,
            length: 1,
            n_channels,
            padding: 0,
        }
    }

    pub fn with_channels(self, n_channels: usize) -> Self {
        Self { n_channels, ..self }
    }

    pub fn with_length(self, length: usize) -> Self {
        Self { length, ..self }
    }

    /// The tensor at the front of `buffer`, its padding made zero.
    pub fn padded_mut(self, buffer: &mut [f32]) -> &mut [f32] {
        let tensor = &mut buffer[..self.len()];
        let padding = self.padding * self.n_channels;
        for plan in tensor.chunks_exact_mut(self.plan_len()) {
            plan[..padding].fill(0.0);
            let end = plan.len() - padding;
            plan[end..].fill(0.0);
        }
        tensor
    }

    /// Copies `rows` (`[B][L][C]`) into `buffer`, between zeros.
    pub fn load(self, rows: &[f32], buffer: &mut [f32]) {
        let tensor = self.padded_mut(buffer);
        for (plan, rows) in rows.chunks_exact(self.length * self.n_channels).enumerate() {
            tensor[self.rows(plan)].copy_from_slice(rows);
        }
    }

    /// `rows_per_plan` rows of each plan: every `step`-th from position `first` on, padding
    /// counted.
    pub fn block(self, first: usize, step: usize, rows_per_plan: usize) -> RowBlock {
        RowBlock {
            first: first * self.n_channels,
            step: step * self.n_channels,
            plan_len: self.plan_len(),
            batch: self.batch,
            rows_per_plan,
        }
    }
}

/// The rows of a batch of tensors that a matrix product reads or writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowBlock {
    first: usize,
    step: usize,
    plan_len: usize,
    batch: usize,
    rows_per_plan: usize,
}

impl RowBlock {
    /// Rows of all plans.
    pub fn n_rows(self) -> usize {
        self.batch * self.rows_per_plan
    }

    /// Where a row, counted over all plans, starts.
    #[inline]
    pub fn start(self, row: usize) -> usize {
        let (plan, row) = (row / self.rows_per_plan, row % self.rows_per_plan);
        plan * self.plan_len + self.first + row * self.step
    }
}
