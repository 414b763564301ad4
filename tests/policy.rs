//! The low-dimensional policy against diffusion_policy's own (tests/golden/policy/generate.py).

mod hashed;
mod tolerances;

use hashed::{UnetOptions, hashed};
use pusht_core::noise::{I8F24, Noise};
use pusht_core::policy::scheduler::{
    BetaSchedule, DDIMOptions, DDIMScheduler, DDPMScheduler, SchedulerConfig,
};
use pusht_core::policy::unet::Unobserved;
use pusht_core::policy::{
    ActionPrediction, Conditioning, DiffusionUnetLowdimPolicy, FitMode, FitOptions, FitStats,
    LinearNormalizer, PolicyError, PolicyOptions, Scheduler,
};
use safetensors::SafeTensors;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

type Policy = DiffusionUnetLowdimPolicy<'static, Vec<f32>, Vec<f32>, 100>;

#[derive(Deserialize)]
struct Case {
    batch: usize,
    sizes: Sizes,
    options: Options,
    scheduler: SchedulerOptions,
    step: StepArguments,
    unet: UnetOptions,
}

#[derive(Deserialize)]
struct Sizes {
    horizon: usize,
    obs_dim: usize,
    action_dim: usize,
    n_action_steps: usize,
    n_obs_steps: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    obs_as_global_cond: bool,
    #[serde(default)]
    obs_as_local_cond: bool,
    #[serde(default)]
    pred_action_steps_only: bool,
    #[serde(default)]
    oa_step_convention: bool,
    num_inference_steps: usize,
}

#[derive(Deserialize)]
struct SchedulerOptions {
    kind: String,
    num_train_timesteps: usize,
    beta_schedule: String,
}

#[derive(Deserialize)]
struct StepArguments {
    #[serde(default)]
    eta: f32,
}

/// Stands in for torch's generator: the n-th tensor of a trajectory's size is `noise.<n>`,
/// stretched to +-2.
struct HashedNoise {
    tensor_len: usize,
    n_tensors: usize,
    tensor: std::vec::IntoIter<f32>,
}

impl HashedNoise {
    fn new(policy: &Policy, batch: usize) -> Self {
        let options = policy.options();
        Self {
            tensor_len: batch * options.trajectory_len() * options.trajectory_dim(),
            n_tensors: 0,
            tensor: Vec::new().into_iter(),
        }
    }
}

impl Noise for HashedNoise {
    fn next_gaussian(&mut self) -> I8F24 {
        if self.tensor.len() == 0 {
            let name = format!("noise.{}", self.n_tensors);
            self.tensor = hashed(&name, self.tensor_len).into_iter();
            self.n_tensors += 1;
        }
        // Exact: the values are multiples of 2^-23.
        I8F24::from_num(2.0 * self.tensor.next().unwrap())
    }
}

/// Values in 0 to 512.
fn px(name: &str, count: usize) -> Vec<f32> {
    hashed(name, count)
        .iter()
        .map(|v| v * 256.0 + 256.0)
        .collect()
}

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden/policy")
        .join(file)
}

fn read(name: &str) -> (Case, HashMap<String, Vec<f32>>) {
    let bytes = std::fs::read(golden(&format!("{name}.safetensors"))).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let case = serde_json::from_str(&header.metadata().as_ref().unwrap()["case"]).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |data: &[u8]| {
        let values = data.as_chunks().0.iter();
        values.map(|b| f32::from_le_bytes(*b)).collect()
    };
    let tensors = file.tensors().into_iter();
    (
        case,
        tensors
            .map(|(name, view)| (name, floats(view.data())))
            .collect(),
    )
}

impl Case {
    fn options(&self) -> PolicyOptions {
        PolicyOptions {
            horizon: self.sizes.horizon,
            obs_dim: self.sizes.obs_dim,
            action_dim: self.sizes.action_dim,
            n_action_steps: self.sizes.n_action_steps,
            n_obs_steps: self.sizes.n_obs_steps,
            num_inference_steps: self.options.num_inference_steps,
            conditioning: match (
                self.options.obs_as_global_cond,
                self.options.obs_as_local_cond,
            ) {
                (true, _) => Conditioning::Global,
                (_, true) => Conditioning::Local,
                _ => Conditioning::Inpainting,
            },
            pred_action_steps_only: self.options.pred_action_steps_only,
            oa_step_convention: self.options.oa_step_convention,
        }
    }

