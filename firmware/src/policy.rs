//! The integer policy with its working memory, which is a variable where RAM allows it.

#[cfg(not(feature = "board-microbit"))]
pub use in_a_variable::of;
#[cfg(feature = "board-microbit")]
pub use on_stack::of;

#[cfg(not(feature = "board-microbit"))]
mod in_a_variable {
    use crate::expected::SCRATCH_LEN;
    use cortex_m::singleton;
    use pusht_core::quant::{IntPolicy, Model};

    /// Creates the policy of `model`. To be called once; a model that needs more memory than the
    /// image's ends the run.
    pub fn of<'m>(model: &'m Model<'m>) -> IntPolicy<'m> {
        let Some(scratch) = singleton!(SCRATCH: [u64; SCRATCH_LEN] = [0; SCRATCH_LEN]) else {
            defmt::panic!("main runs once");
        };
        match IntPolicy::new(model, scratch) {
            Ok(policy) => policy,
            Err(error) => defmt::panic!("policy: {}", error),
        }
    }
}

/// Nothing of the working memory outlasts a plan. On the stack, the simulator or the link uses the
/// same bytes between plans: the micro:bit has 16 KiB for all of it.
#[cfg(feature = "board-microbit")]
mod on_stack {
    use crate::expected::SCRATCH_LEN;
    use pusht_core::Error;
    use pusht_core::control::{PlanShape, Planner, Value};
    use pusht_core::noise::Noise;
    use pusht_core::quant::{IntPolicy, Model};

    /// The integer policy with its working memory on the stack.
    pub struct OnStack<'m>(&'m Model<'m>);

    /// Creates the policy of `model`; one that needs more memory than the image's ends the run.
    pub fn of<'m>(model: &'m Model<'m>) -> OnStack<'m> {
        if model.scratch_len() > SCRATCH_LEN {
            defmt::panic!("policy: {=usize} words of scratch", model.scratch_len());
        }
        OnStack(model)
    }

    impl OnStack<'_> {
        // Not inlined, so that the memory is taken for `act` alone.
        #[inline(never)]
        fn with<R>(
            &self,
            act: impl FnOnce(&mut IntPolicy<'_>) -> Result<R, Error>,
        ) -> Result<R, Error> {
            let mut scratch = [0; SCRATCH_LEN];
            match IntPolicy::new(self.0, &mut scratch) {
                Ok(mut policy) => act(&mut policy),
                // `of` has refused such a model.
                Err(_) => Err(Error::WrongLength {
                    what: "scratch",
                    expected: self.0.scratch_len(),
                    got: SCRATCH_LEN,
                }),
            }
        }
    }

    impl Planner for OnStack<'_> {
        fn shape(&self) -> PlanShape {
            self.0.shape()
        }

        fn plan(
            &mut self,
            window: &[f64],
            noise: &mut dyn Noise,
            chunk: &mut [f64],
        ) -> Result<(), Error> {
            self.with(|policy| policy.plan(window, noise, chunk))
        }

        fn hold(&self, observation: &[f64], action: &mut [f64]) {
            // It cannot fail.
            let _ = self.with(|policy| {
                policy.hold(observation, action);
                Ok(())
            });
        }

        fn task(&self) -> &str {
            self.0.task()
        }

        fn value(&self, index: usize) -> Value<'_> {
            self.0.value(index)
        }
    }
}
