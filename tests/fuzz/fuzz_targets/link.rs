//! Any bytes on the serial link, and any requests between them: the device never panics, answers nothing else than it should, and is in
//! step again after a zero.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pusht_core::Error;
use pusht_core::control::{PlanShape, Planner};
use pusht_core::link::{Answer, AnswerBody, Device, FrameDecoder, Identity, ModelStore, Offer};
use pusht_core::link::{Refusal, Row};
use pusht_core::link::{Request, RequestBody, Restart, VERSION, encode};
use pusht_core::link::{frame_memory_len, max_frame_len, max_message_len};
use pusht_core::noise::Noise;
use pusht_fuzz::limit_memory;
use std::cell::Cell;

#[derive(Arbitrary, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Hello(u16),
    Begin(u64),
    Observe(Vec<f64>),
    Report,
    Describe(u16),
    Offer(u32, u32),
    Piece(u32, Vec<u8>),
    Commit,
    Wait(u32),
}

const SHAPE: PlanShape = PlanShape {
    n_obs_steps: 2,
    obs_dim: 5,
    n_action_steps: 3,
    action_dim: 2,
};
const WINDOW_LEN: usize = SHAPE.window_len();
const CHUNK_LEN: usize = SHAPE.chunk_len() + SHAPE.action_dim;
/// Longest row that is sent: more than the device has room for.
const MAX_ROW_LEN: usize = 3 * WINDOW_LEN;

/// Longest piece of a file: more than the device says.
const MAX_PIECE_LEN: usize = 8 * MAX_ROW_LEN;

/// Takes pieces in turn.
#[derive(Default)]
struct Store {
    offered: Option<u32>,
    at: u32,
}

impl ModelStore for Store {
    fn offer(&mut self, offer: &Offer) -> Result<u32, Refusal> {
        (self.offered, self.at) = (Some(offer.len), offer.crc32c % 2 * offer.len);
        Ok(self.at)
    }

    fn piece(&mut self, at: u32, bytes: &[u8]) -> Result<u32, Refusal> {
        let left = self.offered.ok_or(Refusal::NotOffered)? - self.at;
        if at != self.at || bytes.len() as u32 > left {
            return Err(Refusal::NotOffered);
        }
        self.at += bytes.len() as u32;
        Ok(self.at)
    }

    fn commit(&mut self) -> Result<(), Refusal> {
        match self.offered.take() {
            Some(len) if len == self.at => Ok(()),
            _ => Err(Refusal::BadModel),
        }
    }
}

/// Plans the first two values of the newest observation.
struct Stay;

impl Planner for Stay {
    fn shape(&self) -> PlanShape {
        SHAPE
    }

    fn plan(
        &mut self,
        window: &[f64],
        _noise: &mut dyn Noise,
        chunk: &mut [f64],
    ) -> Result<(), Error> {
        for action in chunk.chunks_exact_mut(SHAPE.action_dim) {
            action.copy_from_slice(&window[SHAPE.obs_dim..][..SHAPE.action_dim]);
        }
        Ok(())
    }
}

fuzz_target!(init: limit_memory(), |steps: Vec<(u32, u32, Step)>| {
    let clock_us = Cell::new(0);
    let identity = Identity::new("fuzz", b"");
    let mut frames = [0; frame_memory_len(SHAPE.obs_dim, SHAPE.action_dim)];
    let mut store = Store::default();
    let mut device = Device::<_, _, WINDOW_LEN, CHUNK_LEN>::new(
        Stay,
        &mut frames,
        identity,
        Restart::PowerOrPin,
        || clock_us.get(),
    )
    .expect("room for everything")
    .with_store(&mut store);
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
            Step::Observe(values) => RequestBody::Observe {
                values: Row::Values(&values[..values.len().min(MAX_ROW_LEN)]),
            },
            Step::Report => RequestBody::Report,
            Step::Describe(index) => RequestBody::Describe { index: *index },
            Step::Offer(len, crc32) => RequestBody::Offer(Offer {
                len: *len,
                crc32c: *crc32,
                scratch_bytes: 0,
                obs_dim: SHAPE.obs_dim as u16,
                action_dim: SHAPE.action_dim as u16,
                n_obs_steps: 1,
                n_action_steps: 1,
            }),
            Step::Piece(at, bytes) => RequestBody::Piece {
                at: *at,
                bytes: &bytes[..bytes.len().min(MAX_PIECE_LEN)],
            },
            Step::Commit => RequestBody::Commit,
        };
        let (session, sequence) = (*session, *sequence);
        device.receive(0, |_| ());
        let request = Request {
            session,
            sequence,
            body,
        };
        let mut said = Vec::new();
        for byte in encode(&request, &mut [0; max_frame_len(MAX_ROW_LEN)]) {
            device.receive(*byte, |frame| said.extend_from_slice(frame));
        }
        // Events follow the answer.
        let mut decoder = FrameDecoder::new([0; max_message_len(MAX_ROW_LEN)]);
        let end = said.iter().position(|byte| *byte == 0);
        let end = end.expect("an answer to every request");
        for byte in &said[..end] {
            assert!(decoder.push::<Answer<'_>>(*byte).is_none());
        }
        let answer = decoder.push::<Answer<'_>>(0).expect("the end of a frame");
        let answer = answer.expect("what a device says is whole");
        let is_too_long = match body {
            RequestBody::Observe { values } => values.len() > SHAPE.obs_dim,
            RequestBody::Piece { bytes, .. } => bytes.len() > 8 * SHAPE.obs_dim,
            _ => false,
        };
        if is_too_long && answer.body == AnswerBody::Refused(Refusal::Damaged) {
            // Longer than every frame that the device has room for.
            continue;
        }
        assert_eq!((answer.session, answer.sequence), (session, sequence));
        let damaged = AnswerBody::Refused(Refusal::Damaged);
        assert_ne!(answer.body, damaged, "out of step");
        match answer.body {
            AnswerBody::Action { values, .. } => {
                assert_eq!(values.len(), SHAPE.action_dim);
                assert!(values.iter().all(f64::is_finite));
            }
            AnswerBody::Hello { version, .. } => assert_eq!(version, VERSION),
            _ => {}
        }
    }
});
