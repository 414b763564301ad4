//! Pictures against gym-pusht: `golden/pixels/generate.py` has the scenes and what is compared.

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use pusht_core::pusht::env::{PushTEnv, PushTParams, Seeding, StartOrder, StartState};
use pusht_gym::pixels::raster::{disc, polygon, thick_line};
use pusht_gym::pixels::{Frame, Point, Renderer, Surface, soft_line};
use std::f64::consts::FRAC_PI_4;

const GOAL: [f64; 3] = [256.0, 256.0, FRAC_PI_4];
const N_SCENES: usize = 1000;
const N_EPISODES: u64 = 40;
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
    let mut renderer = Renderer::new(GOAL);
    let mut picture = Vec::new();
    for index in 0..N_SCENES {
        let state: [f64; 5] = records.f64s();
        let action: [f64; 2] = records.f64s();
        let frame = Frame::of_state(&state);
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

#[test]
fn steps_with_contacts_have_the_pixels_of_gym_pushts() {
    let mut records = Records(include_bytes!("golden/pixels/episodes.bin"));
    let mut renderer = Renderer::new(GOAL);
    let (mut observation, mut n_touching) = (vec![0; 96 * 96 * 3], 0);
    for seed in 0..N_EPISODES {
        let start = StartState::from_seed(seed, Seeding::Pcg64).unwrap();
        let mut env = PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy).unwrap();
        for step in 0..N_STEPS {
            env.step(records.f64s()).unwrap();
            env.visit_contacts(|_| n_touching += 1);
            let frame = Frame::of_env(&env);
            let what = format!("seed {seed}, step {step}, {:?}", env.state());
            let surface = checksum_of(renderer.draw(&frame));
            assert_eq!(surface, records.checksum(), "{what}");
            renderer
                .observation(&frame, 96, 96, &mut observation)
                .unwrap();
            assert_eq!(
                CRC.checksum(&observation),
                records.checksum(),
                "{what}, 96 x 96"
            );
        }
    }
    assert!(records.0.is_empty());
    assert!(n_touching > 500, "{n_touching} contact points were drawn");
}
