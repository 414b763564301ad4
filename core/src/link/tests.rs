use super::*;
use crate::Error;
use crate::control::receding_horizon::{Action, Planner};
use crate::noise::Noise;
use crate::pusht::observation::STATE_DIM;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::fmt::Debug;
use std::vec::Vec;

extern crate std;

/// Plans actions of the newest x of the agent and the number of plans so far.
struct Count(f64);

impl Planner for Count {
    fn n_obs_steps(&self) -> usize {
        2
    }
    fn n_action_steps(&self) -> usize {
        2
    }
    fn plan(
        &mut self,
        states: &[[f64; STATE_DIM]],
        _noise: &mut dyn Noise,
        chunk: &mut [Action],
    ) -> Result<(), Error> {
        self.0 += 1.0;
        chunk.fill([states[1][0], self.0]);
        Ok(())
    }
}

type TestDevice<'c> = Device<Count, std::boxed::Box<dyn Fn() -> u64 + 'c>>;

fn device(clock_us: &Cell<u64>) -> TestDevice<'_> {
    let identity = Identity::new("mps2-an386", b"123456789");
    let clock = std::boxed::Box::new(|| clock_us.get());
    Device::new(Count(0.0), identity, Restart::PowerOrPin, clock)
}

/// All messages that the device sends in reply to `bytes`.
fn say(device: &mut TestDevice<'_>, bytes: &[u8]) -> Vec<Answer> {
    let mut decoder = FrameDecoder::new();
    let mut answers = Vec::new();
    for byte in bytes {
        device.receive(*byte, |frame| {
            answers.extend(frame.iter().filter_map(|byte| decoder.push(*byte)));
        });
    }
    answers.into_iter().map(Result::unwrap).collect()
}

fn request(session: u32, sequence: u32, body: RequestBody) -> Request {
    Request {
        session,
        sequence,
        body,
    }
}