    fn scheduler(&self) -> Scheduler<'static, 100> {
        let config = SchedulerConfig {
            num_train_timesteps: self.scheduler.num_train_timesteps,
            beta_schedule: match self.scheduler.beta_schedule.as_str() {
                "linear" => BetaSchedule::Linear,
                "squaredcos_cap_v2" => BetaSchedule::SquaredcosCapV2,
                other => panic!("{other}"),
            },
            ..SchedulerConfig::default()
        };
        let step = DDIMOptions {
            eta: self.step.eta,
            ..DDIMOptions::default()
        };
        match self.scheduler.kind.as_str() {
            "DDPM" => Scheduler::Ddpm(DDPMScheduler::new(config).unwrap()),
            _ => Scheduler::Ddim(DDIMScheduler::new(config).unwrap(), step),
        }
    }

    fn policy(&self, values: &HashMap<String, Vec<f32>>) -> Result<Policy, PolicyError> {
        let normalizer = |field: &str| {
            let value = |kind: &str| values[&format!("{field}.{kind}")].clone();
            LinearNormalizer::new(value("scale"), value("offset"))
        };
        let (obs, action) = (normalizer("obs")?, normalizer("action")?);
        Policy::new(
            self.options(),
            self.unet.network(),
            self.scheduler(),
            obs,
            action,
        )
    }
}

/// Actions and observations as predicted.
fn predict(case: &Case, policy: &Policy) -> (Vec<f32>, Vec<f32>) {
    let options = policy.options();
    let rows = case.batch * options.trajectory_len();
    let obs = px("obs", case.batch * options.n_obs_steps * options.obs_dim);
    let mut actions = vec![0.0; rows * options.action_dim];
    let inpainting = options.conditioning == Conditioning::Inpainting;
    let mut predicted_obs = vec![
        0.0;
        if inpainting {
            rows * options.obs_dim
        } else {
            0
        }
    ];
    let to = ActionPrediction {
        action_pred: &mut actions,
        obs_pred: inpainting.then_some(predicted_obs.as_mut_slice()),
    };
    // Garbage in the room must not matter.
    let mut scratch = vec![f32::NAN; policy.scratch_len(case.batch)];
    let mut mask = vec![true; policy.mask_len(case.batch)];
    let room = (scratch.as_mut_slice(), mask.as_mut_slice());
    let mut noise = HashedNoise::new(policy, case.batch);
    policy
        .predict_action(&obs, &mut noise, to, room, &mut Unobserved)
        .unwrap();
    (actions, predicted_obs)
}

/// The executed rows of each plan.
fn executed(options: &PolicyOptions, rows: &[f32], dim: usize) -> Vec<f32> {
    let steps = options.action_steps();
    let plans = rows.chunks_exact(options.trajectory_len() * dim);
    plans
        .flat_map(|plan| &plan[steps.start * dim..steps.end * dim])
        .copied()
        .collect()
}

fn check(name: &str) {
    let (case, expected) = read(name);
    let policy = case.policy(&expected).unwrap();
    let (actions, obs) = predict(&case, &policy);
    let options = policy.options();
    let mut results = vec![
        ("action", executed(options, &actions, options.action_dim)),
        ("action_pred", actions),
    ];
    if !obs.is_empty() {
        results.push(("action_obs_pred", executed(options, &obs, options.obs_dim)));
        results.push(("obs_pred", obs));
    }
    let predictions = expected.keys().filter(|key| !key.contains('.')).count();
    assert_eq!(results.len(), predictions, "{name}: results");
    for (what, got) in results {
        assert_eq!(got.len(), expected[what].len(), "{name}: {what}");
        let pairs = got.iter().zip(&expected[what]);
        let worst = pairs.map(|(g, e)| (g - e).abs()).fold(0.0, f32::max);
        println!("{name}: {what} within {worst:.1e} px");
        assert!(
            worst <= tolerances::POLICY_PX,
            "{name}: {what} is off by {worst} px"
        );
    }
}

#[test]
fn global_conditioning_equals_diffusion_policy() {
    check("global");
    check("global_batch_ddpm");
}

#[test]
fn only_the_executed_actions_are_predicted_when_asked() {
    check("global_action_steps_only");
}

#[test]
fn local_conditioning_equals_diffusion_policy() {
    check("local");
}

