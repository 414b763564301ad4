//! Receding-horizon execution, in step and in real time.

pub mod pipeline;
pub mod receding_horizon;
