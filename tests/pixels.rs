//! Pictures against gym-pusht: `golden/pixels/generate.py` has the scenes and what is compared.

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_gym::batch::{BatchOptions, PushTBatch};
use pusht_gym::env::Env;
use pusht_gym::pixels::raster::{disc, polygon, thick_line};
use pusht_gym::pixels::{Frame, PictureError, Point, Renderer, Surface, soft_line};
use pusht_gym::pusht::{ObsType, PushT, PushTOptions};
use pusht_gym::snapshot;
use pusht_gym::value::{Dict, dict};
use pusht_gym::vector::{AutoresetMode, Seed};
use std::f64::consts::FRAC_PI_4;
use std::num::NonZero;

const GOAL: [f64; 3] = [256.0, 256.0, FRAC_PI_4];
const N_SCENES: usize = 1000;
const N_EPISODES: usize = 40;
const N_STEPS: usize = 25;
const N_SURFACES: usize = 250;
const SHAPES_PER_SURFACE: usize = 16;
/// Width, height, and whether the action is marked: of each scene, and in turn.
const ALWAYS: [(usize, usize, bool); 3] = [(96, 96, false), (96, 96, true), (680, 680, true)];
const IN_TURN: [(usize, usize, bool); 10] = [
    (640, 480, true),
    (256, 256, false),
    (100, 210, true),
    (84, 84, false),
    (512, 512, true),
    (1024, 768, true),
    (224, 224, true),
    (7, 3, false),
    (513, 511, true),
    (1, 1, false),
];

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// Little-endian records.
struct Records(&'static [u8]);

impl Records {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("the file ends early");
        self.0 = rest;
        *head
    }

    fn f64s<const N: usize>(&mut self) -> [f64; N] {
        std::array::from_fn(|_| f64::from_le_bytes(self.take()))
    }

    fn checksum(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn point(&mut self) -> Point {
        let [x, y] = std::array::from_fn(|_| i32::from(i16::from_le_bytes(self.take())));
        Point { x, y }
    }
}

fn checksum_of(surface: &Surface) -> u32 {
    let mut digest = CRC.digest();
    for row in surface.rows() {
        let row: Vec<u8> = row.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect();
        digest.update(&row);
    }
    digest.finalize()
}

#[test]
fn shapes_have_the_pixels_of_pygames() {
    let mut records = Records(include_bytes!("golden/pixels/shapes.bin"));
    for index in 0..N_SURFACES {
        let mut surface = Surface::new([255; 3]);
        let mut shapes = Vec::new();
        for _ in 0..SHAPES_PER_SURFACE {
            let [kind, n, color @ ..] = records.take::<5>();
            let points: Vec<Point> = (0..n).map(|_| records.point()).collect();
            match kind {
                0 => polygon(&mut surface, &points, color),
                1 => thick_line(&mut surface, points[0], points[1], color),
                2 => disc(&mut surface, points[0], points[1].x, color),
                _ => soft_line(&mut surface, points[0], points[1], color),
            }
            shapes.push((kind, points));
        }
        let expected = records.checksum();
        assert_eq!(
            checksum_of(&surface),
            expected,
            "surface {index}: {shapes:?}"
        );
    }
    assert!(records.0.is_empty());
}

#[test]
fn scenes_have_the_pixels_of_gym_pushts_at_every_size() {
    let mut records = Records(include_bytes!("golden/pixels/scenes.bin"));
    let mut renderer = Renderer::new();
    let mut picture = Vec::new();
    for index in 0..N_SCENES {
        let state: [f64; 5] = records.f64s();
        let action: [f64; 2] = records.f64s();
        let frame = Frame::of_state(&state, GOAL);
        let surface = checksum_of(renderer.draw(&frame));
        let what = format!("scene {index} (generate.py --scene {index}), {state:?}");
        assert_eq!(surface, records.checksum(), "{what}");
        for (width, height, is_marked) in ALWAYS.into_iter().chain([IN_TURN[index % IN_TURN.len()]])
        {
            picture.resize(width * height * 3, 0);
            let action = is_marked.then_some(action);
            renderer
                .render(&frame, width, height, action, &mut picture)
                .unwrap();
            let what = format!("{what}, {width} x {height}, action {action:?}");
            assert_eq!(CRC.checksum(&picture), records.checksum(), "{what}");
        }
    }
    assert!(records.0.is_empty());
}

/// A control step of the golden episodes: action, checksums of surface and observation.
type GoldenStep = ([f64; 2], u32, u32);

fn episodes() -> Vec<Vec<GoldenStep>> {
    let mut records = Records(include_bytes!("golden/pixels/episodes.bin"));
    let mut step = || (records.f64s(), records.checksum(), records.checksum());
    let episodes = (0..N_EPISODES).map(|_| (0..N_STEPS).map(|_| step()).collect());
    let episodes = episodes.collect();
    assert!(records.0.is_empty());
    episodes
}

#[test]
fn steps_with_contacts_have_the_pixels_of_gym_pushts() {
    let (mut renderer, mut n_touching) = (Renderer::new(), 0);
    for (seed, steps) in (0..).zip(episodes()) {
        let start = StartState::from_seed(seed, Seeding::Pcg64).unwrap();
        let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy).unwrap();
        for (step, (action, surface, _)) in steps.into_iter().enumerate() {
            env.step(action).unwrap();
            env.visit_contacts(|_| n_touching += 1);
            let frame = Frame::of_env(&env);
            let what = format!("seed {seed}, step {step}, {:?}", env.state());
            assert_eq!(checksum_of(renderer.draw(&frame)), surface, "{what}");
        }
    }
    assert!(n_touching > 500, "{n_touching} contact points were drawn");
}

