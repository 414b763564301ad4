use super::*;
use crate::Error;
use crate::control::{PlanShape, Planner, Value};
use crate::noise::Noise;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};
use std::boxed::Box;
use std::cell::Cell;
use std::fmt::Debug;
use std::vec::Vec;

extern crate std;

mod accessors;

/// `Do` and `Da`.
const OBS_DIM: usize = 5;
const ACTION_DIM: usize = 2;

/// Plans the newest observation's first value with the number of plans; holds its first two values.
struct Count(f64);

/// An observed value that overflows [`Count`]'s plan.
const TOO_LARGE: f64 = 9e8;

impl Planner for Count {
    fn shape(&self) -> PlanShape {
        PlanShape {
            n_obs_steps: 2,
            obs_dim: OBS_DIM,
            n_action_steps: 2,
            action_dim: ACTION_DIM,
        }
    }

    fn plan(
        &mut self,
        window: &[f64],
        _noise: &mut dyn Noise,
        chunk: &mut [f64],
    ) -> Result<(), Error> {
        self.0 += 1.0;
        chunk.copy_from_slice(&[window[OBS_DIM], self.0].repeat(2));
        if window[OBS_DIM] == TOO_LARGE {
            chunk[3] = f64::INFINITY;
        }
        Ok(())
    }

    fn hold(&self, observation: &[f64], action: &mut [f64]) {
        action.copy_from_slice(&observation[..ACTION_DIM]);
    }

    fn task(&self) -> &str {
        "counting"
    }

    fn value(&self, index: usize) -> Value<'_> {
        let names = ["a", "b", "c", "d", "angle", "x", "y"];
        Value {
            name: names[index],
            unit: if index == 4 { "rad" } else { "" },
        }
    }
}

type TestDevice<'c> = Device<'static, Count, Box<dyn Fn() -> u64 + 'c>, 10, 6>;

/// Number of random cases: few of them under Miri, which is a thousand times as slow.
const fn cases(all: u32) -> u32 {
    if cfg!(miri) { all / 2000 } else { all }
}

fn device(clock_us: &Cell<u64>) -> TestDevice<'_> {
    let identity = Identity::new("mps2-an386", b"123456789");
    let clock: Box<dyn Fn() -> u64> = Box::new(|| clock_us.get());
    let frames = std::vec![0; frame_memory_len(OBS_DIM, ACTION_DIM)].leak();
    Device::new(Count(0.0), frames, identity, Restart::PowerOrPin, clock).unwrap()
}

/// Encodes a message as a frame.
fn frame_of(message: &impl Serialize) -> Vec<u8> {
    encode(message, &mut [0; 512]).to_vec()
}

/// Decodes the messages in `bytes`, damaged ones included.
fn decoded<'d, M: Deserialize<'d> + 'd>(bytes: &[u8]) -> Vec<Result<M, Damage>> {
    let mut messages = Vec::new();
    for frame in bytes.split_inclusive(|byte| *byte == 0) {
        // Leaked, so that messages may borrow from it.
        let decoder = Box::leak(Box::new(FrameDecoder::new(std::vec![0; 512])));
        let (zero, others) = frame.split_last().unwrap();
        for byte in others {
            assert!(decoder.push::<u8>(*byte).is_none());
        }
        messages.extend(decoder.push(*zero));
    }
    messages
}

/// Sends `bytes` to the device and returns its messages.
fn say(device: &mut TestDevice<'_>, bytes: &[u8]) -> Vec<Answer<'static>> {
    let mut said = Vec::new();
    for byte in bytes {
        device.receive(*byte, |frame| said.extend_from_slice(frame));
    }
    decoded(&said).into_iter().map(Result::unwrap).collect()
}

fn request(session: u32, sequence: u32, body: RequestBody<'_>) -> Request<'_> {
    Request {
        session,
        sequence,
        body,
    }
}

/// Sends a request and returns its answer without events.
fn ask(
    device: &mut TestDevice<'_>,
    session: u32,
    sequence: u32,
    body: RequestBody<'_>,
) -> AnswerBody<'static> {
    let answers = say(device, &frame_of(&request(session, sequence, body)));
    let mut bodies = answers
        .iter()
        .map(|answer| answer.body)
        .filter(|body| !matches!(body, AnswerBody::Event { .. }));
    let body = bodies.next().expect("an answer");
    assert_eq!(bodies.next(), None);
    assert_eq!(
        (answers[0].session, answers[0].sequence),
        (session, sequence)
    );
    body
}

const HELLO: RequestBody<'_> = RequestBody::Hello { version: VERSION };

fn observe(x: f64) -> RequestBody<'static> {
    let values: &[f64] = Vec::leak([x, 2.0, 3.0, 4.0, 5.0].to_vec());
    RequestBody::Observe {
        values: Row::Values(values),
    }
}