/// The only answer to a request; events are skipped.
fn ask(device: &mut TestDevice<'_>, session: u32, sequence: u32, body: RequestBody) -> AnswerBody {
    let answers = say(device, &encode(&request(session, sequence, body)));
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

const HELLO: RequestBody = RequestBody::Hello { version: VERSION };

fn observe(x: f64) -> RequestBody {
    let state = [x, 2.0, 3.0, 4.0, 5.0];
    RequestBody::Observe { state }
}

fn action_of(body: AnswerBody) -> Action {
    match body {
        AnswerBody::Action { action, .. } => action,
        other => panic!("{other:?}"),
    }
}

fn passes<M: Serialize + DeserializeOwned + PartialEq + Debug>(message: M) {
    let frame = encode(&message);
    assert!(frame.len() <= MAX_FRAME && frame.len() > 5, "{message:?}");
    assert_eq!(
        frame.iter().position(|byte| *byte == 0),
        Some(frame.len() - 1)
    );
    let mut decoder = FrameDecoder::new();
    let answers: Vec<_> = frame.iter().filter_map(|b| decoder.push::<M>(*b)).collect();
    assert_eq!(answers, [Ok(message)]);
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
    let state = [f64::MAX; STATE_DIM];
    for body in [
        RequestBody::Hello { version: u16::MAX },
        RequestBody::Begin { seed: u64::MAX },
        RequestBody::Observe { state },
        RequestBody::Report,
    ] {
        passes(request(most, most, body));
    }
    let action = [f64::MIN; 2];
    let event = |event| AnswerBody::Event {
        at_us: u64::MAX,
        event,
    };
    for body in [
        AnswerBody::Hello {
            version: u16::MAX,
            board: [255; BOARD_LEN],
            model_crc32: most,
        },
        AnswerBody::Begun,
        AnswerBody::Action {
            action,
            device_us: most,
        },
        AnswerBody::Report(counts),
        AnswerBody::Refused(Refusal::WrongVersion { version: u16::MAX }),
        AnswerBody::Refused(Refusal::OutOfSequence { expected: most }),
        event(Event::Started(Restart::StackOverflow { address: most })),
        event(Event::Holding { at: action }),
        event(Event::Overrun { bytes: most }),
    ] {
        passes(Answer {
            session: most,
            sequence: most,
            body,
        });
    }
}

/// The examples in `docs/link.md`.
#[test]
fn frames_equal_the_examples_of_the_document() {
    let hello = encode(&request(0x1234, 0, HELLO));
    let observe = encode(&request(0x1234, 2, observe(1.0)));
    let answer = encode(&Answer {
        session: 0x1234,
        sequence: 2,
        body: AnswerBody::Action {
            action: [1.0, -2.0],
            device_us: 300,
        },
    });
    let damaged = encode(&Answer {
        session: 0,
        sequence: 0,
        body: AnswerBody::Refused(Refusal::Damaged),
    });
    let document = include_str!("../../../docs/link.md");
    for (what, frame) in [
        ("hello", hello.as_slice()),
        ("observe", &observe),
        ("action", &answer),
        ("damaged", &damaged),
    ] {
        let hex: Vec<_> = frame.iter().map(|b| std::format!("{b:02x}")).collect();
        let hex = hex.join(" ");
        assert!(document.contains(&hex), "{what}: {hex}");
    }
}

#[test]
fn unstuffing_agrees_with_the_cobs_crate() {
    let mut random = Pcg32::seed_from_u64(2);
    let (mut whole, mut broken) = (0, 0);
    for _ in 0..20_000 {
        // Half of the frames consist of small COBS codes, so that many of them are well-formed.
        let len = 1 + random.next_u32() as usize % (MAX_FRAME - 1);
        let frame: Vec<u8> = (0..len)
            .map(|_| {
                1 + (random.next_u32() >> 16) as u8 % if len.is_multiple_of(2) { 3 } else { 254 }
            })
            .collect();
        let mut copy = frame.clone();
        let expected = cobs::decode_in_place(&mut copy).ok();
        let expected = expected.map(|len| &copy[..len]);
        assert_eq!(frame::unstuff(&frame).as_deref(), expected, "{frame:?}");
        whole += u32::from(expected.is_some());
        broken += u32::from(expected.is_none());
    }
    assert!(whole > 2_000 && broken > 2_000, "{whole} {broken}");
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
    let good = encode(&request(7, 8, observe(1.5)));
    let mut decoder = FrameDecoder::new();
    let mut expected = FrameCounts::default();
    for round in 0..20_000 {
        // Garbage without a zero, the zero that closes it, then a good frame.
        let len = random.next_u32() as usize % (2 * MAX_FRAME);
        let garbage: Vec<u8> = (0..len)
            .map(|_| (random.next_u32() % 255 + 1) as u8)
            .collect();
        for byte in &garbage {
            assert_eq!(decoder.push::<Request>(*byte), None);
        }
        assert_eq!(decoder.is_within_frame(), len > 0);
        let closed = decoder.push::<Request>(0).expect("a zero ends a frame");
        assert!(closed.is_err(), "{round}: {garbage:?}");
        match len {
            0 => expected.empty += 1,
            len if len > MAX_FRAME => expected.too_long += 1,
            _ => {}
        }
        let answers: Vec<_> = (good.iter())
            .filter_map(|byte| decoder.push::<Request>(*byte))
            .collect();
        assert_eq!(answers, [Ok(request(7, 8, observe(1.5)))], "{round}");
        expected.good += 1;
        let counts = decoder.counts();
        assert_eq!(counts.good, expected.good);
        assert_eq!(
            (counts.empty, counts.too_long),
            (expected.empty, expected.too_long)
        );
        assert_eq!(counts.empty + counts.damaged(), round + 1);
    }
}

#[test]
fn a_frame_with_up_to_five_wrong_bits_is_refused() {
    let mut random = Pcg32::seed_from_u64(6);
    let frame = encode(&request(7, 8, observe(1.5)));
    for round in 0..100_000 {
        let mut wrong = frame.clone();
        for _ in 0..random.next_u32() % 5 + 1 {
            let bit = random.next_u32() as usize % (8 * wrong.len());
            wrong[bit / 8] ^= 1 << (bit % 8);
        }
        if wrong == frame {
            continue;
        }
        let mut decoder = FrameDecoder::new();
        for byte in wrong {
            let result = decoder.push::<Request>(byte);
            assert!(!matches!(result, Some(Ok(_))), "{round}");
        }
    }
}

/// The checksum is right: it covers the trailing byte, too.
#[test]
fn a_message_with_trailing_bytes_is_refused() {
    let mut decoder = FrameDecoder::new();
    let frame = encode(&(request(7, 8, RequestBody::Report), 0_u8));
    let results: Vec<_> = (frame.iter())
        .filter_map(|byte| decoder.push::<Request>(*byte))
        .collect();
    assert_eq!(results, [Err(Damage::Unknown)]);
}

#[test]
fn a_device_drives_an_episode_by_receding_horizon() {
    let clock = Cell::new(0);
    let mut device = device(&clock);
    assert_eq!(device.state(), State::Idle);
    let hello = ask(&mut device, 9, 0, HELLO);
    let AnswerBody::Hello {
        board, model_crc32, ..
    } = hello
    else {
        panic!("{hello:?}");
    };
    assert!(board.starts_with(b"mps2-an386\0"));
    assert_eq!(model_crc32, 0xcbf4_3926);
    assert_eq!(device.state(), State::Driven(None));
    let begun = ask(&mut device, 9, 1, RequestBody::Begin { seed: 3 });
    assert_eq!(begun, AnswerBody::Begun);
    let actions: Vec<Action> = (0..5_u8)
        .map(|t| action_of(ask(&mut device, 9, 2 + u32::from(t), observe(t.into()))))
        .collect();
    let expected = [[0.0, 1.0], [0.0, 1.0], [2.0, 2.0], [2.0, 2.0], [4.0, 3.0]];
    assert_eq!(actions, expected);
    assert_eq!(device.state(), State::Driven(Some([4.0, 3.0])));
}

/// The repetition gets the first answer again and uses up no action.
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
    // The chunk of two actions has one left.
    assert_eq!(action_of(ask(&mut device, 9, 3, observe(2.0))), [1.0, 1.0]);
    assert_eq!(action_of(ask(&mut device, 9, 4, observe(3.0))), [3.0, 2.0]);
}

