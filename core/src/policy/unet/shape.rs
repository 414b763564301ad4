//! How a feature map lies in memory.

use core::ops::Range;

/// A batch of feature maps, channels last: `plans` x (`border` + `length` + `border`) rows of `channels`.
///
/// The border rows are zero: they are the convolutions' padding, so that a convolution of `k` taps is a matrix
/// product whose rows are `k` consecutive rows of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub plans: usize,
    pub length: usize,
    pub channels: usize,
    pub border: usize,
}

impl Shape {
    /// Values of the whole batch, borders included.
    pub fn len(self) -> usize {
        self.plans * self.plan_len()
    }

    fn plan_len(self) -> usize {
        (self.length + 2 * self.border) * self.channels
    }

    /// Where the rows of a plan lie, borders excluded.
    pub fn inside(self, plan: usize) -> Range<usize> {
        let start = plan * self.plan_len() + self.border * self.channels;
        start..start + self.length * self.channels
    }

    pub fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }

    /// Zeroes the borders in the first `len` values of `map` and returns those.
    pub fn bordered(self, map: &mut [f32]) -> &mut [f32] {
        let map = &mut map[..self.len()];
        let rim = self.border * self.channels;
        for plan in map.chunks_exact_mut(self.plan_len()) {
            plan[..rim].fill(0.0);
            let end = plan.len() - rim;
            plan[end..].fill(0.0);
        }
        map
    }

    /// Copies `rows` (plans x length x channels, no borders) into `map`.
    pub fn fill_from<'m>(self, rows: &[f32], map: &'m mut [f32]) -> &'m mut [f32] {
        let map = self.bordered(map);
        for (plan, rows) in rows.chunks_exact(self.length * self.channels).enumerate() {
            map[self.inside(plan)].copy_from_slice(rows);
        }
        map
    }

    /// `rows_per_plan` rows of each plan: from position `first` (the border counts) on, every `step`-th.
    pub fn block(self, first: usize, step: usize, rows_per_plan: usize) -> RowBlock {
        RowBlock {
            first: first * self.channels,
            step: step * self.channels,
            plan_len: self.plan_len(),
            plans: self.plans,
            rows_per_plan,
        }
    }
}

/// The rows that a matrix product reads from, or writes to, a batch of feature maps.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowBlock {
    first: usize,
    step: usize,
    plan_len: usize,
    plans: usize,
    rows_per_plan: usize,
}

impl RowBlock {
    /// Rows of all plans.
    pub fn n_rows(self) -> usize {
        self.plans * self.rows_per_plan
    }

    /// Where a row, counted over all plans, starts.
    #[inline]
    pub fn start(self, row: usize) -> usize {
        let (plan, row) = (row / self.rows_per_plan, row % self.rows_per_plan);
        plan * self.plan_len + self.first + row * self.step
    }
}
