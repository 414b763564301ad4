//! The error of the environment, the control loop and the integer policy.
//!
//! Other parts have their own: [`ModelError`](crate::quant::ModelError) (model file),
//! [`PolicyError`](crate::policy::PolicyError), [`UnetError`](crate::policy::unet::UnetError) and
//! [`SchedulerError`](crate::policy::scheduler::SchedulerError) (float policy).

/// Why an environment, a planner or a control loop refuses an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// An action, given or planned, with a NaN or infinite value.
    NonFiniteAction,
    /// A start state with a NaN or infinite value.
    NonFiniteState,
    /// An observation with a NaN or infinite value.
    NonFiniteObservation,
    /// An observation with a value beyond
    /// [`MAX_OBSERVED`](crate::control::planner::MAX_OBSERVED).
    ObservationTooLarge,
    /// A parameter of the environment that is not finite, or outside of its documented range.
    InvalidParameter {
        /// Name of the parameter.
        what: &'static str,
    },
    /// Finite values so large that the simulation would overflow `f64`.
    OutOfRange,
    /// A seed above 32 bits, which the legacy seeding does not take.
    LegacySeedTooLarge,
    /// A name of something else.
    UnknownName {
        /// What it should have been.
        what: &'static str,
        /// The names of those.
        known: &'static [&'static str],
    },
    /// A slice whose length does not fit the shape that the callee documents.
    WrongLength {
        /// Name of the argument.
        what: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        got: usize,
    },
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NonFiniteAction => write!(f, "action is not finite"),
            Self::NonFiniteState => write!(f, "start state is not finite"),
            Self::NonFiniteObservation => write!(f, "observation is not finite"),
            Self::ObservationTooLarge => write!(f, "observation has a value beyond 1e9"),
            Self::InvalidParameter { what } => write!(f, "{what} is out of range"),
            Self::OutOfRange => write!(f, "values too large to simulate"),
            Self::LegacySeedTooLarge => write!(f, "legacy seeds end at 4294967295"),
            Self::UnknownName { what, known } => {
                write!(f, "no name of {what}; these are:")?;
                for (index, name) in known.iter().enumerate() {
                    write!(f, "{} {name}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::WrongLength {
                what,
                expected,
                got,
            } => {
                write!(f, "{what}: {expected} values needed, {got} given")
            }
        }
    }
}

impl core::error::Error for Error {}
