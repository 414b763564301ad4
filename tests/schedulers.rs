//! The schedulers against diffusers: its own tests' numbers, and a grid of options step by step
//! (tests/golden/schedulers/generate.py).

mod tolerances;
mod torch_noise;

use pusht_core::scheduler::{
    BetaSchedule, DdimOptions, DdimScheduler, DdpmScheduler, NoiseGenerator, NoiseSchedule,
    PredictionType, SchedulerConfig, SchedulerError, StepOutput, TimestepSpacing, VarianceType,
};
use serde::Deserialize;
use std::path::Path;
use tolerances::{
    FULL_LOOP_MEAN, FULL_LOOP_SUM, RESCALED_SCHEDULE, SCHEDULE, SCHEDULER_STEP,
    SCHEDULER_STEP_RESCALED, SCHEDULER_STEP_STOCHASTIC, SCHEDULER_VARIANCE,
};
use torch_noise::TorchNoise;

type Ddpm = DdpmScheduler<'static, 1000>;
type Ddim = DdimScheduler<'static, 1000>;

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
        let (output, options) = (model(&sample, t), DdimOptions::default());
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
    assert!(DdpmScheduler::<100>::new(DEFAULT).is_err());
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
        let options = DdimOptions {
            eta,
            ..DdimOptions::default()
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
    let scheduler = DdpmScheduler::<3>::new(config).unwrap();
    assert_eq!(scheduler.schedule().betas(), betas);
    let last = scheduler.schedule().alphas_cumprod()[2];
    assert!((last - 0.36).abs() < 1e-7, "{last}");
}

// ---- the grid ----

#[derive(Deserialize)]
struct Case {
    kind: String,
    options: Options,
    chain: Chain,
    call: Call,
    timesteps: Vec<usize>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Chain {
    num_inference_steps: Option<usize>,
    timesteps: Option<Vec<usize>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Call {
    eta: f32,
    use_clipped_model_output: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    num_train_timesteps: Option<usize>,
    beta_schedule: Option<String>,
    beta_start: Option<f64>,
    beta_end: Option<f64>,
    prediction_type: Option<String>,
    clip_sample: Option<bool>,
    clip_sample_range: Option<f32>,
    thresholding: Option<bool>,
    dynamic_thresholding_ratio: Option<f32>,
    sample_max_value: Option<f32>,
    timestep_spacing: Option<String>,
    steps_offset: Option<usize>,
    rescale_betas_zero_snr: Option<bool>,
    variance_type: Option<String>,
    set_alpha_to_one: Option<bool>,
}

/// None stands for a value that is not finite.
type Values = Vec<Option<f32>>;

#[derive(Deserialize)]
struct Step {
    timestep: usize,
    previous_timestep: i64,
    alpha_cumprod: f32,
    beta: f32,
    sample: Vec<f32>,
    model_output: Vec<f32>,
    noise: Vec<f32>,
    prev_sample: Values,
    pred_original_sample: Values,
    noisy: Values,
    velocity: Option<Values>,
}

impl Options {
    fn config(&self) -> SchedulerConfig<'static> {
        let d = DEFAULT;
        SchedulerConfig {
            num_train_timesteps: self.num_train_timesteps.unwrap_or(d.num_train_timesteps),
            beta_start: self.beta_start.unwrap_or(d.beta_start),
            beta_end: self.beta_end.unwrap_or(d.beta_end),
            beta_schedule: match self.beta_schedule.as_deref() {
                None | Some("linear") => BetaSchedule::Linear,
                Some("scaled_linear") => BetaSchedule::ScaledLinear,
                Some("squaredcos_cap_v2") => BetaSchedule::SquaredcosCapV2,
                Some("sigmoid") => BetaSchedule::Sigmoid,
                Some(other) => panic!("{other}"),
            },
            trained_betas: None,
            variance_type: match self.variance_type.as_deref() {
                None | Some("fixed_small") => VarianceType::FixedSmall,
                Some("fixed_small_log") => VarianceType::FixedSmallLog,
                Some("fixed_large") => VarianceType::FixedLarge,
                Some("fixed_large_log") => VarianceType::FixedLargeLog,
                Some("learned") => VarianceType::Learned,
                Some("learned_range") => VarianceType::LearnedRange,
                Some(other) => panic!("{other}"),
            },
            clip_sample: self.clip_sample.unwrap_or(d.clip_sample),
            clip_sample_range: self.clip_sample_range.unwrap_or(d.clip_sample_range),
            prediction_type: match self.prediction_type.as_deref() {
                None | Some("epsilon") => PredictionType::Epsilon,
                Some("sample") => PredictionType::Sample,
                Some("v_prediction") => PredictionType::VPrediction,
                Some(other) => panic!("{other}"),
            },
            thresholding: self.thresholding.unwrap_or(d.thresholding),
            dynamic_thresholding_ratio: self
                .dynamic_thresholding_ratio
                .unwrap_or(d.dynamic_thresholding_ratio),
            sample_max_value: self.sample_max_value.unwrap_or(d.sample_max_value),
            timestep_spacing: match self.timestep_spacing.as_deref() {
                None | Some("leading") => TimestepSpacing::Leading,
                Some("trailing") => TimestepSpacing::Trailing,
                Some("linspace") => TimestepSpacing::Linspace,
                Some(other) => panic!("{other}"),
            },
            steps_offset: self.steps_offset.unwrap_or(d.steps_offset),
            rescale_betas_zero_snr: self
                .rescale_betas_zero_snr
                .unwrap_or(d.rescale_betas_zero_snr),
            set_alpha_to_one: self.set_alpha_to_one.unwrap_or(d.set_alpha_to_one),
        }
    }
}

/// Either scheduler, as the grid needs it.
enum Either {
    Ddpm(Ddpm),
    Ddim(Ddim, DdimOptions),
}

impl Either {
    fn new(case: &Case) -> Self {
        let config = case.options.config();
        if case.kind == "DDIM" {
            let mut ddim = Ddim::new(config).unwrap();
            ddim.set_timesteps(case.chain.num_inference_steps.unwrap())
                .unwrap();
            let options = DdimOptions {
                eta: case.call.eta,
                use_clipped_model_output: case.call.use_clipped_model_output,
            };
            return Self::Ddim(ddim, options);
        }
        let mut ddpm = Ddpm::new(config).unwrap();
        match &case.chain.timesteps {
            Some(timesteps) => ddpm.set_custom_timesteps(timesteps).unwrap(),
            None => ddpm
                .set_timesteps(case.chain.num_inference_steps.unwrap())
                .unwrap(),
        }
        Self::Ddpm(ddpm)
    }

