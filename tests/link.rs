//! Both ends of the serial link in one process: over a good line, over noisy ones, and across
//! faults of either end.

use pusht_core::control::{PlanShape, Planner};
use pusht_core::link::{Answer, AnswerBody, Device, Event, FrameDecoder, HOLD_AFTER_US};
use pusht_core::link::{Identity, MAX_SHORT_FRAME, Refusal, Request, Restart, State, VERSION};
use pusht_core::link::{encode, frame_memory_len, max_message_len};
use pusht_core::pusht::env::{PushTEnv, Seeding};
use pusht_core::pusht::episode::MAX_EPISODE_STEPS;
use pusht_core::pusht::observation::{ObservationKind, observe};
use pusht_core::pusht::rollout::{MAX_CHUNK_LEN, MAX_WINDOW_LEN};
use pusht_core::quant::{IntPolicy, Model};
use pusht_host::engine::{Engine, PolicyArgs};
use pusht_host::evaluate;
use pusht_host::link::{Client, LinkError, Noisy, Wire, play};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

const MODEL: &[u8] = include_bytes!("../models/pusht-small.ptm");
/// What the model sees.
const KIND: ObservationKind = ObservationKind::Vertices;
const MODEL_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pusht-small.ptm");
/// Longer than any pause of the machine: the devices here answer immediately or never, and an empty
/// wire reports a timeout without waiting.
const TIMEOUT: Duration = Duration::from_secs(3600);

type Clock = Rc<Cell<u64>>;
type TestDevice<'m> =
    Device<'m, IntPolicy<'m>, Box<dyn Fn() -> u64>, MAX_WINDOW_LEN, MAX_CHUNK_LEN>;

/// A device at the other end of a wire. Each message to it takes a millisecond of its clock.
struct Loop<'m> {
    device: TestDevice<'m>,
    clock: Clock,
    from_device: VecDeque<u8>,
    /// New devices, each with the number of the sent message in the middle of which it takes over.
    resets: VecDeque<(usize, TestDevice<'m>)>,
    n_sent: usize,
}

fn device<'m>(model: &'m Model<'m>, clock: &Clock, restart: Restart) -> TestDevice<'m> {
    let clock = Rc::clone(clock);
    let policy = IntPolicy::new(model, vec![0; model.scratch_len()].leak()).unwrap();
    let PlanShape {
        obs_dim,
        action_dim,
        ..
    } = policy.shape();
    let frames = vec![0; frame_memory_len(obs_dim, action_dim)].leak();
    let identity = Identity::new("loop", MODEL);
    let clock_us: Box<dyn Fn() -> u64> = Box::new(move || clock.get());
    Device::new(policy, frames, identity, restart, clock_us).unwrap()
}

impl<'m> Loop<'m> {
    fn new(model: &'m Model<'m>) -> Self {
        let clock = Clock::default();
        Self {
            device: device(model, &clock, Restart::PowerOrPin),
            clock,
            from_device: VecDeque::new(),
            resets: VecDeque::new(),
            n_sent: 0,
        }
    }
}

impl Wire for Loop<'_> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.n_sent += 1;
        self.clock.set(self.clock.get() + 1000);
        let mut bytes = bytes;
        if let Some((at, _)) = self.resets.front()
            && *at == self.n_sent
            && let Some((_, new)) = self.resets.pop_front()
        {
            let (before, after) = bytes.split_at(bytes.len() / 2);
            for byte in before {
                self.device
                    .receive(*byte, |_| panic!("half a frame has no answer"));
            }
            self.device = new;
            bytes = after;
        }
        for byte in bytes {
            self.device
                .receive(*byte, |frame| self.from_device.extend(frame));
        }
        self.device.poll();
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], _limit: Duration) -> io::Result<usize> {
        let n = buffer.len().min(self.from_device.len());
        for (place, byte) in buffer.iter_mut().zip(self.from_device.drain(..n)) {
            *place = byte;
        }
        Ok(n)
    }
}

fn engine() -> Engine {
    Engine::load(&PolicyArgs {
        policy: Some(MODEL_PATH.into()),
        ..PolicyArgs::default()
    })
    .unwrap()
}

/// What the model sees of a state.
fn observation(state: &[f64; 5]) -> Vec<f64> {
    let mut values = vec![0.0; KIND.dim()];
    observe(KIND, state, &mut values).unwrap();
    values
}

fn start(seed: u64) -> PushTEnv {
    evaluate::start(seed, Seeding::Legacy).unwrap()
}

