//! Tables that are computed while the page of figures is written.

#[path = "cycles.rs"]
mod cycles;
#[path = "frontier.rs"]
pub mod frontier;

pub use cycles::plan_times;

use crate::{Table, budgets, repository, result};
use pusht_core::quant::Model;
use safetensors::SafeTensors;
use serde::Deserialize;

/// Models that come with the repository.
const MODELS: [&str; 2] = ["pusht", "pusht-small"];

/// A board's line of `pusht bench plan --json`.
#[derive(Deserialize)]
struct BoardPlans {
    board: String,
    core: String,
    conv_8_positions: f64,
    cmsis_nn_int8: String,
    best: Plan,
    small: Plan,
}

/// A whole plan in it.
#[derive(Deserialize)]
struct Plan {
    instructions: u64,
    share_beyond_products: f64,
}

/// The shipped models, as their files say.
pub fn models() -> Table {
    let row = |name: &&str| {
        let folder = repository().join("models");
        let bytes = std::fs::read(folder.join(format!("{name}.ptm"))).unwrap();
        let twin = std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
        let model = Model::parse(&bytes).unwrap();
        vec![
            format!("`{name}`"),
            grouped(n_parameters(&twin)),
            bits(model.weight_bits()),
            model.n_passes().to_string(),
            format!("{} of {}", model.n_action_steps(), model.horizon()),
            grouped(bytes.len() as u64),
            grouped(8 * model.scratch_len() as u64),
        ]
    };
    Table {
        title: "The shipped models".to_owned(),
        about: "Int16 activations; in brackets how many of the matrix products have weights of \
                these bits."
            .to_owned(),
        columns: words(&[
            "policy",
            "parameters",
            "bits of the weights",
            "passes",
            "actions executed",
            "model file, bytes",
            "working memory, bytes",
        ]),
        rows: MODELS.iter().map(row).collect(),
        ..computed("`pusht info FILE`", "the committed files in `models/`")
    }
}

/// How many products have weights of 4 and of 8 bits: `4 (31), 8 (1)`.
fn bits(of_products: &[u8]) -> String {
    if of_products.is_empty() {
        return "8".to_owned();
    }
    let counts = [4, 8].map(|bits| (bits, of_products.iter().filter(|&&b| b == bits).count()));
    let present = counts.iter().filter(|(_, n)| *n > 0);
    let words: Vec<String> = present.map(|(bits, n)| format!("{bits} ({n})")).collect();
    words.join(", ")
}

/// Parameters of a float policy's network.
fn n_parameters(file: &[u8]) -> u64 {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let of_network = tensors
        .iter()
        .filter(|(name, _)| !name.starts_with("normalizer."));
    of_network
        .map(|(_, tensor)| tensor.shape().iter().product::<usize>() as u64)
        .sum()
}

/// Instructions of convolutions and plans on every core.
pub fn plans() -> Table {
    let plan = |plan: &Plan| {
        format!(
            "{:.2}, {:.0} %",
            plan.instructions as f64 / 1e6,
            100.0 * plan.share_beyond_products
        )
    };
    let row = |board: &BoardPlans| {
        vec![
            board.core.clone(),
            format!("`{}`", board.board),
            plan(&board.best),
            plan(&board.small),
            format!("{:.3}", board.conv_8_positions),
            board.cmsis_nn_int8.clone(),
        ]
    };
    Table {
        title: "Instructions of a plan".to_owned(),
        about: "Millions of instructions per plan, and the share beyond convolutions and \
                projections; then instructions per multiplication of one convolution (64 channels \
                to 64, 3 taps, 8 positions, everything in the layer included), beside CMSIS-NN's \
                int8 convolution (GCC 12 -O3) counted in the same way."
            .to_owned(),
        columns: words(&[
            "core",
            "board",
            "`pusht`",
            "`pusht-small`",
            "convolution",
            "CMSIS-NN int8",
        ]),
        rows: board_plans().iter().map(row).collect(),
        ..bench_plan()
    }
}

/// Upper bounds of a plan's instructions on every board.
pub fn plan_budgets() -> Table {
    let row = |budget: &budgets::PlanBudget| {
        let convolution = budget.conv_milli_instructions as f64 / 1000.0;
        vec![
            format!("`{}`", budget.board),
            grouped(budget.best_plan_instructions),
            grouped(budget.small_plan_instructions),
            format!("{convolution:.1}"),
        ]
    };
    Table {
        title: "Instructions of a plan, at most".to_owned(),
        columns: words(&["board", "`pusht`", "`pusht-small`", "per multiplication"]),
        rows: budgets::PLANS.iter().map(row).collect(),
        ..budget("`cargo verify qemu`")
    }
}