    fn schedule(&self) -> &NoiseSchedule<1000> {
        match self {
            Self::Ddpm(ddpm) => ddpm.schedule(),
            Self::Ddim(ddim, _) => ddim.schedule(),
        }
    }

    fn previous_timestep(&self, t: usize) -> Option<usize> {
        match self {
            Self::Ddpm(ddpm) => ddpm.previous_timestep(t),
            Self::Ddim(ddim, _) => ddim.previous_timestep(t),
        }
        .unwrap()
    }

    fn step(&self, step: &Step, to: StepOutput<'_>) {
        let (output, t, sample) = (&step.model_output, step.timestep, &step.sample);
        let noise = Some(step.noise.as_slice());
        match self {
            Self::Ddpm(ddpm) => ddpm.step(output, t, sample, noise, to),
            Self::Ddim(ddim, options) => ddim.step(output, t, sample, *options, noise, to),
        }
        .unwrap();
    }
}

/// Largest difference over the larger of 1 and the magnitude; values that are not finite must be so in both.
fn difference(got: &[f32], expected: &Values) -> f32 {
    assert_eq!(got.len(), expected.len());
    let pairs = got.iter().zip(expected);
    pairs
        .map(|(got, expected)| match expected {
            Some(expected) => (got - expected).abs() / expected.abs().max(1.0),
            None if got.is_finite() => f32::INFINITY,
            None => 0.0,
        })
        .fold(
            0.0,
            |worst, d| if d > worst || d.is_nan() { d } else { worst },
        )
}

fn check_step(scheduler: &Either, step: &Step) -> [(&'static str, f32); 4] {
    let len = step.sample.len();
    let (mut previous, mut original) = (vec![0.0; len], vec![0.0; len]);
    let to = StepOutput {
        prev_sample: &mut previous,
        pred_original_sample: &mut original,
    };
    scheduler.step(step, to);
    let (schedule, t) = (scheduler.schedule(), step.timestep);
    let (mut noisy, mut velocity) = (vec![0.0; len], vec![0.0; len]);
    schedule
        .add_noise(&step.sample, &step.noise, t, &mut noisy)
        .unwrap();
    schedule
        .get_velocity(&step.sample, &step.noise, t, &mut velocity)
        .unwrap();
    [
        ("prev_sample", difference(&previous, &step.prev_sample)),
        (
            "pred_original_sample",
            difference(&original, &step.pred_original_sample),
        ),
        ("add_noise", difference(&noisy, &step.noisy)),
        (
            "get_velocity",
            step.velocity
                .as_ref()
                .map_or(0.0, |v| difference(&velocity, v)),
        ),
    ]
}

/// beta and abar of a step.
fn check_schedule(case: &Case, schedule: &NoiseSchedule<1000>, step: &Step) -> Option<String> {
    let t = step.timestep;
    let got = [schedule.betas()[t], schedule.alphas_cumprod()[t]];
    let expected = [step.beta, step.alpha_cumprod];
    let rescaled = case.options.rescale_betas_zero_snr == Some(true);
    let wrong = got.iter().zip(expected).any(|(got, expected)| {
        let bound = if rescaled {
            RESCALED_SCHEDULE
        } else {
            SCHEDULE * expected
        };
        (got - expected).abs() > bound
    });
    wrong.then(|| format!("beta and alpha are {got:?}, not {expected:?}"))
}

fn step_tolerance(case: &Case) -> f32 {
    match (case.options.rescale_betas_zero_snr, case.call.eta > 0.0) {
        (Some(true), _) => SCHEDULER_STEP_RESCALED,
        (_, true) => SCHEDULER_STEP_STOCHASTIC,
        _ => SCHEDULER_STEP,
    }
}

#[test]
fn every_step_of_the_grid_is_that_of_diffusers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/schedulers/grid.json");
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() > 100);
    let mut failures = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let scheduler = Either::new(case);
        let name = format!("case {index} {} {:?}", case.kind, case.options);
        assert_eq!(scheduler.schedule().timesteps(), case.timesteps, "{name}");
        for step in &case.steps {
            let t = step.timestep;
            let previous = usize::try_from(step.previous_timestep).ok();
            assert_eq!(scheduler.previous_timestep(t), previous, "{name}");
            let wrong = check_schedule(case, scheduler.schedule(), step);
            failures.extend(wrong.map(|wrong| format!("{name} t {t}: {wrong}")));
            for (what, difference) in check_step(&scheduler, step) {
                if difference.is_nan() || difference > step_tolerance(case) {
                    failures.push(format!("{name} t {t}: {what} is off by {difference:e}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
