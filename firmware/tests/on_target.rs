//! Tests on the device itself, each after a reset: `cargo test --release --test on_target` in QEMU,
//! and on a board through probe-rs (`docs/firmware.md`).
#![no_std]
#![no_main]

#[embedded_test::tests]
mod tests {
    use core::cell::Cell;
    use cortex_m::{Peripherals, singleton};
    use pusht_core::control::Planner;
    use pusht_core::link::{
        Answer, AnswerBody, Device, FrameDecoder, HOLD_AFTER_US, Identity, Refusal, Request,
        RequestBody, Restart, Row, State, VERSION, encode,
    };
    use pusht_core::pusht::selftest::{PHYSICS_DIGEST, physics_digest};
    use pusht_core::quant::{self, IntPolicy, Model, ModelError};
    use pusht_firmware::board::{self, Watchdog};
    use pusht_firmware::counter::Counter;
    use pusht_firmware::expected::{
        CHUNK_LEN, FRAMES_LEN, MODEL, N_PLANS, OBS_DIM, PLANS_DIGEST, SCRATCH_LEN, WINDOW_LEN,
    };
    use pusht_firmware::kernels::{self, Memory, Tensors};
    use pusht_firmware::products::Random;

    /// Room for the frames of an answer.
    type Sent = heapless::Vec<u8, { 2 * FRAMES_LEN }>;
    const SESSION: u32 = 7;
    /// An observation in the middle of the board, px.
    const OBSERVATION: [f64; OBS_DIM] = [250.0; OBS_DIM];