#[test]
fn pixel_observations_of_the_environment_are_gym_pushts() {
    for (seed, steps) in (0..).zip(episodes()) {
        let mut envs = [ObsType::Pixels, ObsType::PixelsAgentPos].map(|obs_type| {
            let options = PushTOptions {
                obs_type,
                ..PushTOptions::default()
            };
            let mut env = PushT::new(options).unwrap();
            env.reset(Some(seed), &Dict::new()).unwrap();
            env
        });
        for (step, (action, _, observation)) in steps.into_iter().enumerate() {
            let [pixels, both] = envs.each_mut().map(|env| {
                // The agent may leave its bounds, as it does in gym-pusht.
                let seen = env.step(&action.into()).unwrap().observation;
                assert!(env.observation_space().is_shape_of(&seen));
                seen
            });
            let what = format!("seed {seed}, step {step}");
            let sum = CRC.checksum(pixels.as_slice().unwrap());
            assert_eq!(sum, observation, "{what}");
            assert_eq!(pixels.as_array().unwrap().shape(), [96, 96, 3]);
            let both = both.as_dict().unwrap();
            assert_eq!(both["pixels"], pixels, "{what}");
            let state = envs[1].get_attr("state").unwrap();
            let agent = &state.as_slice::<f64>().unwrap()[..2];
            assert_eq!(both["agent_pos"].as_slice(), Some(agent));
        }
    }
}

#[test]
fn pictures_of_a_batch_are_gym_pushts_for_any_number_of_threads() {
    const LEN: usize = 96 * 96 * 3;
    let episodes = episodes();
    for threads in [1, 3] {
        let options = BatchOptions {
            threads: NonZero::new(threads),
            autoreset_mode: AutoresetMode::Disabled,
            ..BatchOptions::default()
        };
        let mut batch = PushTBatch::new(N_EPISODES, options).unwrap();
        batch.reset(&Seed::Int(0)).unwrap();
        let mut pixels = vec![0; N_EPISODES * LEN];
        let mut is_over = [false; N_EPISODES];
        for step in 0..N_STEPS {
            let actions: Vec<f64> = episodes.iter().flat_map(|steps| steps[step].0).collect();
            // An environment whose episode has ended is not stepped any more.
            let _ = batch.step(&actions);
            batch.pixels(96, 96, &mut pixels).unwrap();
            for (index, picture) in pixels.chunks_exact(LEN).enumerate() {
                if !is_over[index] {
                    let expected = episodes[index][step].2;
                    assert_eq!(CRC.checksum(picture), expected, "seed {index}, step {step}");
                }
            }
            for (is_over, ended) in is_over.iter_mut().zip(batch.latest().terminations) {
                *is_over |= ended;
            }
        }
    }
}

#[test]
fn final_pictures_show_the_last_states_of_the_ended_episodes() {
    const N: usize = 70;
    const LEN: usize = 96 * 96 * 3;
    let options = |autoreset_mode| BatchOptions {
        params: PushTParams {
            max_episode_steps: Some(5),
            ..PushTParams::default()
        },
        autoreset_mode,
        threads: NonZero::new(2),
        ..BatchOptions::default()
    };
    let mut batches = [AutoresetMode::SameStep, AutoresetMode::Disabled].map(|mode| {
        let mut batch = PushTBatch::new(N, options(mode)).unwrap();
        batch.reset(&Seed::Int(0)).unwrap();
        batch
    });
    let actions: Vec<f64> = (0..2 * N).map(|at| (at * 37 % 512) as f64).collect();
    let mut pictures = [vec![1; N * LEN], vec![0; N * LEN], vec![0; N * LEN]];
    for step in 0..5 {
        for batch in &mut batches {
            batch.step(&actions).unwrap();
        }
        let [last, now, expected] = &mut pictures;
        batches[0].final_pixels(96, 96, last).unwrap();
        batches[0].pixels(96, 96, now).unwrap();
        batches[1].pixels(96, 96, expected).unwrap();
        if step < 4 {
            assert!(last.iter().all(|byte| *byte == 1), "nothing has ended");
            assert!(now == expected);
        }
    }
    let [last, now, expected] = &pictures;
    assert!(last == expected, "they show the last states");
    assert!(now != expected, "the others show the next episodes");
}