#[test]
fn noise_changes_no_action_and_every_fault_is_counted() {
    const TICKS: usize = 10_000;
    let model = Model::parse(MODEL).unwrap();
    let engine = engine();
    let mut client = Client::new(Noisy::new(Loop::new(&model), 0.01, 3), TIMEOUT, |_| ());
    client.hello().unwrap();
    for seed in 100_000.. {
        let played = play(
            &mut client,
            KIND,
            || Ok(start(seed)),
            seed,
            MAX_EPISODE_STEPS,
        )
        .unwrap();
        let here = evaluate::episode(&engine, start(seed), seed).unwrap();
        assert_eq!(played, here, "seed {seed}");
        if client.latency.ticks() >= TICKS {
            break;
        }
    }
    client.wire().set_share(0.0);
    // The last answer may be damaged from before the noise ended. Then the first report is asked
    // for twice, and both answers are of the first time: it is discarded.
    client.report().unwrap();
    let device = client.report().unwrap();
    let (here, counts) = (client.frames(), client.counts);
    let [there, back] = client.wire().faults();
    println!("{counts:?}\n{device:?}\n{there:?}\n{back:?}");
    assert!(there.flipped > 1000 && there.dropped > 1000 && there.doubled > 1000);
    assert_eq!(u64::from(device.frames.damaged()), there.damaged_frames);
    assert_eq!(u64::from(device.frames.empty), there.empty_frames);
    assert_eq!(u64::from(here.damaged()), back.damaged_frames);
    assert_eq!(u64::from(here.empty), back.empty_frames);
    // The device does not count the request for the report itself yet.
    assert_eq!(device.done + 1, counts.answered);
    assert_eq!(
        counts.repeated,
        counts.timeouts + counts.damaged + counts.damaged_there
    );
    assert_eq!((device.holds, counts.restarts), (0, 0));
}

#[test]
fn an_episode_survives_a_restart_of_the_device_in_mid_frame() {
    let model = Model::parse(MODEL).unwrap();
    let events = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&events);
    let mut wire = Loop::new(&model);
    let address = 0x1234;
    for (at, restart) in [
        (20, Restart::Watchdog),
        (60, Restart::HardFault { address }),
    ] {
        let new = device(&model, &wire.clock, restart);
        wire.resets.push_back((at, new));
    }
    let mut client = Client::new(wire, TIMEOUT, move |event| {
        told.borrow_mut().push(event.event)
    });
    client.hello().unwrap();
    let played = play(&mut client, KIND, || Ok(start(3)), 3, MAX_EPISODE_STEPS).unwrap();
    assert_eq!(played, evaluate::episode(&engine(), start(3), 3).unwrap());
    assert_eq!(client.counts.restarts, 2);
    let expected = [
        Event::Started(Restart::PowerOrPin),
        Event::Started(Restart::Watchdog),
        Event::Started(Restart::HardFault { address }),
    ];
    assert_eq!(*events.borrow(), expected);
}

/// It must not go on with the plan from before the silence.
#[test]
fn a_host_that_was_silent_has_to_begin_its_episode_again() {
    let model = Model::parse(MODEL).unwrap();
    let mut client = Client::new(Loop::new(&model), TIMEOUT, |_| ());
    client.hello().unwrap();
    client.begin(0).unwrap();
    let observation = observation(&[100.0, 200.0, 300.0, 300.0, 1.0]);
    client.observe(&observation).unwrap();
    let wire = client.wire();
    wire.clock.set(wire.clock.get() + HOLD_AFTER_US + 1);
    wire.device.poll();
    assert_eq!(wire.device.state(), State::Holding);
    assert_eq!(wire.device.action(), Some(&[100.0, 200.0][..]));
    assert!(matches!(
        client.observe(&observation),
        Err(LinkError::Forgotten)
    ));
    client.hello().unwrap();
    assert!(matches!(
        client.observe(&observation),
        Err(LinkError::Forgotten)
    ));
    assert_eq!(client.wire().device.counts().holds, 1);
}

#[test]
fn a_device_names_its_task_and_every_value() {
    let model = Model::parse(MODEL).unwrap();
    let mut client = Client::new(Loop::new(&model), TIMEOUT, |_| ());
    let hello = client.hello().unwrap();
    assert_eq!((hello.board.as_str(), hello.shape), ("loop", model.shape()));
    assert_eq!(hello.task, KIND.task());
    let n_values = KIND.dim() + 2;
    for index in 0..n_values {
        let (there, here) = (client.describe(index as u16).unwrap(), model.value(index));
        assert_eq!(
            (there.name.as_str(), there.unit.as_str()),
            (here.name, here.unit)
        );
        assert!(!there.name.is_empty() && there.unit == "px");
    }
    let none = client.describe(n_values as u16);
    assert!(matches!(none, Err(LinkError::Unexpected(_))));
    // The refused request has used no number.
    assert_eq!(client.report().unwrap().refused, 1);
}