    fn scratch() -> &'static mut [u64] {
        defmt::unwrap!(singleton!(: [u64; SCRATCH_LEN] = [0; SCRATCH_LEN]))
    }

    fn model() -> Model<'static> {
        defmt::unwrap!(Model::parse(MODEL))
    }

    #[init]
    fn init() -> Counter {
        board::start();
        Counter::start(defmt::unwrap!(Peripherals::take()))
    }

    #[test]
    fn products_are_the_references() {
        let memory = defmt::unwrap!(singleton!(: Memory = Memory::zeros()));
        let mut random = Random(8);
        for _ in 0..100 {
            defmt::unwrap!(kernels::product(&mut random, memory));
        }
    }

    #[test]
    fn activations_are_the_references() {
        let tensors = defmt::unwrap!(singleton!(: Tensors = Tensors::zeros()));
        let mut random = Random(9);
        for _ in 0..300 {
            defmt::unwrap!(kernels::activation(&mut random, tensors));
        }
    }

    #[test]
    fn physics_has_the_hosts_digest() {
        defmt::assert_eq!(physics_digest(), Ok(PHYSICS_DIGEST));
    }

    #[test]
    fn plans_have_the_hosts_digest() {
        let digest = quant::selftest(&model(), scratch(), N_PLANS);
        defmt::assert_eq!(digest, Ok(PLANS_DIGEST));
    }

    /// `cargo verify qemu` runs it by name: a runner that calls it a success is broken.
    #[test]
    #[ignore]
    fn a_wrong_digest_fails() {
        let digest = quant::selftest(&model(), scratch(), N_PLANS);
        defmt::assert_eq!(digest, Ok(!PLANS_DIGEST));
    }

    #[test]
    fn a_model_file_at_an_odd_address_is_refused() {
        let elsewhere = MODEL.get(1..).unwrap_or_default();
        let refused = matches!(Model::parse(elsewhere), Err(ModelError::Misaligned));
        defmt::assert!(refused);
    }

    /// Sends a request and checks the first answer.
    fn ask<P: Planner, C: Fn() -> u64>(
        device: &mut Device<'_, P, C, WINDOW_LEN, CHUNK_LEN>,
        sequence: u32,
        body: RequestBody<'_>,
        is_right: impl FnOnce(&AnswerBody<'_>) -> bool,
    ) {
        let request = Request {
            session: SESSION,
            sequence,
            body,
        };
        let mut memory = [0; FRAMES_LEN];
        answer(device, encode(&request, &mut memory), is_right);
    }

    /// The same for the bytes of a frame.
    fn answer<P: Planner, C: Fn() -> u64>(
        device: &mut Device<'_, P, C, WINDOW_LEN, CHUNK_LEN>,
        frame: &[u8],
        is_right: impl FnOnce(&AnswerBody<'_>) -> bool,
    ) {
        let mut sent = Sent::new();
        for byte in frame {
            device.receive(*byte, |frame| {
                defmt::unwrap!(sent.extend_from_slice(frame).ok());
            });
        }
        let mut decoder = FrameDecoder::new([0; FRAMES_LEN]);
        for byte in sent {
            match decoder.push::<Answer<'_>>(byte) {
                None => {}
                Some(answer) => {
                    defmt::assert!(is_right(&defmt::unwrap!(answer.ok()).body));
                    return;
                }
            }
        }
        defmt::panic!("no answer");
    }

    /// The device's end of the link, on the policy of the image: a session, a damaged frame, an
    /// action, and what happens when the host falls silent.
    #[test]
    fn the_link_answers_refuses_and_holds() {
        let model = model();
        let policy = defmt::unwrap!(IntPolicy::new(&model, scratch()));
        let action_dim = policy.shape().action_dim;
        let mut frames = [0; FRAMES_LEN];
        let now_us = Cell::new(0);
        let identity = Identity::new(board::NAME, MODEL);
        let device = Device::new(policy, &mut frames, identity, Restart::PowerOrPin, || {
            now_us.get()
        });
        let mut device = defmt::unwrap!(device);
        let observe = RequestBody::Observe {
            values: Row::Values(&OBSERVATION),
        };

        ask(&mut device, 0, observe, |body| {
            matches!(body, AnswerBody::Refused(Refusal::NoSession))
        });
        ask(
            &mut device,
            0,
            RequestBody::Hello { version: VERSION },
            |body| matches!(body, AnswerBody::Hello { board, .. } if *board == identity.board),
        );
        answer(&mut device, &[3, 1, 2, 0], |body| {
            matches!(body, AnswerBody::Refused(Refusal::Damaged))
        });
        ask(&mut device, 1, RequestBody::Begin { seed: 1 }, |body| {
            matches!(body, AnswerBody::Begun)
        });
        ask(&mut device, 2, observe, |body| {
            let AnswerBody::Action { values, .. } = body else {
                return false;
            };
            values.len() == action_dim && values.iter().all(f64::is_finite)
        });
        defmt::assert!(device.state() == State::Driven);
        defmt::assert_eq!(device.counts().frames.damaged(), 1);

        now_us.set(HOLD_AFTER_US);
        device.poll();
        defmt::assert!(device.state() == State::Driven);
        now_us.set(HOLD_AFTER_US + 1);
        device.poll();
        defmt::assert!(device.state() == State::Holding);
        defmt::assert_eq!(device.counts().holds, 1);
    }

    /// Longer than the watchdog's period by a factor of three: unless it is fed, it ends the test.
    #[test]
    fn a_watchdog_that_is_fed_lets_the_program_run(clock: Counter) {
        const PERIOD_MS: u32 = 100;
        let mut watchdog = defmt::unwrap!(Watchdog::arm(PERIOD_MS));
        while clock.us() < 3000 * u64::from(PERIOD_MS) {
            watchdog.feed();
        }
    }
}

#[cfg(feature = "qemu")]
#[embedded_test::tests]
mod faults {
    use pusht_core::link::Restart;
    use pusht_firmware::board::Watchdog;
    use pusht_firmware::fault;

    #[init]
    fn init() -> Restart {
        fault::start()
    }

    /// It restarts the device, which runs the same test again. A debugger takes a restart of a
    /// physical board for the end of the test: there the binary `faults` looks at it.
    #[test]
    fn a_hang_ends_in_a_restart_that_knows_why(start: Restart) {
        if start == Restart::PowerOrPin {
            let _watchdog = defmt::unwrap!(Watchdog::arm(50));
            loop {
                cortex_m::asm::nop();
            }
        }
        defmt::assert_eq!(start, Restart::Watchdog);
    }
}
