//! Where an episode starts, as the options of a reset.

use super::options::{named, numbers};
use crate::env::EnvError;
use crate::value::{Dict, Value};
use pusht_core::pusht::env::StartOrder;
use pusht_core::pusht::observation::STATE_DIM;

/// The options of a reset.
const OPTIONS: [&str; 2] = ["reset_to_state", "start_order"];

/// A state to start at, and the order in which it is set if that is not the environment's.
pub(crate) type Start = ([f64; STATE_DIM], Option<StartOrder>);

/// The start in the options of a reset; `None` for the next one of the seed. `default`: the state
/// if the options have none.
///
/// # Errors
/// If an option is unknown, has a wrong value, or orders a state that is not given.
pub(crate) fn start_of(
    options: &Dict,
    default: Option<[f64; STATE_DIM]>,
) -> Result<Option<Start>, EnvError> {
    if let Some(name) = options
        .keys()
        .find(|name| !OPTIONS.contains(&name.as_str()))
    {
        return Err(EnvError::unknown_argument(
            "a reset of PushT",
            name,
            &OPTIONS,
        ));
    }
    let given = |name| options.get(name).filter(|value| **value != Value::None);
    let state = given("reset_to_state").map(|value| numbers("reset_to_state", value));
    let order = given("start_order").map(|value| named("start_order", value));
    match (state.transpose()?.or(default), order.transpose()?) {
        (Some(state), order) => Ok(Some((state, order))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(EnvError::new(
            "ValueError",
            "start_order: it is the order of a `reset_to_state`, which is missing",
        )),
    }
}
