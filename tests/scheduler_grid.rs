//! The schedulers against diffusers over a grid of options, step by step
//! (tests/golden/schedulers/generate.py).

mod tolerances;

use pusht_core::policy::scheduler::{
    BetaSchedule, DDIMOptions, DDIMScheduler, DDPMScheduler, NoiseSchedule, PredictionType,
    SchedulerConfig, SchedulerError, StepOutput, TimestepSpacing, VarianceType,
};
use serde::Deserialize;
use std::path::Path;
use tolerances::{
    RESCALED_SCHEDULE, SCHEDULE, SCHEDULER_STEP, SCHEDULER_STEP_RESCALED, SCHEDULER_STEP_STOCHASTIC,
};

type Ddpm = DDPMScheduler<'static, 1000>;
type Ddim = DDIMScheduler<'static, 1000>;

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
    trained_betas: Option<Vec<f32>>,
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
        let d = SchedulerConfig::default();
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
            trained_betas: self.trained_betas.clone().map(|betas| &*betas.leak()),
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
    Ddim(Ddim, DDIMOptions),
}

impl Either {
    fn new(case: &Case) -> Result<Self, SchedulerError> {
        let config = case.options.config();
        if case.kind == "DDIM" {
            let mut ddim = Ddim::new(config)?;
            ddim.set_timesteps(case.chain.num_inference_steps.unwrap())?;
            let options = DDIMOptions {
                eta: case.call.eta,
                use_clipped_model_output: case.call.use_clipped_model_output,
            };
            return Ok(Self::Ddim(ddim, options));
        }
        let mut ddpm = Ddpm::new(config)?;
        match &case.chain.timesteps {
            Some(timesteps) => ddpm.set_custom_timesteps(timesteps)?,
            None => ddpm.set_timesteps(case.chain.num_inference_steps.unwrap())?,
        }
        Ok(Self::Ddpm(ddpm))
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

/// Largest difference over the larger of 1 and the magnitude; values that are not finite must be so
/// in both.
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
    let (mut failures, mut n_refused) = (Vec::new(), 0);
    for (index, case) in cases.iter().enumerate() {
        let name = format!("case {index} {} {:?}", case.kind, case.options);
        // Refused only where upstream divides by zero.
        let Ok(scheduler) = Either::new(case) else {
            let originals = case.steps.iter().flat_map(|s| &s.pred_original_sample);
            assert!(originals.clone().any(Option::is_none), "{name}");
            n_refused += 1;
            continue;
        };
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
    assert_eq!(n_refused, 1);
}
