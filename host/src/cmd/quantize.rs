//! `pusht quantize`.

use crate::arguments::{legacy_seeds, whole};
use crate::console;
use crate::evaluate;
use crate::float_engine::FloatPolicy;
use crate::output::{check_file, write_whole};
use crate::policy_file::{self, MAX_DIM, SchedulerKind};
use crate::quantize::boards::BOARDS;
use crate::quantize::calibrate::Window;
use crate::quantize::compare::{self, LayerNoise, Metric, Parity};
use crate::quantize::needs::{Needs, Widths};
use crate::quantize::sensitivity;
use crate::quantize::{self, Bits, CALIBRATION_SEEDS, CalibrationData, windows};
use crate::{errln, outln};
use anyhow::{Context, Result, bail};
use pusht_core::control::Planner;
use pusht_core::pusht::env::Seeding;
use pusht_core::quant::{Model, WeightBits, selftest};
use std::ops::Range;
use std::path::PathBuf;

/// Quantise a float policy to an integer model file.
///
/// Measures the range of every tensor, quantises, writes the file, and compares both policies: the
/// quantisation noise of every layer, the distance between their actions, and the sensitivity of
/// the float policy to small changes of its observations.
///
/// PushT policies are calibrated on episodes that they play, others on recordings (--data).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples: pusht quantize --policy models/pusht.safetensors --out models/pusht.ptm\n          pusht quantize --policy arm.safetensors --data windows.npy --out arm.ptm\n          pusht quantize --policy arm.safetensors --data arm_dataset --out arm.ptm\n          pusht quantize --policy small.safetensors --weight-bits mixed --max-bytes 65536 --out small.ptm"
)]
pub struct Args {
    /// The float policy.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The model file to write; it is on the disk before the comparison begins.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Passes of the network per plan [default: that of the float policy].
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=1000))]
    passes: Option<usize>,
    /// Actions executed per plan [default: that of the float policy].
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=MAX_DIM as u64))]
    n_action_steps: Option<usize>,
    /// Sampler [default: that of the float policy].
    #[arg(long, value_enum)]
    scheduler: Option<SchedulerKind>,
    /// Legacy seeds A..B of the calibration episodes, B excluded; the next B - A are for comparing.
    #[arg(long, value_name = "A..B", default_value = CALIBRATION_SEEDS, value_parser = legacy_seeds, conflicts_with = "data")]
    seeds: Range<u64>,
    /// Windows of observations to calibrate on instead: (N, To, Do) numbers in a `.npy` file or the
    /// tensor `obs` of a `.safetensors` file; a LeRobot dataset (v3.0); for a policy of PushT also
    /// what `pusht replay` takes. Datasets need the feature `demonstrations`. Every tenth window is
    /// kept for the comparison.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Bits of the weights; `mixed` is 4 for the products where that costs least, until the file has
    /// at most `--max-bytes`, and 8 for the others.
    #[arg(long, value_enum, value_name = "BITS", default_value = "8")]
    weight_bits: WeightBitsArg,
    /// Largest length of a model file with mixed bits, bytes.
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=1 << 30), required_if_eq("weight_bits", "mixed"))]
    max_bytes: Option<usize>,
    /// Least number of plans in the comparison.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = whole::<usize>(1..=1_000_000))]
    compare: usize,
}

/// Values of `--weight-bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum WeightBitsArg {
    /// A byte for each weight.
    #[value(name = "8")]
    Eight,
    /// Half a byte for each weight.
    #[value(name = "4")]
    Four,
    /// Either, product by product.
    Mixed,
}

