//! Any bytes on the serial link, and any requests between them: the device never panics, answers nothing else than it should, and is in
//! step again after a zero.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pusht_core::Error;
use pusht_core::link::{Answer, AnswerBody, Device, FrameDecoder, Identity, Refusal};
use pusht_core::link::{Request, RequestBody, Restart, VERSION, encode};
use pusht_core::noise::Noise;
use pusht_core::pusht::observation::STATE_DIM;
use pusht_core::control::receding_horizon::{Action, Planner};
use std::cell::Cell;

#[derive(Arbitrary, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Hello(u16),
    Begin(u64),
    Observe([f64; STATE_DIM]),
    Report,
    Wait(u32),
}

/// Plans where the agent was seen.
struct Stay;

impl Planner for Stay {
    fn n_obs_steps(&self) -> usize {
        2
    }
    fn n_action_steps(&self) -> usize {
        3
    }
    fn plan(
        &mut self,
        states: &[[f64; STATE_DIM]],
        _noise: &mut dyn Noise,
        chunk: &mut [Action],
    ) -> Result<(), Error> {
        chunk.fill([states[1][0], states[1][1]]);
        Ok(())
    }
}

fuzz_target!(|steps: Vec<(u32, u32, Step)>| {
    let clock_us = Cell::new(0);
    let identity = Identity::new("fuzz", b"");
    let mut device = Device::new(Stay, identity, Restart::PowerOrPin, || clock_us.get());
    let mut decoder = FrameDecoder::new();
    for (session, sequence, step) in steps.iter().take(64) {
        let body = match step {
            Step::Bytes(bytes) => {
                for byte in bytes {
                    device.receive(*byte, |_| ());
                }
                continue;
            }
            Step::Wait(us) => {
                clock_us.set(clock_us.get() + u64::from(*us));
                device.poll();
                continue;
            }
            Step::Hello(version) => RequestBody::Hello { version: *version },
            Step::Begin(seed) => RequestBody::Begin { seed: *seed },
            Step::Observe(state) => RequestBody::Observe { state: *state },
            Step::Report => RequestBody::Report,
        };
        let (session, sequence) = (*session, *sequence);
        device.receive(0, |_| ());
        let mut answers = Vec::new();
        for byte in encode(&Request {
            session,
            sequence,
            body,
        }) {
            device.receive(byte, |frame| {
                answers.extend(frame.iter().filter_map(|b| decoder.push::<Answer>(*b)));
            });
        }
        let answer = answers[0].expect("what a device says is whole");
        assert_eq!((answer.session, answer.sequence), (session, sequence));
        let damaged = AnswerBody::Refused(Refusal::Damaged);
        assert_ne!(answer.body, damaged, "out of step");
        if let AnswerBody::Action { action, .. } = answer.body {
            assert!(action.iter().all(|value| value.is_finite()));
        }
        if let AnswerBody::Hello { version, .. } = answer.body {
            assert_eq!(version, VERSION);
        }
    }
});
