//! `pusht train`.

mod options;

pub use options::Args;

use crate::data::Demonstrations;
use crate::engine::Engine;
use crate::evaluate::{Conditions, Evaluation, evaluate};
use crate::float_engine::FloatPolicy;
use crate::policy_file::{self, Conditioning, PolicyConfig};
use crate::train::checkpoint::{self, Header};
use crate::train::report::{Log, Progress, Row};
use crate::train::trainer::{Settings, Trainer};
use crate::{errln, output};
use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use pusht_core::control::Planner;
use pusht_core::noise::NoiseSource;
use pusht_core::pusht::env::{Seeding, WINDOW_PX};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::AtomicBool;

/// Runs the command.
///
/// # Errors
/// If options contradict each other, demonstrations can't be read, the folder already holds a run
/// (without `--resume`) or another one (with it), or a file can't be written.
pub fn run(args: &Args) -> Result<()> {
    output::check_folder(&args.out)?;
    let init = args.init.as_deref().map(policy_file::load).transpose()?;
    let settings = args.settings(init.as_ref())?;
    let sets = (args.data.iter())
        .map(|path| Demonstrations::open(path))
        .collect::<Result<Vec<_>>>()?;
    let found = match args.resume {
        true => checkpoint::load_newest(&args.out)?,
        false => {
            ensure!(
                !args.out.join("log.csv").exists() && !checkpoint::exists(&args.out)?,
                "{}: already holds a run; go on with --resume, or name another folder",
                args.out.display()
            );
            None
        }
    };
    let header = Header {
        step: 0,
        data_crc32: sets.iter().map(Demonstrations::crc32).collect(),
        settings: settings.clone(),
    };
    let state = match found {
        Some((found, state)) => {
            check_same_run(&found, &header).with_context(|| args.out.display().to_string())?;
            Some(state)
        }
        None => None,
    };
    let init = init.as_ref().map(|(_, tensors)| tensors);
    let trainer = Trainer::new(settings, &sets, init, state, args.device.into())?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: can't make the folder", args.out.display()))?;
    output::remove_unfinished(&args.out)?;
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(args.threads.into())
        .build()?;
    let provenance = provenance_of(args, &sets);
    drop(sets);
    threads.install(|| {
        Run {
            args,
            header,
            provenance,
            trainer,
        }
        .finish()
    })
}

/// Refuses to resume a run with other settings or data.
fn check_same_run(found: &Header, asked: &Header) -> Result<()> {
    ensure!(
        found.data_crc32 == asked.data_crc32,
        "its run began with other demonstrations (CRC-32 {:08x?}, now {:08x?})",
        found.data_crc32,
        asked.data_crc32
    );
    let (found, asked) = (
        serde_json::to_value(&found.settings)?,
        serde_json::to_value(&asked.settings)?,
    );
    let fields = found.as_object().into_iter().flatten();
    for (name, value) in fields {
        if asked[name] != *value {
            bail!("its run began with {name} {value}, now {}", asked[name]);
        }
    }
    Ok(())
}

/// Provenance for the policy file, without paths of this machine.
fn provenance_of(args: &Args, sets: &[Demonstrations]) -> BTreeMap<String, String> {
    let data = args.data.iter().zip(sets).map(|(path, set)| {
        format!(
            "{}: {} episodes, {} steps, CRC-32 of states and actions {:08x}",
            path.file_name().unwrap_or_default().to_string_lossy(),
            set.episodes.len(),
            set.n_steps(),
            set.crc32()
        )
    });
    BTreeMap::from([
        ("command".into(), args.command()),
        ("data".into(), data.collect::<Vec<_>>().join("; ")),
        ("seed".into(), args.seed.to_string()),
        (
            "commit".into(),
            commit().unwrap_or_else(|| "unknown".into()),
        ),
        ("version".into(), env!("CARGO_PKG_VERSION").into()),
    ])
}

/// Checked-out commit of the working directory, marked if files differ from it.
fn commit() -> Option<String> {
    let output = Command::new("git")
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=40",
            "--exclude=*",
        ])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success()).then(|| text.trim().to_owned())
}