/// The first version's own bytes.
#[test]
fn a_host_of_the_first_version_is_told_the_version_of_the_device() {
    let model = Model::parse(MODEL).unwrap();
    let mut device = device(&model, &Clock::default(), Restart::PowerOrPin);
    // Session 5, sequence 0, Hello, version 1.
    let hello = [5_u8, 0, 0, 1];
    let mut said = Vec::new();
    for byte in encode(&hello, &mut [0; MAX_SHORT_FRAME]) {
        device.receive(*byte, |frame| said.extend_from_slice(frame));
    }
    let expected = Answer {
        session: 5,
        sequence: 0,
        body: AnswerBody::Refused(Refusal::WrongVersion { version: 3 }),
    };
    // Refused, variant 4; WrongVersion, 0; version 3: as the first version has them.
    assert_eq!(said, encode(&[5_u8, 0, 4, 0, 3], &mut [0; MAX_SHORT_FRAME]));
    assert_eq!(said, encode(&expected, &mut [0; MAX_SHORT_FRAME]));
    assert_eq!(device.state(), State::Idle);
}

/// A device that speaks another version of the link or does not answer.
struct Other {
    decoder: FrameDecoder<Vec<u8>>,
    version: Option<u16>,
    from_device: VecDeque<u8>,
}

impl Wire for Other {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            if let Some(Ok(request)) = self.decoder.push::<Request>(*byte)
                && let Some(version) = self.version
            {
                let answer = Answer {
                    session: request.session,
                    sequence: request.sequence,
                    body: AnswerBody::Refused(Refusal::WrongVersion { version }),
                };
                let mut memory = [0; MAX_SHORT_FRAME];
                self.from_device.extend(encode(&answer, &mut memory));
            }
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], _limit: Duration) -> io::Result<usize> {
        let n = buffer.len().min(self.from_device.len());
        for (place, byte) in buffer.iter_mut().zip(self.from_device.drain(..n)) {
            *place = byte;
        }
        Ok(n)
    }
}

#[test]
fn a_device_of_another_version_or_none_is_an_error() {
    assert_eq!(VERSION, 3);
    for (version, message) in [
        (
            Some(2),
            "the device speaks version 2 of the link, this program version 3",
        ),
        (
            Some(4),
            "the device speaks version 4 of the link, this program version 3",
        ),
        (None, "the device gives no answer"),
    ] {
        let wire = Other {
            decoder: FrameDecoder::new(vec![0; max_message_len(0)]),
            version,
            from_device: VecDeque::new(),
        };
        let error = Client::new(wire, TIMEOUT, |_| ()).hello().unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

/// A peer that never stops: the same bytes again and again, whatever it receives.
struct Endless(Vec<u8>);

impl Wire for Endless {
    fn send(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], _limit: Duration) -> io::Result<usize> {
        let bytes = self.0.get(..buffer.len()).unwrap_or(&self.0);
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

/// However long the client may wait for an answer: the timeout here is an hour.
#[test]
fn a_peer_that_repeats_stale_answers_or_events_for_ever_is_an_error() {
    let event = Event::Holding;
    for body in [AnswerBody::Begun, AnswerBody::Event { at_us: 1, event }] {
        let stale = Answer {
            session: 0,
            sequence: 3,
            body,
        };
        let frame = encode(&stale, &mut [0; MAX_SHORT_FRAME]).to_vec();
        let mut client = Client::new(Endless(frame), TIMEOUT, |_| ());
        let error = client.hello().unwrap_err();
        assert!(matches!(error, LinkError::Elsewhere), "{error}");
    }
}

#[test]
fn a_peer_that_sends_damaged_frames_for_ever_is_an_error() {
    let mut client = Client::new(Endless(vec![1, 2, 3, 0]), TIMEOUT, |_| ());
    assert!(matches!(client.hello(), Err(LinkError::Silent)));
}

/// With no time to wait, there is one look at the wire for each time that the request is sent.
#[test]
fn bytes_that_never_end_a_frame_do_not_outlast_the_timeout() {
    for bytes in [vec![1], vec![0]] {
        let mut client = Client::new(Endless(bytes), Duration::ZERO, |_| ());
        assert!(matches!(client.hello(), Err(LinkError::Silent)));
        assert_eq!(client.counts.timeouts, client.counts.repeated + 1);
    }
}

#[test]
fn a_client_beside_another_is_told_that_the_device_is_busy() {
    let busy = Answer {
        session: 0,
        sequence: 0,
        body: AnswerBody::Refused(Refusal::Busy),
    };
    let frame = encode(&busy, &mut [0; MAX_SHORT_FRAME]).to_vec();
    let error = Client::new(Endless(frame), TIMEOUT, |_| ()).hello();
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "another program drives the device");
}

/// The file's own checksum, over all of it, is the same number for every file.
#[test]
fn model_files_have_different_names_on_the_link() {
    let [best, small] = [
        include_bytes!("../models/pusht.ptm").as_slice(),
        include_bytes!("../models/pusht-small.ptm"),
    ]
    .map(|file| Identity::new("", file).model_crc32c);
    assert_ne!(best, small);
}