/// Upper bounds of the binaries on the default board.
pub fn firmware_budgets() -> Table {
    let episode = &budgets::MPS2_AN386;
    let disturbed = &budgets::MPS2_AN386_DISTURBED;
    let micro = &budgets::MICROBIT_EPISODE;
    let rows = [
        ("`episode`: flash", kib(episode.flash_bytes)),
        ("`episode`: RAM without stack", kib(episode.ram_bytes)),
        ("`episode`: stack", kib(episode.stack_bytes)),
        (
            "`episode`: instructions of a plan",
            grouped(episode.plan_instructions),
        ),
        (
            "`episode`: instructions of a control step",
            grouped(episode.step_instructions),
        ),
        ("`disturbed`: flash", kib(disturbed.flash_bytes)),
        ("`disturbed`: stack", kib(disturbed.stack_bytes)),
        (
            "`disturbed`: instructions of disturbances and estimator in a control step",
            grouped(disturbed.border_instructions),
        ),
        (
            "`realtime`: turn of the interrupt",
            us(budgets::REALTIME_TURN_US),
        ),
        (
            "`realtime`: latency of the interrupt",
            us(budgets::REALTIME_LATENCY_US),
        ),
        (
            "`plans`: flash beside the model file",
            kib(budgets::CODE_BYTES),
        ),
        ("`plans`: RAM and stack", kib(budgets::PLAN_RAM_BYTES)),
        ("`episode` on `microbit`: flash", kib(micro.flash_bytes)),
        (
            "`episode` and `controller` on `microbit`: RAM and reserved stack",
            kib(budgets::MICROBIT_RAM_BYTES),
        ),
        (
            "`episode` on `microbit`: stack in use",
            kib(micro.stack_bytes),
        ),
        (
            "`episode` on `microbit`: instructions of a plan",
            grouped(micro.plan_instructions),
        ),
        (
            "`controller` on `microbit`: flash",
            kib(budgets::MICROBIT_CONTROLLER_FLASH_BYTES),
        ),
    ];
    Table {
        title: format!("Firmware, on `{}` unless said, at most", episode.board),
        columns: words(&["what", "at most"]),
        rows: rows
            .map(|(what, bound)| vec![what.to_owned(), bound])
            .to_vec(),
        ..budget("`cargo verify qemu`")
    }
}

/// Upper bounds of the images for physical boards.
pub fn image_budgets() -> Table {
    let row = |budget: &budgets::SiliconBudget| {
        vec![
            format!("`{}`", budget.board),
            kib(budget.flash_bytes),
            kib(budget.bench_flash_bytes),
            kib(budget.ram_bytes),
        ]
    };
    Table {
        title: "Images for physical boards, at most".to_owned(),
        columns: words(&["board", "flash", "flash of `bench`", "RAM without stack"]),
        rows: budgets::SILICON_BUDGETS.iter().map(row).collect(),
        ..budget("`cargo verify qemu`")
    }
}

/// Upper bounds of instructions on hosts.
pub fn host_budgets() -> Table {
    let steps = ["chases", "walls", "squeezes"].map(|name| format!("a control step, {name}"));
    let plans = |how: &str| MODELS.map(|name| format!("a plan of `{name}`, {how}"));
    let names = steps.into_iter().chain(plans("AVX2"));
    let names = names.chain(plans("64-bit Arm (NEON)"));
    let bounds = budgets::STEP_INSTRUCTIONS
        .into_iter()
        .chain(budgets::PLAN_INSTRUCTIONS)
        .chain(budgets::ARM64_PLAN_INSTRUCTIONS);
    let row = |(name, bounds): (String, [u64; 2])| {
        let [alone, batched] = bounds.map(grouped);
        vec![name, alone, batched]
    };
    Table {
        title: "Instructions on a host, at most".to_owned(),
        about: "On x86-64 but for the last two rows.".to_owned(),
        columns: words(&["what", "alone", "side by side or batched"]),
        rows: names.zip(bounds).map(row).collect(),
        ..budget(
            "`cargo bench -p pusht-tests --bench instructions`; on 64-bit Arm \
             `cargo test -p pusht-tests --test arm64 -- --ignored`",
        )
    }
}

/// What `pusht bench plan` counted.
fn board_plans() -> Vec<BoardPlans> {
    result("bench_plan")
}

/// Provenance of it.
fn bench_plan() -> Table {
    Table {
        machine: "QEMU 7.2, `-icount`: the counts depend on the compiler (rustc 1.95), not on the \
                  host"
            .to_owned(),
        command: "`pusht bench plan --json tests/figures/bench_plan.json`".to_owned(),
        measured: "at the commit that last changed the file".to_owned(),
        ..Table::default()
    }
}

/// Provenance of an upper bound, which `command` checks.
fn budget(command: &str) -> Table {
    computed(command, "`tests/budgets.rs`")
}

/// Provenance of what is read off the repository.
fn computed(command: &str, source: &str) -> Table {
    Table {
        machine: "any".to_owned(),
        command: command.to_owned(),
        measured: format!("read from {source} whenever this page is written"),
        ..Table::default()
    }
}

fn words(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|&word| word.to_owned()).collect()
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", grouped(bytes.div_ceil(1024)))
}

fn us(time_us: u64) -> String {
    format!("{} us", grouped(time_us))
}

/// The number with a comma between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
