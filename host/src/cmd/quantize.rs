//! `pusht quantize`.

use crate::console::{self, parse_seeds};
use crate::float_engine::FloatPolicy;
use crate::policy_file::{self, SchedulerKind};
use crate::quantize::calibrate::{self, Window};
use crate::quantize::compare::{self, LayerNoise, Parity};
use crate::quantize::sensitivity;
use crate::quantize::{self, CALIBRATION_SEEDS};
use anyhow::{Context, Result};
use pusht_core::quant::{Model, Scratch, selftest};
use std::ops::Range;
use std::path::PathBuf;

/// Turn a float policy into an integer model file.
///
/// Plays some episodes to see how large every tensor gets, quantises, writes the file, and compares both policies:
/// the noise added to every layer, how far the actions move, and how far the float policy's own would move for a small change of
/// what it sees.
///
/// Example: pusht quantize --policy models/pusht.safetensors --out models/pusht.ptm
#[derive(clap::Args)]
pub struct Args {
    /// The float policy.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The model file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Passes of the network in a plan; the float policy's own number if absent.
    #[arg(long, value_name = "N")]
    passes: Option<usize>,
    /// Actions to execute before the next plan; the float policy's own number if absent.
    #[arg(long, value_name = "N")]
    n_action_steps: Option<usize>,
    /// The sampler; the float policy's own if absent.
    #[arg(long, value_enum)]
    scheduler: Option<SchedulerKind>,
    /// Legacy seeds of the episodes to calibrate on, B excluded; as many from B on are played to compare.
    #[arg(long, value_name = "A..B", default_value = CALIBRATION_SEEDS, value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// Plans to compare in the end, at least.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    compare: usize,
}

/// Runs the command.
///
/// # Errors
/// If a file can't be read or written, or the policy can't be quantised.
pub fn run(args: &Args) -> Result<()> {
    let (mut config, tensors) = policy_file::load(&args.policy)?;
    config.scheduler.kind = args.scheduler.unwrap_or(config.scheduler.kind);
    config.num_inference_steps = args.passes.unwrap_or(config.num_inference_steps);
    config.n_action_steps = args.n_action_steps.unwrap_or(config.n_action_steps);
    let policy = FloatPolicy::from_parts(config, &tensors)
        .with_context(|| format!("{}: not a usable policy", args.policy.display()))?;

    let progress = console::progress_bar("episodes to calibrate on");
    let bytes = quantize::model_file(&policy, &tensors, &args.seeds, &progress)?;
    progress.finish_and_clear();
    let model = Model::parse(&bytes).context("the quantised network is refused")?;
    policy_file::write_whole(&args.out, &bytes)?;

    let next_seeds = args.seeds.end..2 * args.seeds.end - args.seeds.start;
    let progress = console::progress_bar("episodes to compare on");
    let windows = calibrate::play(&policy, next_seeds, &progress)?.windows;
    progress.finish_and_clear();
    print_noise(&compare::layer_noise(
        &policy,
        &model,
        &spread(&windows, 32),
    )?);
    let compared = spread(&windows, args.compare);
    let progress = console::progress_bar("plans compared");
    progress.set_length(compared.len() as u64);
    let distances_px = compare::distances_px(&policy, &model, &compared, &progress)?;
    progress.finish();
    let parity = Parity::of(&distances_px)?;
    println!(
        "actions of {} plans, float against integer: median {:.3} px, 99 % {:.3} px, largest {:.3} px",
        parity.n_plans, parity.median_px, parity.p99_px, parity.max_px
    );
    print_sensitivity(&policy, &compared, &distances_px)?;
    println!(
        "{}: {} bytes, {} passes, {} bytes of memory, digest {:016x}",
        args.out.display(),
        bytes.len(),
        model.n_passes(),
        model.memory_bytes(),
        selftest(&model, &mut Scratch::new(), 8)
    );
    Ok(())
}

/// `n` windows, evenly spread over all; each as often as needed.
fn spread(windows: &[Window], n: usize) -> Vec<&Window> {
    (0..n).map(|i| &windows[i * windows.len() / n]).collect()
}

/// What a small change does to the float policy in the plans where both engines differ most, and in those in the middle.
fn print_sensitivity(
    policy: &FloatPolicy,
    windows: &[&Window],
    distances_px: &[Vec<f64>],
) -> Result<()> {
    const SHOWN: usize = 20;
    let [a, b, c] = sensitivity::STEPS_PX;
    println!(
        "float's own actions move by (median, px), if the positions that it sees move by {a}, {b} and {c} px:"
    );
    for (what, first) in [("most apart", 0), ("in the middle", windows.len() / 2)] {
        let plans = sensitivity::of_ranks(policy, windows, distances_px, first..first + SHOWN)?;
        let (Some(most), Some(least)) = (plans.first(), plans.last()) else {
            continue;
        };
        let [a, b, c] = sensitivity::median_moves_px(&plans);
        println!(
            "  {:<42} {a:>8.3} {b:>8.2} {c:>8.1}",
            format!(
                "{} plans {what}, {:.2} to {:.2} px",
                plans.len(),
                least.distance_px,
                most.distance_px
            )
        );
    }
    Ok(())
}

fn print_noise(layers: &[LayerNoise]) {
    println!(
        "{:<44} {:>8} {:>9} {:>11}",
        "tensor", "exponent", "SNR, dB", "saturated"
    );
    for LayerNoise {
        path,
        exponent,
        snr_db,
        saturated,
    } in layers
    {
        println!(
            "{path:<44} {exponent:>8} {snr_db:>9.1} {:>9.4} %",
            100.0 * saturated
        );
    }
}
