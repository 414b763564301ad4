//! The schedulers against the numbers of diffusers' own tests; the grid of options is in
//! scheduler_grid.rs.

mod tolerances;
mod torch_noise;

use pusht_core::policy::scheduler::{
    BetaSchedule, DDIMOptions, DDIMScheduler, DDPMScheduler, NoiseSchedule, PredictionType,
    SchedulerConfig, SchedulerError, StepOutput, TimestepSpacing, VarianceType,
};
use tolerances::{FULL_LOOP_MEAN, FULL_LOOP_SUM, SCHEDULER_VARIANCE};
use torch_noise::TorchNoise;

type Ddpm = DDPMScheduler<'static, 1000>;
type Ddim = DDIMScheduler<'static, 1000>;

// ---- diffusers' own full-loop tests (tests/schedulers/test_scheduler_{ddpm,ddim}.py) ----

/// Values of a 4 x 3 x 8 x 8 sample.
const N: usize = 768;

/// `dummy_sample_deter`: a ramp laid out with the batch index fastest, here in the order of memory.
fn ramp() -> Vec<f32> {
    let place = |i: usize| (i % (N / 4)) * 4 + i / (N / 4);
    (0..N).map(|i| place(i) as f32 / N as f32).collect()
}

/// `dummy_noise_deter`: the ramp backwards.
fn reversed_ramp() -> Vec<f32> {
    let place = |i: usize| (i % (N / 4)) * 4 + i / (N / 4);
    (0..N)
        .map(|i| (N - 1 - place(i)) as f32 / N as f32)
        .collect()
}

/// `dummy_model`.
fn model(sample: &[f32], timestep: usize) -> Vec<f32> {
    let t = timestep as f32;
    sample.iter().map(|x| x * t / (t + 1.0)).collect()
}

fn assert_published(name: &str, sample: &[f32], sum: f64, mean: f64) {
    let got: f64 = sample.iter().map(|v| f64::from(v.abs())).sum();
    println!(
        "{name}: sum {got:.4} (published {sum}), mean {:.6}",
        got / N as f64
    );
    assert!(
        (got - sum).abs() < FULL_LOOP_SUM,
        "{name}: {got}, not {sum}"
    );
    assert!((got / N as f64 - mean).abs() < FULL_LOOP_MEAN, "{name}");
}

/// Runs the chain over `timesteps` with noise from torch's generator at seed 0.
fn ddpm_loop(scheduler: &Ddpm, mut sample: Vec<f32>, timesteps: &[usize]) -> Vec<f32> {
    let mut generator = TorchNoise::new(0);
    let (mut previous, mut original, mut noise) = (vec![0.0; N], vec![0.0; N], vec![0.0; N]);
    for &t in timesteps {
        if scheduler.needs_noise(t) {
            generator.fill(&mut noise);
        }
        let to = StepOutput {
            prev_sample: &mut previous,
            pred_original_sample: &mut original,
        };
        let output = model(&sample, t);
        scheduler
            .step(&output, t, &sample, Some(&noise), to)
            .unwrap();
        sample.copy_from_slice(&previous);
    }
    sample
}

fn ddim_loop(scheduler: &Ddim, mut sample: Vec<f32>, timesteps: &[usize]) -> Vec<f32> {
    let (mut previous, mut original) = (vec![0.0; N], vec![0.0; N]);
    for &t in timesteps {
        let to = StepOutput {
            prev_sample: &mut previous,
            pred_original_sample: &mut original,
        };
        let (output, options) = (model(&sample, t), DDIMOptions::default());
        scheduler
            .step(&output, t, &sample, options, None, to)
            .unwrap();
        sample.copy_from_slice(&previous);
    }
    sample
}

fn noisy_ramp(schedule: &NoiseSchedule<1000>, timestep: usize) -> Vec<f32> {
    let mut noisy = vec![0.0; N];
    schedule
        .add_noise(&ramp(), &reversed_ramp(), timestep, &mut noisy)
        .unwrap();
    noisy
}