fn action_of(body: AnswerBody<'_>) -> Vec<f64> {
    match body {
        AnswerBody::Action { values, .. } => values.iter().collect(),
        other => panic!("{other:?}"),
    }
}

/// Checks that a message survives a frame of at most `n_values` values.
fn passes<M: Serialize + Deserialize<'static> + PartialEq + Debug + 'static>(
    message: M,
    n_values: usize,
) {
    let frame = frame_of(&message);
    assert!(frame.len() <= max_frame_len(n_values), "{message:?}");
    assert_eq!(
        frame.iter().position(|byte| *byte == 0),
        Some(frame.len() - 1)
    );
    assert!(frame.len() > 5, "{message:?}");
    assert_eq!(decoded::<M>(&frame), [Ok(message)]);
}

#[test]
fn the_longest_messages_fit_a_frame() {
    let most = u32::MAX;
    let frames = FrameCounts {
        good: most,
        empty: most,
        too_long: most,
        unstuffing: most,
        checksum: most,
        unknown: most,
    };
    let counts = Counts {
        frames,
        overrun_bytes: most,
        done: most,
        repeated: most,
        refused: most,
        sessions: most,
        holds: most,
    };
    let values = Row::Values(&[f64::MAX; 40]);
    passes(request(most, most, RequestBody::Observe { values }), 40);
    for body in [
        RequestBody::Hello { version: u16::MAX },
        RequestBody::Begin { seed: u64::MAX },
        RequestBody::Report,
        RequestBody::Describe { index: u16::MAX },
        RequestBody::Offer(Offer {
            len: most,
            crc32c: most,
            scratch_bytes: most,
            obs_dim: u16::MAX,
            action_dim: u16::MAX,
            n_obs_steps: u16::MAX,
            n_action_steps: u16::MAX,
        }),
        RequestBody::Piece {
            at: most,
            bytes: &[255; 64],
        },
        RequestBody::Commit,
    ] {
        passes(request(most, most, body), 0);
    }
    let text = "0123456789abcdef0123456789abcdef";
    let event = |event| AnswerBody::Event {
        at_us: u64::MAX,
        event,
    };
    for body in [
        AnswerBody::Hello {
            version: u16::MAX,
            board: [255; BOARD_LEN],
            model_crc32c: most,
            obs_dim: u16::MAX,
            action_dim: u16::MAX,
            n_obs_steps: u16::MAX,
            n_action_steps: u16::MAX,
            task: text,
            source: Source::Slot {
                slot: 1,
                generation: most,
            },
        },
        AnswerBody::Offered {
            at: most,
            piece_len: u16::MAX,
        },
        AnswerBody::Stored { at: most },
        AnswerBody::Committed,
        AnswerBody::Refused(Refusal::OtherTask {
            obs_dim: u16::MAX,
            action_dim: u16::MAX,
        }),
        AnswerBody::Begun,
        AnswerBody::Report(counts),
        AnswerBody::Refused(Refusal::WrongVersion { version: u16::MAX }),
        AnswerBody::Refused(Refusal::OutOfSequence { expected: most }),
        AnswerBody::Refused(Refusal::Busy),
        event(Event::Started(Restart::StackOverflow { address: most })),
        event(Event::Holding),
        event(Event::Overrun { bytes: most }),
        AnswerBody::Value {
            name: text,
            unit: &text[..16],
        },
    ] {
        let (session, sequence) = (most, most);
        passes(
            Answer {
                session,
                sequence,
                body,
            },
            0,
        );
    }
    let action = Answer {
        session: most,
        sequence: most,
        body: AnswerBody::Action {
            values,
            device_us: most,
        },
    };
    passes(action, 40);
}