impl Args {
    fn bits(&self) -> Result<Bits> {
        match (self.weight_bits, self.max_bytes) {
            (WeightBitsArg::Mixed, max_bytes) => Ok(Bits::Mixed {
                max_bytes: max_bytes.context("--weight-bits mixed needs --max-bytes")?,
            }),
            (_, Some(_)) => bail!("--max-bytes is for --weight-bits mixed"),
            (WeightBitsArg::Eight, None) => Ok(Bits::All(WeightBits::Eight)),
            (WeightBitsArg::Four, None) => Ok(Bits::All(WeightBits::Four)),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// If a file can't be read or written, or the policy can't be quantised.
pub fn run(args: &Args) -> Result<()> {
    check_file(&args.out)?;
    let bits = args.bits()?;
    let (mut config, tensors) = policy_file::load(&args.policy)?;
    config.scheduler.kind = args.scheduler.unwrap_or(config.scheduler.kind);
    config.num_inference_steps = args.passes.unwrap_or(config.num_inference_steps);
    config.n_action_steps = args.n_action_steps.unwrap_or(config.n_action_steps);
    let policy = FloatPolicy::from_parts(config, &tensors)
        .with_context(|| format!("{}: not a usable policy", args.policy.display()))?;

    let (data, held_back) = data(args, &policy)?;
    let needs = |widths| quantize::needs(policy.config(), &tensors, &data, widths);
    if let Bits::All(bits) = bits {
        print_needs(&needs(Widths::All(bits))?);
    }
    let progress = console::progress_bar("calibration");
    let bytes = quantize::model_file(&policy, &tensors, &data, bits, &progress)?;
    progress.finish_and_clear();
    let model = Model::parse(&bytes).context("the quantised network is refused")?;
    // Which products have 4 bits is known only now.
    if let Bits::Mixed { .. } = bits {
        print_needs(&needs(Widths::Each(model.weight_bits()))?);
    }
    write_whole(&args.out, &bytes)?;

    let progress = console::progress_bar("comparison");
    let windows = held_back.calibrate(&policy, &progress)?.windows;
    progress.finish_and_clear();
    let noise = compare::layer_noise(&policy, &model, &spread(&windows, 32))?;
    print_noise(&noise);
    let compared = spread(&windows, args.compare);
    let progress = console::progress_bar("plans compared");
    progress.set_length(compared.len() as u64);
    let distances = compare::distances(&policy, &model, &compared, &progress)?;
    progress.finish();
    let parity = Parity::of(&distances)?;
    outln!(
        "actions of {} plans, float against integer ({}): median {:.4}, 99 % {:.4}, largest {:.4}",
        parity.n_plans,
        Metric::of(&policy).unit,
        parity.median,
        parity.p99,
        parity.max
    );
    print_sensitivity(&policy, &compared, &distances)?;
    // Weights of 4 bits are noisier than that, whatever the calibration.
    if bits == Bits::default()
        && let Some(warning) = few_windows(&noise, &data)
    {
        errln!("warning: {warning}");
    }
    outln!(
        "{}: {} bytes, {} passes, scratch of {} words of 8 bytes, digest {:016x}",
        args.out.display(),
        bytes.len(),
        model.n_passes(),
        model.scratch_len(),
        selftest(&model, &mut vec![0; model.scratch_len()], 8)?
    );
    Ok(())
}

/// Prints what the model will need, and the boards that it fits.
fn print_needs(needs: &Needs) {
    outln!(
        "model file of {} bytes, scratch of {} words of 8 bytes; on the boards of the firmware:",
        needs.file_bytes,
        needs.scratch_len
    );
    for board in BOARDS {
        outln!("  {}", board.describe(needs));
    }
}

/// Smallest signal-to-noise ratio of a tensor that needs no remark, dB: docs/quantisation.md says
/// what was measured.
const SNR_DB: f64 = 30.0;

/// What to say of a model whose calibration saw too little; `None` if it saw enough.
fn few_windows(noise: &[LayerNoise], data: &CalibrationData) -> Option<String> {
    let worst = noise.iter().min_by(|a, b| a.snr_db.total_cmp(&b.snr_db))?;
    let (was, remedy) = match data {
        CalibrationData::Episodes(seeds) => {
            let n = seeds.end - seeds.start;
            let more = seeds.start..seeds.start + (2 * n).max(32);
            (
                format!("{n} episodes"),
                format!("--seeds {}..{}", more.start, more.end),
            )
        }
        CalibrationData::Windows(windows, _) => (
            format!("{} windows", windows.len()),
            "a --data of more windows, from more of the task".to_owned(),
        ),
    };
    (worst.snr_db < SNR_DB).then(|| {
        format!(
            "the signal-to-noise ratio of {} is {:.1} dB, below {SNR_DB:.0} dB, and {:.2} % of its \
             values saturate: the calibration's {was} do not show enough of what the policy meets; \
             calibrate with {remedy}",
            worst.path,
            worst.snr_db,
            100.0 * worst.saturated
        )
    })
}

/// Data for calibration and for the comparison.
fn data(args: &Args, policy: &FloatPolicy) -> Result<(CalibrationData, CalibrationData)> {
    let Some(path) = &args.data else {
        policy
            .observation()
            .context("a policy of another task than PushT plays no episodes here: --data FILE names windows of observations to calibrate on")?;
        let next_seeds = args.seeds.end..2 * args.seeds.end - args.seeds.start;
        evaluate::start(next_seeds.end - 1, Seeding::Legacy)
            .context("--seeds: the comparison plays as many after them")?;
        return Ok((
            CalibrationData::Episodes(args.seeds.clone()),
            CalibrationData::Episodes(next_seeds),
        ));
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let windows = windows::read(path, policy.shape(), policy.observation())?;
    CalibrationData::split(windows, &name).with_context(|| path.display().to_string())
}

/// `n` evenly spaced windows, repeated if there are fewer.
fn spread(windows: &[Window], n: usize) -> Vec<&Window> {
    (0..n).map(|i| &windows[i * windows.len() / n]).collect()
}

/// Prints the float policy's sensitivity in the plans with the largest and the median distance.
fn print_sensitivity(
    policy: &FloatPolicy,
    windows: &[&Window],
    distances: &[Vec<f64>],
) -> Result<()> {
    const SHOWN: usize = 20;
    let [a, b, c] = sensitivity::STEPS;
    let unit = Metric::of(policy).unit;
    outln!(
        "float's own actions move by (median, {unit}), if the values that it sees move by {a}, {b} and {c} of their half range:"
    );
    for (what, first) in [("most apart", 0), ("in the middle", windows.len() / 2)] {
        let plans = sensitivity::of_ranks(policy, windows, distances, first..first + SHOWN)?;
        let (Some(most), Some(least)) = (plans.first(), plans.last()) else {
            continue;
        };
        let [a, b, c] = sensitivity::median_moves(&plans);
        outln!(
            "  {:<42} {a:>8.4} {b:>8.3} {c:>8.2}",
            format!(
                "{} plans {what}, {:.2} to {:.2}",
                plans.len(),
                least.distance,
                most.distance
            )
        );
    }
    Ok(())
}

fn print_noise(layers: &[LayerNoise]) {
    outln!(
        "{:<44} {:>8} {:>9} {:>11}",
        "tensor",
        "exponent",
        "SNR, dB",
        "saturated"
    );
    for LayerNoise {
        path,
        exponent,
        snr_db,
        saturated,
    } in layers
    {
        outln!(
            "{path:<44} {exponent:>8} {snr_db:>9.1} {:>9.4} %",
            100.0 * saturated
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(path: &str, snr_db: f64) -> LayerNoise {
        LayerNoise {
            path: path.into(),
            exponent: 10,
            snr_db,
            saturated: 0.0025,
        }
    }

    #[test]
    fn a_noisy_layer_is_named_with_what_calibrates_it_better() {
        let layers = [noise("mid_modules.0", 40.0), noise("mid_modules.1", 23.7)];
        let warning = few_windows(&layers, &CalibrationData::Episodes(20..22)).unwrap();
        for words in [
            "mid_modules.1 is 23.7 dB",
            "0.25 %",
            "2 episodes",
            "--seeds 20..52",
        ] {
            assert!(warning.contains(words), "no `{words}` in: {warning}");
        }
        let windows = CalibrationData::Windows(vec![vec![0.0]; 3], "windows.npy".into());
        let warning = few_windows(&layers, &windows).unwrap();
        assert!(warning.contains("3 windows"), "{warning}");
        assert_eq!(few_windows(&layers[..1], &windows), None);
    }
}