const VELOCITY: SchedulerConfig<'static> = SchedulerConfig {
    prediction_type: PredictionType::VPrediction,
    ..DEFAULT
};

const DEFAULT: SchedulerConfig<'static> = SchedulerConfig {
    num_train_timesteps: 1000,
    beta_start: 1e-4,
    beta_end: 0.02,
    beta_schedule: BetaSchedule::Linear,
    trained_betas: None,
    variance_type: VarianceType::FixedSmall,
    clip_sample: true,
    clip_sample_range: 1.0,
    prediction_type: PredictionType::Epsilon,
    thresholding: false,
    dynamic_thresholding_ratio: 0.995,
    sample_max_value: 1.0,
    timestep_spacing: TimestepSpacing::Leading,
    steps_offset: 0,
    rescale_betas_zero_snr: false,
    set_alpha_to_one: true,
};

#[test]
fn the_defaults_are_those_of_diffusers() {
    assert_eq!(SchedulerConfig::default(), DEFAULT);
}

#[test]
fn ddpm_full_loops_end_where_diffusers_ends() {
    let all: Vec<usize> = (0..1000).rev().collect();
    let scheduler = Ddpm::new(DEFAULT).unwrap();
    let sample = ddpm_loop(&scheduler, ramp(), &all);
    assert_published("DDPM", &sample, 258.9606, 0.3372);
    let noisy = noisy_ramp(scheduler.schedule(), all[998]);
    let sample = ddpm_loop(&scheduler, noisy, &all[998..]);
    assert_published("DDPM with noise", &sample, 387.9466, 0.5051);
    let sample = ddpm_loop(&Ddpm::new(VELOCITY).unwrap(), ramp(), &all);
    assert_published("DDPM v-prediction", &sample, 202.0296, 0.2631);
}

#[test]
fn ddim_full_loops_end_where_diffusers_ends() {
    let run = |config: SchedulerConfig<'static>| {
        let mut scheduler = Ddim::new(config).unwrap();
        scheduler.set_timesteps(10).unwrap();
        ddim_loop(&scheduler, ramp(), scheduler.schedule().timesteps())
    };
    let late = |set_alpha_to_one| SchedulerConfig {
        beta_start: 0.01,
        set_alpha_to_one,
        ..DEFAULT
    };
    assert_published("DDIM", &run(DEFAULT), 172.0067, 0.223967);
    assert_published("DDIM v-prediction", &run(VELOCITY), 52.5302, 0.0684);
    assert_published("DDIM set_alpha_to_one", &run(late(true)), 149.8295, 0.1951);
    assert_published(
        "DDIM not set_alpha_to_one",
        &run(late(false)),
        149.0784,
        0.1941,
    );

    let mut scheduler = Ddim::new(DEFAULT).unwrap();
    scheduler.set_timesteps(10).unwrap();
    let timesteps = &scheduler.schedule().timesteps()[8..];
    let noisy = noisy_ramp(scheduler.schedule(), timesteps[0]);
    let sample = ddim_loop(&scheduler, noisy, timesteps);
    assert_published("DDIM with noise", &sample, 354.5418, 0.4616);
}

#[test]
fn variance_points_are_those_of_diffusers() {
    let ddpm = Ddpm::new(DEFAULT).unwrap();
    for (t, expected) in [(0, 0.0), (487, 0.00979), (999, 0.02)] {
        let variance = ddpm.variance(t, 0.0).unwrap();
        assert!(
            (variance - expected).abs() < SCHEDULER_VARIANCE,
            "DDPM {t}: {variance}"
        );
    }
    let ddim = Ddim::new(DEFAULT).unwrap();
    for (t, previous, expected) in [
        (0, 0, 0.0),
        (420, 400, 0.14771),
        (980, 960, 0.32460),
        (487, 486, 0.00979),
        (999, 998, 0.02),
    ] {
        let variance = ddim.variance(t, Some(previous)).unwrap();
        assert!(
            (variance - expected).abs() < SCHEDULER_VARIANCE,
            "DDIM {t}: {variance}"
        );
    }
}