/// A row makes a message longer from nine values on; COBS adds a byte per 254.
#[test]
fn a_frame_has_room_for_exactly_the_longest_message() {
    let lengths = |n_values| (max_message_len(n_values), max_frame_len(n_values));
    assert_eq!(lengths(0), (92, 94));
    assert_eq!(lengths(8), (92, 94));
    assert_eq!(lengths(9), (100, 102));
    assert_eq!(lengths(28), (252, 254));
    assert_eq!(lengths(29), (260, 263));
    let counts = FrameCounts {
        good: 1,
        empty: 2,
        too_long: 4,
        unstuffing: 8,
        checksum: 16,
        unknown: 32,
    };
    assert_eq!(counts.damaged(), 60);
}

/// The examples in `docs/link.md`.
#[test]
fn frames_equal_the_examples_of_the_document() {
    let hello = frame_of(&request(0x1234, 0, HELLO));
    let observe = frame_of(&request(0x1234, 2, observe(1.0)));
    let answer = frame_of(&Answer {
        session: 0x1234,
        sequence: 2,
        body: AnswerBody::Action {
            values: Row::Values(&[1.0, -2.0]),
            device_us: 300,
        },
    });
    let [damaged, busy] = [Refusal::Damaged, Refusal::Busy].map(|refusal| {
        frame_of(&Answer {
            session: 0,
            sequence: 0,
            body: AnswerBody::Refused(refusal),
        })
    });
    let document = include_str!("../../../docs/link.md");
    for (what, frame) in [
        ("hello", &hello),
        ("observe", &observe),
        ("action", &answer),
        ("damaged", &damaged),
        ("busy", &busy),
    ] {
        let hex: Vec<_> = frame.iter().map(|b| std::format!("{b:02x}")).collect();
        let hex = hex.join(" ");
        assert!(document.contains(&hex), "{what}: {hex}");
    }
}

/// Corner cases of COBS: blocks without a zero of 254 bytes, and one shorter or longer.
#[test]
fn rows_of_any_length_come_through() {
    for n_values in (0..60).step_by(if cfg!(miri) { 20 } else { 1 }) {
        for fill in [0x0101_0101_0101_0101_u64, 0] {
            let values: &[f64] = Vec::leak(std::vec![f64::from_bits(fill); n_values]);
            let values = Row::Values(values);
            passes(request(1, 2, RequestBody::Observe { values }), n_values);
        }
    }
}

#[test]
fn unstuffing_agrees_with_the_cobs_crate() {
    let mut random = Pcg32::seed_from_u64(2);
    let (mut whole, mut broken) = (0, 0);
    let n_frames = cases(20_000);
    for _ in 0..n_frames {
        // Half of the frames consist of small COBS codes, so that many are well-formed.
        let len = 1 + random.next_u32() as usize % 85;
        let mut frame: Vec<u8> = (0..len)
            .map(|_| {
                1 + (random.next_u32() >> 16) as u8 % if len.is_multiple_of(2) { 3 } else { 254 }
            })
            .collect();
        let is_whole = cobs::decode_in_place(&mut frame.clone()).is_ok();
        frame.push(0);
        let result = decoded::<u64>(&frame);
        assert_eq!(result != [Err(Damage::Unstuffing)], is_whole, "{frame:?}");
        whole += u32::from(is_whole);
        broken += u32::from(!is_whole);
    }
    assert!(whole.min(broken) >= n_frames / 10, "{whole} {broken}");
}

#[test]
fn integers_are_encoded_as_by_postcard() {
    #[derive(Serialize)]
    struct Ours<T: Copy + Into<u64>>(#[serde(serialize_with = "super::varint::varint")] T);
    fn same<T: Copy + Into<u64> + Serialize>(value: T) {
        let (mut ours, mut theirs) = ([0; 16], [0; 16]);
        let ours = postcard::to_slice(&Ours(value), &mut ours).unwrap();
        assert_eq!(ours, postcard::to_slice(&value, &mut theirs).unwrap());
    }
    for shift in 0..64 {
        for value in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
            same(value);
            same(value as u32);
            same(value as u16);
        }
    }
}

