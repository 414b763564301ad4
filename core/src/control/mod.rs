//! Execution of a policy, whatever its task: when it plans, and which action is due now.
//!
//! - [`planner`]: what every policy looks like, `[To][Do]` in and `[Ta][Da]` out.
//! - [`receding_horizon`]: plan, execute, plan again; simulated time stops while it plans.
//! - [`pipeline`]: the same in real time, one plan under way while the last one is executed.

pub mod pipeline;
pub mod planner;
pub mod receding_horizon;

pub use planner::{PlanJob, PlanShape, Planner, Value};
pub use receding_horizon::RecedingHorizon;