#[test]
fn an_offset_moves_every_ddim_step() {
    let config = SchedulerConfig {
        steps_offset: 1,
        ..DEFAULT
    };
    let mut scheduler = Ddim::new(config).unwrap();
    scheduler.set_timesteps(5).unwrap();
    assert_eq!(scheduler.schedule().timesteps(), [801, 601, 401, 201, 1]);
}

#[test]
fn custom_timesteps_lead_from_one_to_the_next() {
    let mut scheduler = Ddpm::new(DEFAULT).unwrap();
    scheduler
        .set_custom_timesteps(&[100, 87, 50, 1, 0])
        .unwrap();
    let previous = |t| scheduler.previous_timestep(t);
    assert_eq!(
        [100, 87, 50, 1].map(previous),
        [87, 50, 1, 0].map(|t| Ok(Some(t)))
    );
    assert_eq!(previous(0), Ok(None));
    assert_eq!(previous(51), Err(SchedulerError::UnknownTimestep(51)));
}

#[test]
fn what_diffusers_refuses_is_refused() {
    let mut ddpm = Ddpm::new(DEFAULT).unwrap();
    assert_eq!(
        ddpm.set_custom_timesteps(&[100, 87, 50, 51, 0]),
        Err(SchedulerError::NotDescending)
    );
    let too_late = SchedulerError::TimestepOutOfRange {
        timestep: 1000,
        num_train_timesteps: 1000,
    };
    assert_eq!(ddpm.set_custom_timesteps(&[1000]), Err(too_late));
    assert!(ddpm.set_custom_timesteps(&[]).is_err());
    assert!(ddpm.set_timesteps(1001).is_err() && ddpm.set_timesteps(0).is_err());
    let sigmoid = SchedulerConfig {
        beta_schedule: BetaSchedule::Sigmoid,
        ..DEFAULT
    };
    assert!(Ddim::new(sigmoid).is_err() && Ddpm::new(sigmoid).is_ok());
    assert!(DDPMScheduler::<100>::new(DEFAULT).is_err());
    let negative = SchedulerConfig {
        clip_sample_range: -1.0,
        ..DEFAULT
    };
    assert!(Ddpm::new(negative).is_err());
    let betas = SchedulerConfig {
        trained_betas: Some(&[0.1, 0.2]),
        ..DEFAULT
    };
    assert!(Ddpm::new(betas).is_err());
}

#[test]
fn a_step_checks_its_arguments() {
    let mut ddim = Ddim::new(DEFAULT).unwrap();
    let step = |ddim: &Ddim, t, eta, len| {
        let (mut previous, mut original) = (vec![0.0; len], vec![0.0; 2]);
        let to = StepOutput {
            prev_sample: &mut previous,
            pred_original_sample: &mut original,
        };
        let options = DDIMOptions {
            eta,
            ..DDIMOptions::default()
        };
        ddim.step(&[0.1, 0.2], t, &[0.0, 1.0], options, None, to)
    };
    assert_eq!(
        step(&ddim, 900, 0.0, 2),
        Err(SchedulerError::NoInferenceSteps)
    );
    ddim.set_timesteps(10).unwrap();
    assert_eq!(step(&ddim, 900, 0.0, 2), Ok(()));
    assert_eq!(step(&ddim, 900, 0.5, 2), Err(SchedulerError::NoiseMissing));
    assert!(matches!(
        step(&ddim, 1000, 0.0, 2),
        Err(SchedulerError::TimestepOutOfRange { .. })
    ));
    assert!(matches!(
        step(&ddim, 900, 0.0, 3),
        Err(SchedulerError::WrongLength { .. })
    ));
}