#[test]
fn inpainting_equals_diffusion_policy() {
    check("inpainting");
    check("inpainting_ddpm");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let (case, values) = read("global");
    let refused = |change: fn(&mut Case)| {
        let (mut case, _) = read("global");
        change(&mut case);
        matches!(case.policy(&values), Err(PolicyError::Options(_)))
    };
    assert!(case.policy(&values).is_ok());
    assert!(refused(|c| c.options.obs_as_global_cond = false));
    assert!(refused(|c| c.sizes.n_action_steps = 8));
    assert!(refused(|c| c.sizes.n_obs_steps = 3));
    assert!(refused(|c| c.sizes.horizon = 7));
    assert!(refused(|c| c.sizes.action_dim = 1));
    assert!(refused(|c| c.options.num_inference_steps = 0));
    let (mut inpainting, values) = read("inpainting");
    inpainting.options.pred_action_steps_only = true;
    assert!(inpainting.policy(&values).is_err());
}

#[test]
fn an_observation_that_is_not_finite_is_refused() {
    let (case, values) = read("global");
    let policy = case.policy(&values).unwrap();
    let mut actions = vec![0.0; 16];
    let to = ActionPrediction {
        action_pred: &mut actions,
        obs_pred: None,
    };
    let mut scratch = vec![0.0; policy.scratch_len(1)];
    let room = (scratch.as_mut_slice(), [].as_mut_slice());
    let obs = [0.0, 1.0, 2.0, 3.0, f32::NAN, 5.0];
    let mut noise = HashedNoise::new(&policy, 1);
    let result = policy.predict_action(&obs, &mut noise, to, room, &mut Unobserved);
    assert_eq!(result, Err(PolicyError::NonFiniteObservation));
}

// ---- normaliser ----

#[derive(Deserialize)]
struct Fit {
    options: FitOptionsRead,
    values: HashMap<String, Vec<f32>>,
}

#[derive(Deserialize)]
struct FitOptionsRead {
    mode: String,
    fit_offset: bool,
    output_min: f32,
    output_max: f32,
}

#[test]
fn normalizers_are_fitted_as_diffusion_policy_fits_them() {
    const DIM: usize = 4;
    let mut data = px("fit", 40 * DIM);
    for row in data.chunks_exact_mut(DIM) {
        row[2] = 100.0 + row[2] * 1e-8;
        row[3] -= 300.0;
    }
    let cases: Vec<Fit> =
        serde_json::from_str(&std::fs::read_to_string(golden("normalizer.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let options = FitOptions {
            mode: match case.options.mode.as_str() {
                "limits" => FitMode::Limits,
                _ => FitMode::Gaussian,
            },
            fit_offset: case.options.fit_offset,
            output_min: case.options.output_min,
            output_max: case.options.output_max,
            ..FitOptions::default()
        };
        for feature in 0..DIM {
            let stats = FitStats::of(&data, DIM, feature);
            let (scale, offset) = stats.scale_and_offset(&options);
            for (what, got) in [
                ("scale", scale),
                ("offset", offset),
                ("input_stats.min", stats.min),
                ("input_stats.max", stats.max),
                ("input_stats.mean", stats.mean),
            ] {
                let expected = case.values[what][feature];
                let bound = tolerances::NORMALIZER * expected.abs().max(1.0);
                assert!(
                    (got - expected).abs() <= bound,
                    "{options:?} {feature} {what}: {got}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn unnormalizing_undoes_normalizing() {
    let normalizer = LinearNormalizer::new(vec![0.5, -2.0], vec![1.0, 3.0]).unwrap();
    let raw = [1.0, 2.0, -4.0, 8.0];
    let mut rows = raw;
    normalizer.normalize(&mut rows);
    assert_eq!(rows, [1.5, -1.0, -1.0, -13.0]);
    normalizer.unnormalize(&mut rows);
    assert_eq!(rows, raw);
    assert!(LinearNormalizer::new(vec![0.0], vec![1.0]).is_err());
    assert!(LinearNormalizer::new(vec![1.0], vec![f32::NAN]).is_err());
    assert!(LinearNormalizer::new(vec![1.0], vec![]).is_err());
}

/// A range of a millionth around 0.7: scale and offset alone would be off by whole units.
#[test]
fn a_center_keeps_a_small_range_exact() {
    let normalizer = LinearNormalizer::new(vec![2e8, 1.0], vec![-1.0, 0.0]).unwrap();
    let normalizer = normalizer.with_center(vec![0.7, 3.0]).unwrap();
    let mut rows = [0.7, 5.0];
    normalizer.normalize(&mut rows);
    assert_eq!(rows, [-1.0, 2.0]);
    normalizer.unnormalize(&mut rows);
    assert_eq!(rows, [0.7, 5.0]);
    let other = || LinearNormalizer::new(vec![1.0], vec![0.0]).unwrap();
    assert!(other().with_center(vec![]).is_err());
    assert!(other().with_center(vec![f32::INFINITY]).is_err());
}
