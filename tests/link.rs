//! Both ends of the serial link in one process: over a good line, over noisy ones, and across
//! faults of either end.

use pusht_core::link::{Answer, AnswerBody, Device, Event, FrameDecoder, HOLD_AFTER_US};
use pusht_core::link::{Identity, Refusal, Request, Restart, State, VERSION, encode};
use pusht_core::pusht::env::{PushTEnv, Seeding};
use pusht_core::pusht::episode::MAX_EPISODE_STEPS;
use pusht_core::quant::{IntPolicy, Model, Scratch};
use pusht_host::engine::{Engine, PolicyArgs};
use pusht_host::evaluate;
use pusht_host::link::{Client, LinkError, Noisy, Wire, play};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

const MODEL: &[u8] = include_bytes!("../models/pusht-small.ptm");
const MODEL_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pusht-small.ptm");
/// Longer than any pause of the machine: the devices here answer immediately or never, and an empty
/// wire reports a timeout without waiting.
const TIMEOUT: Duration = Duration::from_secs(3600);

type Clock = Rc<Cell<u64>>;
type TestDevice<'m> = Device<IntPolicy<'m>, Box<dyn Fn() -> u64>>;

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
    let policy = IntPolicy::new(model, Box::leak(Box::new(Scratch::new())));
    let identity = Identity::new("loop", MODEL);
    Device::new(policy, identity, restart, Box::new(move || clock.get()))
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
        let played = play(&mut client, || Ok(start(seed)), seed, MAX_EPISODE_STEPS).unwrap();
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
    let played = play(&mut client, || Ok(start(3)), 3, MAX_EPISODE_STEPS).unwrap();
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
    let state = [100.0, 200.0, 300.0, 300.0, 1.0];
    client.observe(&state).unwrap();
    let wire = client.wire();
    wire.clock.set(wire.clock.get() + HOLD_AFTER_US + 1);
    wire.device.poll();
    assert_eq!(wire.device.state(), State::Holding([100.0, 200.0]));
    assert!(matches!(client.observe(&state), Err(LinkError::Forgotten)));
    client.hello().unwrap();
    assert!(matches!(client.observe(&state), Err(LinkError::Forgotten)));
    assert_eq!(client.wire().device.counts().holds, 1);
}

/// A device that speaks another version of the link or does not answer.
struct Other {
    decoder: FrameDecoder,
    speaks: bool,
    from_device: VecDeque<u8>,
}

impl Wire for Other {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            if let Some(Ok(request)) = self.decoder.push::<Request>(*byte)
                && self.speaks
            {
                let version = VERSION + 1;
                self.from_device.extend(encode(&Answer {
                    session: request.session,
                    sequence: request.sequence,
                    body: AnswerBody::Refused(Refusal::WrongVersion { version }),
                }));
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
    for (speaks, message) in [
        (
            true,
            "the device speaks version 2 of the link, this program version 1",
        ),
        (false, "the device gives no answer"),
    ] {
        let wire = Other {
            decoder: FrameDecoder::new(),
            speaks,
            from_device: VecDeque::new(),
        };
        let error = Client::new(wire, TIMEOUT, |_| ()).hello().unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}