/// The goal came from the batch's construction, whatever an environment was replaced by.
#[test]
fn each_environment_of_a_batch_is_drawn_with_its_own_goal() {
    const N: usize = 35;
    const LEN: usize = 96 * 96 * 3;
    let params = |index: usize| PushTParams {
        goal_px: [150.0 + 60.0 * (index % 3) as f64, 300.0].into(),
        goal_angle_rad: 0.5 * (index % 2) as f64,
        max_episode_steps: Some(3),
        ..PushTParams::default()
    };
    let options = BatchOptions {
        autoreset_mode: AutoresetMode::SameStep,
        threads: NonZero::new(2),
        ..BatchOptions::default()
    };
    let mut batch = PushTBatch::new(N, options).unwrap();
    batch.reset(&Seed::Int(0)).unwrap();
    let mut pictures = vec![0; N * LEN];
    // With the default goal, so that the renderers have drawn another one before.
    batch.pixels(96, 96, &mut pictures).unwrap();
    let mut singles = Vec::new();
    for index in 0..N {
        let mut state = batch.state(index);
        state.env.set_params(params(index)).unwrap();
        singles.push(state.env);
        let bytes = snapshot::encode(&state).unwrap();
        batch.set_state(index, snapshot::decode(&bytes).unwrap());
    }
    let expect = |singles: &[PushTEnv], pictures: &[u8], what: &str| {
        for (index, picture) in pictures.chunks_exact(LEN).enumerate() {
            let mut expected = vec![0; LEN];
            let frame = Frame::of_env(&singles[index]);
            let mut renderer = Renderer::new();
            renderer.observation(&frame, 96, 96, &mut expected).unwrap();
            assert!(picture == expected, "{what}, environment {index}");
        }
    };
    for step in 0..3 {
        batch.pixels(96, 96, &mut pictures).unwrap();
        expect(&singles, &pictures, &format!("step {step}"));
        let mut rendered = vec![0; LEN];
        batch.render(7, 96, 96, None, &mut rendered).unwrap();
        expect(&singles[7..8], &rendered, "render");
        batch.step(&[256.0; 2 * N]).unwrap();
        for env in &mut singles {
            env.step([256.0; 2]).unwrap();
        }
    }
    batch.final_pixels(96, 96, &mut pictures).unwrap();
    expect(&singles, &pictures, "final");
    assert_ne!(pictures[..LEN], pictures[LEN..2 * LEN]);
}

#[test]
fn rendered_pictures_mark_the_last_action() {
    let options = PushTOptions {
        visualization_width: 300,
        visualization_height: 200,
        ..PushTOptions::default()
    };
    let mut env = PushT::new(options).unwrap();
    // Away from the walls and from the block, so that nothing touches.
    let start = [100.0, 400.0, 330.0, 240.0, 0.3];
    let start = dict([("reset_to_state", start.into())]);
    env.reset(None, &start).unwrap();
    let mut renderer = Renderer::new();
    let mut expected = vec![0; 300 * 200 * 3];
    for action in [None, Some([100.0, 400.0])] {
        if let Some(action) = action {
            env.step(&action.into()).unwrap();
        }
        let state = env.get_attr("state").unwrap();
        let frame = Frame::of_state(state.as_slice().unwrap().try_into().unwrap(), GOAL);
        renderer
            .render(&frame, 300, 200, action, &mut expected)
            .unwrap();
        let picture = env.render().unwrap();
        assert_eq!(picture.as_array().unwrap().shape(), [200, 300, 3]);
        assert!(picture.as_slice::<u8>().unwrap() == expected);
    }
}

#[test]
fn a_picture_that_cannot_be_drawn_is_an_error() {
    let mut renderer = Renderer::new();
    let frame = Frame::of_state(&[100.0, 400.0, 330.0, 140.0, 0.3], GOAL);
    let mut out = vec![0; 95 * 96 * 3];
    let (expected, got) = (96 * 96 * 3, out.len());
    assert_eq!(
        renderer.observation(&frame, 96, 96, &mut out),
        Err(PictureError::BufferLength { expected, got })
    );
    let (width, height) = (95, 96);
    assert_eq!(
        renderer.render(&frame, width, height, Some([0.0; 2]), &mut out),
        Err(PictureError::NoRoomForMarker { width, height })
    );
    for (width, height) in [(0, 96), (usize::MAX, 2)] {
        assert_eq!(
            renderer.observation(&frame, width, height, &mut out),
            Err(PictureError::Size { width, height })
        );
    }
    // Far outside, where coordinates saturate.
    let far = Frame::of_state(&[1e300, -1e300, -1e300, 1e300, 1e9], GOAL);
    let marker = Some([1e300, -1e300]);
    let mut out = vec![0; 96 * 96 * 3];
    renderer.render(&far, 96, 96, marker, &mut out).unwrap();
}