#[test]
fn a_decoder_resynchronises_at_every_zero_and_counts_what_it_drops() {
    let mut random = Pcg32::seed_from_u64(5);
    let good = frame_of(&request(7, 8, observe(1.5)));
    let mut decoder = FrameDecoder::new([0; 84]);
    let (mut n_good, mut n_empty) = (0, 0);
    for round in 0..cases(20_000) {
        // Garbage without a zero, its final zero, then a valid frame.
        let len = random.next_u32() as usize % 180;
        let garbage: Vec<u8> = (0..len)
            .map(|_| (random.next_u32() % 255 + 1) as u8)
            .collect();
        for byte in &garbage {
            assert_eq!(decoder.push::<Request<'_>>(*byte), None);
        }
        assert_eq!(decoder.is_within_frame(), len > 0);
        let closed = decoder.push::<Request<'_>>(0).expect("a zero ends a frame");
        assert!(closed.is_err(), "{round}: {garbage:?}");
        assert!(len < 170 || closed == Err(Damage::TooLong), "{garbage:?}");
        n_empty += u32::from(len == 0);
        for byte in &good {
            if let Some(request) = decoder.push::<Request<'_>>(*byte) {
                assert_eq!(request, Ok(super::tests::request(7, 8, observe(1.5))));
                n_good += 1;
            }
        }
        let counts = decoder.counts();
        assert_eq!((counts.good, counts.empty), (n_good, n_empty));
        assert_eq!(n_good, round + 1);
        assert_eq!(counts.empty + counts.damaged(), round + 1);
    }
}

#[test]
fn a_frame_with_up_to_five_wrong_bits_is_refused() {
    let mut random = Pcg32::seed_from_u64(6);
    let frame = frame_of(&request(7, 8, observe(1.5)));
    for round in 0..cases(100_000) {
        let mut wrong = frame.clone();
        for _ in 0..random.next_u32() % 5 + 1 {
            let bit = random.next_u32() as usize % (8 * wrong.len());
            wrong[bit / 8] ^= 1 << (bit % 8);
        }
        if wrong == frame {
            continue;
        }
        let mut decoder = FrameDecoder::new([0; 128]);
        for byte in wrong {
            let result = decoder.push::<Request<'_>>(byte);
            assert!(!matches!(result, Some(Ok(_))), "{round}");
        }
    }
}

