//! Small cases of everything in `core` that is unsafe on a host: short enough for an interpreter
//! that sees every access to memory (`cargo verify miri`). Other tests have the large ones.

use pusht_core::control::{PlanJob, Planner};
use pusht_core::noise::NoiseSource;
use pusht_core::pusht::env::{PushTEnv, PushTParams, StartOrder, StartState, step_side_by_side};
use pusht_core::quant::measure::{Activation, Convolution, Normalization, panel_len};
use pusht_core::quant::{
    BATCH, Factor, IntPolicy, IntPolicyBatch, LANES, Model, WeightBits, selftest,
};

const SMALLEST: &[u8] = include_bytes!("golden/integer/smallest.ptm");
const TINY: &[u8] = include_bytes!("golden/integer/tiny.ptm");
const INPAINTING: &[u8] = include_bytes!("golden/integer/inpainting.ptm");

/// Numbers that fill arrays.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> i32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 32) as i32
    }

    fn values(&mut self, len: usize) -> Vec<i16> {
        (0..len).map(|_| self.next() as i16).collect()
    }
}

/// Windows with and without half a vector at their end, tiles of every size, both ways to scale.
#[test]
fn products_of_every_tile_are_the_references() {
    let mut numbers = Numbers(1);
    let shapes = [(8, 1, 33), (24, 3, 40), (16, 7, 20), (40, 9, 62)];
    let both = [WeightBits::Eight, WeightBits::Four];
    let cases = both.map(|bits| shapes.map(|shape| (bits, shape)));
    for (bits, (window, n_positions, shift)) in cases.into_iter().flatten() {
        let n_rows = 3;
        let row_size = Convolution::row_size(window, bits);
        let mut rows = vec![0; n_rows * row_size];
        for row in rows.chunks_exact_mut(row_size) {
            let multiplier = numbers.next() & i32::MAX;
            let bias = numbers.next() >> 12;
            let weights = (0..bits.size(window)).map(|_| numbers.next() as u8);
            Convolution::write_row(row, bias, Factor { multiplier, shift }, weights);
        }
        let convolution = Convolution::new(&rows, window, bits).unwrap();
        let input = numbers.values((n_positions - 1) * LANES + window);
        let [mut got, mut expected] = [(); 2].map(|()| vec![1; n_rows * n_positions]);
        let mut panel = vec![0; panel_len(window)];
        convolution
            .run(&mut panel, &input, LANES, n_positions, &mut got)
            .unwrap();
        convolution
            .run_reference(&input, LANES, n_positions, &mut expected)
            .unwrap();
        assert_eq!(got, expected, "{n_positions} windows of {window}, {bits:?}");
    }
}

/// Eight, four and fewer channels; even and odd numbers of positions; both epilogues.
#[test]
fn activations_of_every_width_are_the_references() {
    let mut numbers = Numbers(2);
    for (n_channels, n_positions) in [(16, 2), (12, 4), (13, 3)] {
        let parameters: Vec<u8> = (0..n_channels)
            .flat_map(|_| [numbers.next() % 4096, numbers.next() >> 15])
            .flat_map(i32::to_le_bytes)
            .collect();
        let norm = Normalization {
            parameters: &parameters,
            n_groups: 1,
            gamma_exponent: 12,
            eps: 1 << 20,
            n_positions,
        };
        let step: Vec<[u8; 2]> = (0..2 * n_channels)
            .map(|_| (numbers.next() as i16).to_le_bytes())
            .collect();
        let observation = numbers.values(2 * n_channels);
        let x = numbers.values(n_channels * n_positions);
        for activation in [
            Activation::with_film(norm, &step, &observation, 12, 11).unwrap(),
            Activation::with_sum(norm, 11, 10).unwrap(),
        ] {
            let [mut got, mut expected] = [(); 2].map(|()| vec![100; x.len()]);
            activation.run(&x, &mut got).unwrap();
            activation.run_reference(&x, &mut expected).unwrap();
            assert_eq!(got, expected, "{n_channels} channels");
        }
    }
}

/// A whole plan, with the digest of every machine.
#[test]
fn a_plan_under_an_interpreter_has_the_bits_of_every_machine() {
    let model = Model::parse(INPAINTING).unwrap();
    let digest = selftest(&model, &mut vec![0; model.scratch_len()], 1).unwrap();
    assert_eq!(digest, 0x0159_53ca_f64b_1338, "{digest:#018x}");
}

/// Under Miri, four plans with a single pass of the smallest model.
#[test]
fn plans_computed_together_are_those_computed_alone() {
    let files = [SMALLEST, TINY, INPAINTING];
    for file in &files[..if cfg!(miri) { 1 } else { files.len() }] {
        let mut model = Model::parse(file).unwrap();
        if cfg!(miri) {
            model.stop_after(1).unwrap();
        }
        let shape = model.shape();
        let window: Vec<f64> = (0..shape.window_len()).map(|i| 40.0 * i as f64).collect();
        let mut alone = vec![0.0; shape.chunk_len()];
        let mut scratch = vec![0; model.scratch_len()];
        IntPolicy::new(&model, &mut scratch)
            .unwrap()
            .plan(&window, &mut NoiseSource::new(3), &mut alone)
            .unwrap();
        // A whole batch, one of four, and a plan alone.
        const TOGETHER: usize = if cfg!(miri) { 4 } else { BATCH + 5 };
        let mut chunks = vec![0.0; TOGETHER * shape.chunk_len()];
        let mut noise: [NoiseSource; TOGETHER] = std::array::from_fn(|_| NoiseSource::new(3));
        let chunks_and_noise = chunks.chunks_mut(shape.chunk_len()).zip(&mut noise);
        let mut jobs: Vec<PlanJob<'_>> = chunks_and_noise
            .map(|(chunk, noise)| PlanJob {
                window: &window,
                noise,
                chunk,
            })
            .collect();
        let mut scratch = vec![0; IntPolicyBatch::scratch_len(&model)];
        IntPolicyBatch::new(&model, &mut scratch)
            .unwrap()
            .plan(&mut jobs)
            .unwrap();
        for chunk in chunks.chunks(shape.chunk_len()) {
            assert_eq!(chunk, alone);
        }
    }
}

/// Two, and more than four: both widths of the solver. Under Miri, two.
#[test]
fn environments_stepped_together_move_as_those_stepped_alone() {
    let (widths, n_steps): (&[usize], _) = if cfg!(miri) { (&[2], 1) } else { (&[2, 5], 20) };
    for n_envs in widths.iter().copied() {
        let start = [222.0, 250.0, 217.0, 292.0, 3.0];
        let env = |index: usize| {
            let mut start = start;
            start[0] += index as f64;
            let start = StartState::from_state(&start);
            PushTEnv::new(PushTParams::default(), start, StartOrder::Legacy).unwrap()
        };
        let mut together: Vec<PushTEnv> = (0..n_envs).map(env).collect();
        let mut alone = together.clone();
        let mut n_contact_points = 0;
        for _ in 0..n_steps {
            let action = [230.0, 330.0];
            let mut outcomes = vec![Err(pusht_core::Error::OutOfRange); n_envs];
            step_side_by_side(&mut together, &vec![Some(action); n_envs], &mut outcomes);
            for (index, env) in alone.iter_mut().enumerate() {
                assert_eq!(outcomes[index], env.step(action));
                assert_eq!(together[index].state(), env.state());
                n_contact_points += env.info().n_contact_points;
            }
        }
        assert!(n_contact_points > 0);
    }
}
