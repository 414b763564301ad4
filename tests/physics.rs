//! The simulator against pymunk (`golden/physics/generate.py`).
//!
//! With the feature `platform-math` on x86-64 with glibc, every bit has to be equal. With `libm`,
//! whose sine differs in the last digit, every step has to be within the tolerance.

#[cfg(feature = "platform-math")]
mod pymunk_bits;
mod tolerances;

use pusht_core::pusht::env::{self, PushTEnv, PushTParams, StartOrder, StartState, Vec2};

const TRAJECTORIES: &[u8] = include_bytes!("golden/physics/trajectories.bin");
const COVERAGE: &[u8] = include_bytes!("golden/physics/coverage.bin");
const FAMILIES: [&str; 6] = [
    "chase",
    "walls",
    "squeeze",
    "overlap",
    "wedge",
    "parameters",
];
/// Units of the trajectories' integers.
const ACTION_STEP_PX: f64 = 1.0 / 16.0;
const POSE_STEP_PX: f64 = 1.0 / 2_097_152.0;
const POSE_STEP_RAD: f64 = 1.0 / 33_554_432.0;

/// Reader of little-endian values from the front of a slice.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("golden file ends early");
        self.0 = rest;
        *head
    }
    fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.bytes())
    }
    fn i16(&mut self) -> i16 {
        i16::from_le_bytes(self.bytes())
    }
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }
    fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.bytes())
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }
    fn f64(&mut self) -> f64 {
        f64::from_le_bytes(self.bytes())
    }
    fn f64s<const N: usize>(&mut self) -> [f64; N] {
        std::array::from_fn(|_| self.f64())
    }
}

struct Episode {
    name: String,
    params: PushTParams,
    start: StartState,
    order: StartOrder,
    /// Whether pymunk itself amplifies a rounding error beyond the tolerance.
    unstable: bool,
    rows: Vec<Row>,
    #[cfg_attr(not(feature = "platform-math"), allow(dead_code))]
    digest: u64,
}

struct Row {
    /// The action before this row; unused for the first.
    action: [f64; 2],
    /// Lower half of the digest of all rows up to this one.
    #[cfg_attr(not(feature = "platform-math"), allow(dead_code))]
    digest: u32,
    /// Block x, y, angle in the units above, modulo 2^32.
    pose: [i32; 3],
}

fn episodes() -> Vec<Episode> {
    let mut file = Reader(TRAJECTORIES);
    let (n_episodes, n_steps) = (file.u32(), file.u32());
    let episodes = (0..n_episodes)
        .map(|number| read_episode(&mut file, number, n_steps))
        .collect();
    assert!(file.0.is_empty(), "golden file goes on");
    episodes
}

fn read_episode(file: &mut Reader, number: u32, n_steps: u32) -> Episode {
    let family = FAMILIES[usize::from(file.u8())];
    let order = [StartOrder::Legacy, StartOrder::AngleFirst][usize::from(file.u8())];
    let unstable = file.u8() != 0;
    let start = StartState::from_state(&file.f64s());
    let params = PushTParams {
        block_cog_px: Vec2::from(file.f64s::<2>()),
        damping: file.f64(),
        ..PushTParams::default()
    };
    let mut read_row = |is_first: bool| {
        let action = if is_first {
            [0.0; 2]
        } else {
            std::array::from_fn(|_| f64::from(file.i16()) * ACTION_STEP_PX)
        };
        Row {
            action,
            digest: file.u32(),
            pose: std::array::from_fn(|_| file.i32()),
        }
    };
    let rows = (0..=n_steps).map(|t| read_row(t == 0)).collect();
    Episode {
        name: format!("{family} {number}"),
        params,
        start,
        order,
        unstable,
        rows,
        digest: file.u64(),
    }
}