/// Plans once, from a window in the middle of the scene.
fn check_plan(mut policy: FloatPolicy) -> Result<()> {
    let shape = policy.shape();
    let window = vec![WINDOW_PX / 2.0; shape.window_len()];
    let mut chunk = vec![0.0; shape.chunk_len()];
    policy.plan(&window, &mut NoiseSource::new(0), &mut chunk)?;
    ensure!(
        chunk.iter().all(|value| value.is_finite()),
        "its actions are not finite"
    );
    Ok(())
}

/// A run with its output files.
struct Run<'a> {
    args: &'a Args,
    header: Header,
    provenance: BTreeMap<String, String>,
    trainer: Trainer,
}

impl Run<'_> {
    /// Trains to the last step.
    fn finish(mut self) -> Result<()> {
        let mut log = Log::open(&self.args.out.join("log.csv"), self.trainer.step())?;
        let progress = Progress::new(self.args.steps, self.trainer.step());
        let (mut loss_sum, mut n_losses) = (0.0, 0);
        while self.trainer.step() < self.args.steps {
            let learning_rate = self.trainer.learning_rate();
            let loss = self.trainer.advance();
            ensure!(
                loss.is_finite(),
                "the loss of step {} is {loss}",
                self.trainer.step()
            );
            loss_sum += f64::from(loss);
            n_losses += 1;
            let step = self.trainer.step();
            progress.advance(step);
            if step.is_multiple_of(self.args.log_every) || step == self.args.steps {
                let row = Row {
                    step,
                    learning_rate,
                    loss: loss_sum / f64::from(n_losses),
                    validation_loss: self.validation_loss()?,
                    scores: self.evaluate_if_due()?,
                };
                log.add(&row)?;
                progress.report(&row);
                (loss_sum, n_losses) = (0.0, 0);
            }
            if step.is_multiple_of(self.args.checkpoint_every) || step == self.args.steps {
                log.sync()?;
                self.save()?;
                log.draw(&self.args.out.join("log.svg"))?;
            }
        }
        self.save_policy()
    }

    /// Loss on the held-out episodes, if there are any.
    fn validation_loss(&self) -> Result<Option<f32>> {
        let loss = self.trainer.validation_loss();
        ensure!(
            loss.is_none_or(f32::is_finite),
            "the validation loss after step {} is {}",
            self.trainer.step(),
            loss.unwrap_or_default()
        );
        Ok(loss)
    }

    /// Evaluates the moving average if an evaluation is due.
    fn evaluate_if_due(&self) -> Result<Option<Evaluation>> {
        let (step, every) = (self.trainer.step(), self.args.eval_every);
        if every == 0 || !(step.is_multiple_of(every) || step == self.args.steps) {
            return Ok(None);
        }
        let policy = FloatPolicy::from_parts(self.config(), &self.trainer.policy_tensors())?;
        let engine = Engine::Float(Box::new(policy));
        let seeds: Vec<u64> = self.args.eval_seeds.clone().collect();
        let (never, hidden) = (AtomicBool::new(false), ProgressBar::hidden());
        let timed = evaluate(
            &engine,
            &seeds,
            Seeding::Legacy,
            &Conditions::default(),
            &never,
            &hidden,
        )?;
        Ok(Some(timed.evaluation))
    }

    fn save(&mut self) -> Result<()> {
        self.header.step = self.trainer.step();
        checkpoint::save(&self.args.out, &self.header, &self.trainer.state())
    }

    fn save_policy(&self) -> Result<()> {
        let path = self.args.out.join("policy.safetensors");
        let tensors = self.trainer.policy_tensors();
        check_plan(FloatPolicy::from_parts(self.config(), &tensors)?)
            .context("no policy is written: the trained one does not plan")?;
        policy_file::save(&path, &self.config(), &tensors)?;
        errln!("wrote {}", path.display());
        Ok(())
    }

    fn config(&self) -> PolicyConfig {
        let Settings {
            observation,
            n_obs_steps,
            horizon,
            n_action_steps,
            action_frame,
            unet,
            scheduler,
            num_inference_steps,
            ..
        } = self.header.settings.clone();
        PolicyConfig {
            observation: Some(observation),
            task: None,
            n_obs_steps,
            horizon,
            n_action_steps: self.args.eval_action_steps.unwrap_or(n_action_steps),
            conditioning: Conditioning::Global,
            pred_action_steps_only: false,
            oa_step_convention: true,
            n_latency_steps: 0,
            action_frame,
            unet,
            scheduler,
            num_inference_steps,
            provenance: self.provenance.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