#[test]
fn trained_betas_replace_the_schedule() {
    let betas = [0.1_f32, 0.2, 0.5];
    let config = SchedulerConfig {
        num_train_timesteps: 3,
        trained_betas: Some(&betas),
        ..SchedulerConfig::default()
    };
    let scheduler = DDPMScheduler::<3>::new(config).unwrap();
    assert_eq!(scheduler.schedule().betas(), betas);
    let last = scheduler.schedule().alphas_cumprod()[2];
    assert!((last - 0.36).abs() < 1e-7, "{last}");
}

/// Both schedulers of `config`, over `passes` passes.
fn chain(config: SchedulerConfig<'static>, passes: usize) -> [Result<(), SchedulerError>; 2] {
    [
        Ddpm::new(config).and_then(|mut ddpm| ddpm.set_timesteps(passes)),
        Ddim::new(config).and_then(|mut ddim| ddim.set_timesteps(passes)),
    ]
}

#[test]
fn betas_that_make_no_schedule_are_refused() {
    let of = |betas: &'static [f32]| SchedulerConfig {
        num_train_timesteps: betas.len(),
        trained_betas: Some(betas),
        ..DEFAULT
    };
    let of_ends = |beta_start, beta_end, beta_schedule| SchedulerConfig {
        beta_start,
        beta_end,
        beta_schedule,
        ..DEFAULT
    };
    let (linear, scaled) = (BetaSchedule::Linear, BetaSchedule::ScaledLinear);
    for config in [
        of(&[0.1, 2.0, 0.1]),
        of(&[0.1, -1e-3, 0.1]),
        of(&[0.1, f32::NAN, 0.1]),
        // Without noise in the first sample, and without signal before the last.
        of(&[0.0, 0.1, 0.1]),
        of(&[1e-9, 0.1, 0.1]),
        of(&[0.1, 1.0, 0.1]),
        of_ends(1e-4, -1.0, linear),
        of_ends(1e-4, -1.0, scaled),
        of_ends(1e-4, 1.5, linear),
        of_ends(f64::NAN, 0.02, linear),
        of_ends(0.0, 0.02, linear),
        SchedulerConfig {
            num_train_timesteps: 1,
            rescale_betas_zero_snr: true,
            ..DEFAULT
        },
    ] {
        for result in chain(config, 1) {
            let is_config = matches!(result, Err(SchedulerError::Config(_)));
            assert!(is_config, "{config:?}: {result:?}");
        }
    }
    assert_eq!(chain(of(&[0.1, 0.2, 1.0]), 3), [Ok(()), Ok(())]);
}

#[test]
fn limits_of_the_clean_sample_that_are_none_are_refused() {
    let thresholding = |ratio, max| SchedulerConfig {
        thresholding: true,
        dynamic_thresholding_ratio: ratio,
        sample_max_value: max,
        ..DEFAULT
    };
    for config in [
        thresholding(-0.1, 1.0),
        thresholding(1.5, 1.0),
        thresholding(f32::NAN, 1.0),
        thresholding(0.9, 0.0),
        thresholding(0.9, -1.0),
        thresholding(0.9, f32::NAN),
        SchedulerConfig {
            clip_sample_range: f32::NAN,
            ..DEFAULT
        },
    ] {
        assert!(chain(config, 1).iter().all(Result::is_err), "{config:?}");
    }
}

#[test]
fn an_offset_past_the_training_steps_is_refused_and_changes_nothing() {
    for (steps_offset, passes) in [(1, 1000), (50, 1000), (501, 2), (usize::MAX, 2)] {
        let config = SchedulerConfig {
            steps_offset,
            ..DEFAULT
        };
        for result in chain(config, passes) {
            let is_range = matches!(result, Err(SchedulerError::TimestepOutOfRange { .. }));
            assert!(is_range, "{steps_offset}: {result:?}");
        }
    }
    let mut scheduler = Ddim::new(SchedulerConfig {
        steps_offset: 1,
        ..DEFAULT
    })
    .unwrap();
    scheduler.set_timesteps(2).unwrap();
    assert!(scheduler.set_timesteps(1000).is_err());
    assert_eq!(scheduler.schedule().timesteps(), [501, 1]);
    assert_eq!(scheduler.previous_timestep(501), Ok(Some(1)));
}