#[test]
fn a_request_out_of_turn_is_refused() {
    let clock = Cell::new(0);
    let mut device = device(&clock);
    let refused = |body, refusal| assert_eq!(body, AnswerBody::Refused(refusal));
    refused(ask(&mut device, 9, 1, observe(1.0)), Refusal::NoSession);
    let wrong = RequestBody::Hello {
        version: VERSION + 1,
    };
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
    refused(
        ask(&mut device, 9, 2, observe(f64::NAN)),
        Refusal::BadObservation,
    );
    // A refused request uses up no sequence number.
    assert_eq!(action_of(ask(&mut device, 9, 2, observe(1.0))), [1.0, 1.0]);
    assert_eq!(device.counts().refused, 6);
    // Another host takes over; the first has no session any more.
    ask(&mut device, 10, 0, HELLO);
    refused(ask(&mut device, 9, 3, observe(1.0)), Refusal::NoSession);
    refused(ask(&mut device, 10, 1, observe(1.0)), Refusal::NoEpisode);
}

/// The agent must not go on moving towards its last target.
#[test]
fn a_device_holds_the_agent_when_its_host_vanishes() {
    let clock = Cell::new(0);
    let mut device = device(&clock);
    ask(&mut device, 9, 0, HELLO);
    ask(&mut device, 9, 1, RequestBody::Begin { seed: 0 });
    ask(&mut device, 9, 2, observe(1.0));
    clock.set(HOLD_AFTER_US);
    device.poll();
    assert_eq!(device.state(), State::Driven(Some([1.0, 1.0])));
    // Noise does not postpone the hold; a repeated request does.
    say(&mut device, &[1, 2, 3, 0]);
    ask(&mut device, 9, 2, observe(1.0));
    clock.set(2 * HOLD_AFTER_US);
    say(&mut device, &[1, 2, 3, 0]);
    device.poll();
    assert_eq!(device.state(), State::Driven(Some([1.0, 1.0])));
    clock.set(2 * HOLD_AFTER_US + 1);
    device.poll();
    assert_eq!(device.state(), State::Holding([1.0, 2.0]));
    assert_eq!(
        ask(&mut device, 9, 3, observe(1.0)),
        AnswerBody::Refused(Refusal::NoSession)
    );
    let answers = say(&mut device, &encode(&request(11, 0, HELLO)));
    let AnswerBody::Event { at_us, event } = answers[1].body else {
        panic!("{answers:?}");
    };
    assert_eq!(event, Event::Holding { at: [1.0, 2.0] });
    assert_eq!(at_us, 2 * HOLD_AFTER_US + 1);
    assert_eq!(device.counts().holds, 1);
}

#[test]
fn the_next_frame_after_a_reset_in_mid_frame_is_understood() {
    let clock = Cell::new(0);
    let frame = encode(&request(9, 0, HELLO));
    for cut in 0..frame.len() {
        // The device starts while a frame is on the wire and sees only the rest of it.
        let mut device = device(&clock);
        let answers = say(&mut device, &frame[cut..]);
        if cut > 0 && cut < frame.len() - 1 {
            let damaged = AnswerBody::Refused(Refusal::Damaged);
            assert_eq!(answers[0].body, damaged, "{cut}");
        }
        let answers = say(&mut device, &frame);
        assert!(matches!(answers[0].body, AnswerBody::Hello { .. }), "{cut}");
        // The host restarts in the middle of its frame and closes it with a zero.
        say(&mut device, &frame[..cut]);
        say(&mut device, &[0]);
        let answers = say(&mut device, &encode(&request(9, 1, RequestBody::Report)));
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
    for _ in 0..1_000_000 {
        // One byte in 16 is a zero, so that frames are short.
        let word = random.next_u32();
        let byte = if word.is_multiple_of(16) {
            0
        } else {
            (word >> 8) as u8
        };
        device.receive(byte, |_| ());
    }
    assert_eq!(device.counts().frames.good, 2);
    assert!(device.counts().frames.damaged() > 10_000);
    say(&mut device, &[0]);
    assert_eq!(action_of(ask(&mut device, 9, 2, observe(1.0))), [1.0, 1.0]);
}