impl Episode {
    /// Steps through the episode and calls `check` with each row and the environment after it.
    fn replay(&self, mut check: impl FnMut(usize, &Row, &PushTEnv)) {
        let mut env = PushTEnv::new(self.params, self.start, self.order).unwrap();
        for (t, row) in self.rows.iter().enumerate() {
            if t > 0 {
                env.step(row.action).unwrap();
            }
            check(t, row, &env);
        }
    }
}

/// Distance of the block from the row: px, rad.
fn distance(row: &Row, env: &PushTEnv) -> [f64; 2] {
    let info = env.info();
    let units = [
        info.block_pos_px.x / POSE_STEP_PX,
        info.block_pos_px.y / POSE_STEP_PX,
        info.block_angle_rad / POSE_STEP_RAD,
    ];
    let [x, y, angle] = std::array::from_fn(|axis| {
        let rounded = units[axis].round();
        let whole = (rounded as i64 as i32).wrapping_sub(row.pose[axis]);
        (f64::from(whole) + (units[axis] - rounded)).abs()
    });
    [x.max(y) * POSE_STEP_PX, angle * POSE_STEP_RAD]
}

#[test]
fn every_step_is_within_the_tolerance_of_pymunk() {
    let mut worst = [(0.0, String::new()), (0.0, String::new())];
    let (unstable, stable): (Vec<_>, Vec<_>) = episodes().into_iter().partition(|e| e.unstable);
    assert!(stable.len() >= 200, "{} stable episodes", stable.len());
    println!("{} unstable episodes left out", unstable.len());
    for episode in stable {
        episode.replay(|t, row, env| {
            for (worst, distance) in worst.iter_mut().zip(distance(row, env)) {
                if distance > worst.0 {
                    *worst = (distance, format!("{}, step {t}", episode.name));
                }
            }
        });
    }
    let [(px, px_where), (rad, rad_where)] = worst;
    println!("largest distance {px:.1e} px ({px_where}), {rad:.1e} rad ({rad_where})");
    // The golden poses are rounded to half a unit.
    assert!(
        px <= tolerances::PHYSICS_PX + 0.5 * POSE_STEP_PX,
        "{px} px at {px_where}"
    );
    assert!(
        rad <= tolerances::PHYSICS_RAD + 0.5 * POSE_STEP_RAD,
        "{rad} rad at {rad_where}"
    );
}

#[test]
fn coverage_is_shapelys() {
    let mut file = Reader(COVERAGE);
    let (mut worst, mut count) = (0.0_f64, 0);
    while !file.0.is_empty() {
        let [x, y, angle_rad, expected] = file.f64s();
        let coverage = env::coverage_at(Vec2::new(x, y), angle_rad);
        let difference = (coverage - expected).abs();
        assert!(
            difference <= tolerances::COVERAGE,
            "{coverage} is not {expected} at {x}, {y}, {angle_rad}"
        );
        worst = worst.max(difference);
        count += 1;
    }
    assert!(count >= 1000, "{count} poses");
    println!("largest difference of {count} coverages: {worst:.1e}");
}

#[cfg(all(
    feature = "platform-math",
    target_arch = "x86_64",
    target_os = "linux",
    target_env = "gnu"
))]
mod bits {
    use super::*;
    use pusht_core::digest::Digest;
    use pymunk_bits::put_bits;

    #[test]
    fn every_bit_is_pymunks() {
        let mut wrong = Vec::new();
        for episode in episodes() {
            let mut digest = Digest::new();
            let mut first_wrong = None;
            episode.replay(|t, row, env| {
                put_bits(&mut digest, env);
                if digest.clone().finish() as u32 != row.digest {
                    first_wrong.get_or_insert((t, distance(row, env)));
                }
            });
            if let Some((t, [px, rad])) = first_wrong {
                wrong.push(format!(
                    "{} from step {t}: {px:.1e} px, {rad:.1e} rad",
                    episode.name
                ));
            } else {
                assert_eq!(digest.finish(), episode.digest, "{}", episode.name);
            }
        }
        assert!(
            wrong.is_empty(),
            "{} episodes differ:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }
}
