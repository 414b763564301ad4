//! Execution of a policy, for any task: the times of plans and the action of each control tick.
//!
//! - [`planner`]: interface of every policy, `[To][Do]` in and `[Ta][Da]` out.
//! - [`receding_horizon`]: plan, execute, plan again; simulated time stops during a plan.
//! - [`pipeline`]: the same in real time: the next plan is computed during execution of the last.

pub mod pipeline;
pub mod planner;
pub mod receding_horizon;

pub use planner::{PlanJob, PlanShape, Planner, Value};
pub use receding_horizon::RecedingHorizon;