/// The checksum is correct: it covers the trailing byte.
#[test]
fn a_message_with_trailing_bytes_is_refused() {
    let frame = frame_of(&(request(7, 8, RequestBody::Report), 0_u8));
    assert_eq!(decoded::<Request<'_>>(&frame), [Err(Damage::Unknown)]);
}

#[test]
fn a_device_drives_an_episode_by_receding_horizon() {
    let clock = Cell::new(0);
    let mut device = device(&clock);
    assert_eq!(device.state(), State::Idle);
    let hello = ask(&mut device, 9, 0, HELLO);
    let board = *b"mps2-an386\0\0\0\0\0\0";
    let expected = AnswerBody::Hello {
        version: VERSION,
        board,
        model_crc32c: 0xe306_9283,
        obs_dim: 5,
        action_dim: 2,
        n_obs_steps: 2,
        n_action_steps: 2,
        task: "counting",
        source: Source::Image,
    };
    assert_eq!(hello, expected);
    assert_eq!((device.state(), device.action()), (State::Driven, None));
    let begun = ask(&mut device, 9, 1, RequestBody::Begin { seed: 3 });
    assert_eq!(begun, AnswerBody::Begun);
    let actions: Vec<Vec<f64>> = (0..5_u8)
        .map(|t| action_of(ask(&mut device, 9, 2 + u32::from(t), observe(t.into()))))
        .collect();
    let expected = [[0.0, 1.0], [0.0, 1.0], [2.0, 2.0], [2.0, 2.0], [4.0, 3.0]];
    assert_eq!(actions, expected);
    assert_eq!(device.action(), Some(&[4.0, 3.0][..]));
}

#[test]
fn a_device_describes_its_values() {
    let clock = Cell::new(0);
    let mut device = device(&clock);
    ask(&mut device, 9, 0, HELLO);
    let expected = [(0, "a", ""), (4, "angle", "rad"), (6, "y", "")];
    for (sequence, (index, name, unit)) in (1..).zip(expected) {
        let body = ask(&mut device, 9, sequence, RequestBody::Describe { index });
        assert_eq!(body, AnswerBody::Value { name, unit });
    }
    let none = ask(&mut device, 9, 4, RequestBody::Describe { index: 7 });
    assert_eq!(none, AnswerBody::Refused(Refusal::NoValue));
}

/// The repetition is answered with the first answer and consumes no action.
#[test]
fn a_repeated_request_is_done_once() {
    let clock = Cell::new(0);
    let mut device = device(&clock);
    ask(&mut device, 9, 0, HELLO);
    ask(&mut device, 9, 1, RequestBody::Begin { seed: 0 });
    let first = ask(&mut device, 9, 2, observe(1.0));
    clock.set(5000);
    assert_eq!(ask(&mut device, 9, 2, observe(1.0)), first);
    assert_eq!(device.counts().repeated, 1);
    // One of the chunk's two actions is left.
    assert_eq!(action_of(ask(&mut device, 9, 3, observe(2.0))), [1.0, 1.0]);
    assert_eq!(action_of(ask(&mut device, 9, 4, observe(3.0))), [3.0, 2.0]);
}

#[test]
fn a_request_out_of_turn_is_refused() {
    let clock = Cell::new(0);
    let mut device = device(&clock);
    let refused = |body, refusal| assert_eq!(body, AnswerBody::Refused(refusal));
    refused(ask(&mut device, 9, 1, observe(1.0)), Refusal::NoSession);
    let wrong = RequestBody::Hello { version: 1 };
    let version = VERSION;
    refused(
        ask(&mut device, 9, 0, wrong),
        Refusal::WrongVersion { version },
    );
    assert_eq!(device.state(), State::Idle);
    ask(&mut device, 9, 0, HELLO);
    refused(ask(&mut device, 9, 1, observe(1.0)), Refusal::NoEpisode);
    refused(ask(&mut device, 8, 1, observe(1.0)), Refusal::NoSession);
    let expected = 1;
    refused(
        ask(&mut device, 9, 2, observe(1.0)),
        Refusal::OutOfSequence { expected },
    );
    ask(&mut device, 9, 1, RequestBody::Begin { seed: 0 });
    let short = RequestBody::Observe {
        values: Row::Values(&[1.0; 4]),
    };
    for bad in [observe(f64::NAN), observe(-1e308), short] {
        refused(ask(&mut device, 9, 2, bad), Refusal::BadObservation);
    }
    // A refused request consumes no sequence number.
    assert_eq!(action_of(ask(&mut device, 9, 2, observe(1.0))), [1.0, 1.0]);
    assert_eq!(device.counts().refused, 8);
    // Another host takes over; the session of the first is closed.
    ask(&mut device, 10, 0, HELLO);
    refused(ask(&mut device, 9, 3, observe(1.0)), Refusal::NoSession);
    refused(ask(&mut device, 10, 1, observe(1.0)), Refusal::NoEpisode);
}

#[test]
fn an_action_that_is_not_finite_is_never_answered() {
    let clock = Cell::new(0);
    let mut device = device(&clock);
    ask(&mut device, 9, 0, HELLO);
    ask(&mut device, 9, 1, RequestBody::Begin { seed: 0 });
    let refused = AnswerBody::Refused(Refusal::BadObservation);
    assert_eq!(ask(&mut device, 9, 2, observe(TOO_LARGE)), refused);
    assert_eq!(device.action(), None);
    // The chunk before is not executed either.
    assert_eq!(action_of(ask(&mut device, 9, 2, observe(1.0))), [1.0, 2.0]);
}

/// The agent does not keep moving towards its last target.
#[test]
fn a_device_holds_the_agent_when_its_host_vanishes() {
    let clock = Cell::new(0);
    let mut device = device(&clock);
    ask(&mut device, 9, 0, HELLO);
    ask(&mut device, 9, 1, RequestBody::Begin { seed: 0 });
    ask(&mut device, 9, 2, observe(1.0));
    clock.set(HOLD_AFTER_US);
    device.poll();
    assert_eq!(device.action(), Some(&[1.0, 1.0][..]));
    // Noise does not delay the hold; a repeated request does.
    say(&mut device, &[1, 2, 3, 0]);
    ask(&mut device, 9, 2, observe(1.0));
    clock.set(2 * HOLD_AFTER_US);
    say(&mut device, &[1, 2, 3, 0]);
    device.poll();
    assert_eq!(device.state(), State::Driven);
    clock.set(2 * HOLD_AFTER_US + 1);
    device.poll();
    assert_eq!(device.state(), State::Holding);
    assert_eq!(device.action(), Some(&[1.0, 2.0][..]));
    assert_eq!(
        ask(&mut device, 9, 3, observe(1.0)),
        AnswerBody::Refused(Refusal::NoSession)
    );
    let answers = say(&mut device, &frame_of(&request(11, 0, HELLO)));
    let AnswerBody::Event { at_us, event } = answers[1].body else {
        panic!("{answers:?}");
    };
    assert_eq!(event, Event::Holding);
    assert_eq!(at_us, 2 * HOLD_AFTER_US + 1);
    assert_eq!(device.counts().holds, 1);
}

#[test]
fn the_next_frame_after_a_reset_in_mid_frame_is_understood() {
    let clock = Cell::new(0);
    let frame = frame_of(&request(9, 0, HELLO));
    for cut in (0..frame.len()).step_by(if cfg!(miri) { 6 } else { 1 }) {
        // The device starts in the middle of a frame and receives only its end.
        let mut device = device(&clock);
        let answers = say(&mut device, &frame[cut..]);
        if cut > 0 && cut < frame.len() - 1 {
            let damaged = AnswerBody::Refused(Refusal::Damaged);
            assert_eq!(answers[0].body, damaged, "{cut}");
        }
        let answers = say(&mut device, &frame);
        assert!(matches!(answers[0].body, AnswerBody::Hello { .. }), "{cut}");
        // The host restarts in the middle of a frame and ends it with a zero.
        say(&mut device, &frame[..cut]);
        say(&mut device, &[0]);
        let answers = say(&mut device, &frame_of(&request(9, 1, RequestBody::Report)));
        assert!(matches!(answers[0].body, AnswerBody::Report(_)), "{cut}");
    }
}

#[test]
fn no_bytes_make_a_device_panic_or_move() {
    let clock = Cell::new(0);
    let mut device = device(&clock);
    ask(&mut device, 9, 0, HELLO);
    ask(&mut device, 9, 1, RequestBody::Begin { seed: 0 });
    let mut random = Pcg32::seed_from_u64(8);
    let n_bytes = cases(1_000_000);
    for _ in 0..n_bytes {
        // One byte in 16 is a zero, for short frames.
        let word = random.next_u32();
        let byte = if word.is_multiple_of(16) {
            0
        } else {
            (word >> 8) as u8
        };
        device.receive(byte, |_| ());
    }
    assert_eq!(device.counts().frames.good, 2);
    assert!(device.counts().frames.damaged() > n_bytes / 100);
    say(&mut device, &[0]);
    assert_eq!(action_of(ask(&mut device, 9, 2, observe(1.0))), [1.0, 1.0]);
}

#[test]
fn a_frame_that_does_not_fit_is_empty() {
    let request = request(1, 2, RequestBody::Report);
    let whole = frame_of(&request);
    for len in 0..whole.len() {
        let mut memory = std::vec![7; len];
        let expected: &[u8] = if len == 0 { &[] } else { &[0] };
        assert_eq!(encode(&request, &mut memory), expected, "{len} bytes");
    }
    assert_eq!(encode(&request, &mut std::vec![7; whole.len()]), whole);
}