#[test]
fn unclipped_epsilon_prediction_is_refused_where_the_sample_is_pure_noise() {
    let config = |clip_sample, thresholding, timestep_spacing| SchedulerConfig {
        rescale_betas_zero_snr: true,
        clip_sample,
        thresholding,
        timestep_spacing,
        ..DEFAULT
    };
    let (trailing, leading) = (TimestepSpacing::Trailing, TimestepSpacing::Leading);
    for (clip_sample, thresholding) in [(false, false), (true, true)] {
        for result in chain(config(clip_sample, thresholding, trailing), 10) {
            assert!(matches!(result, Err(SchedulerError::Config(_))));
        }
        // These steps do not begin at the last one.
        let result = chain(config(clip_sample, thresholding, leading), 10);
        assert_eq!(result, [Ok(()), Ok(())]);
    }
    assert_eq!(chain(config(true, false, trailing), 10), [Ok(()), Ok(())]);
    // DDPM visits every step before timesteps are set.
    let ddpm = Ddpm::new(config(false, false, leading)).unwrap();
    let (mut previous, mut original) = ([0.0], [0.0]);
    let to = StepOutput {
        prev_sample: &mut previous,
        pred_original_sample: &mut original,
    };
    let result = ddpm.step(&[0.5], 999, &[1.0], Some(&[0.0]), to);
    assert!(matches!(result, Err(SchedulerError::Config(_))));
}

/// x_{t-1} of a step of DDIM at every timestep of `passes` passes.
fn ddim_steps(
    config: SchedulerConfig<'static>,
    passes: usize,
    eta: f32,
    output: f32,
) -> Result<Vec<f32>, SchedulerError> {
    let mut ddim = Ddim::new(config)?;
    ddim.set_timesteps(passes)?;
    let options = DDIMOptions {
        eta,
        ..DDIMOptions::default()
    };
    let timesteps = ddim.schedule().timesteps().iter();
    timesteps
        .map(|&timestep| {
            let (mut previous, mut original) = ([0.0; 2], [0.0; 2]);
            let to = StepOutput {
                prev_sample: &mut previous,
                pred_original_sample: &mut original,
            };
            let noise = Some([1.0; 2].as_slice());
            ddim.step(&[output, 0.5], timestep, &[1.0; 2], options, noise, to)?;
            Ok(previous[0])
        })
        .collect()
}

#[test]
fn eta_outside_of_0_to_1_is_refused() {
    for eta in [-0.1, 1.1, 1e30, f32::NAN, f32::INFINITY] {
        let result = ddim_steps(DEFAULT, 10, eta, 0.5);
        assert!(matches!(result, Err(SchedulerError::Config(_))), "{eta}");
    }
}

/// Rounding must not leave a negative number to take the root of.
#[test]
fn steps_at_eta_1_are_finite_in_any_number_of_passes() {
    for prediction_type in [PredictionType::VPrediction, PredictionType::Sample] {
        for rescale_betas_zero_snr in [false, true] {
            let config = SchedulerConfig {
                num_train_timesteps: 100,
                prediction_type,
                rescale_betas_zero_snr,
                timestep_spacing: TimestepSpacing::Trailing,
                ..DEFAULT
            };
            for passes in 1..=100 {
                let steps = ddim_steps(config, passes, 1.0, 0.5).unwrap();
                assert!(steps.iter().all(|x| x.is_finite()), "{config:?}: {steps:?}");
            }
        }
    }
}

#[test]
fn thresholding_keeps_a_value_that_is_not_a_number() {
    let config = SchedulerConfig {
        thresholding: true,
        prediction_type: PredictionType::Sample,
        ..DEFAULT
    };
    let steps = ddim_steps(config, 2, 0.0, f32::NAN).unwrap();
    assert!(steps.iter().all(|x| x.is_nan()), "{steps:?}");
}
