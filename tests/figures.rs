//! The page of figures, `docs/figures.md`: composed of the result files in `tests/figures/` and of
//! what can be computed immediately. `cargo verify figures` writes it.

mod budgets;

use pusht_core::quant::Model;
use safetensors::SafeTensors;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const HEAD: &str = "\
# Figures

Every measured figure of the project stands on this page; other pages link to it. The page is
written by `cargo verify figures`, from the result files in `tests/figures/` and from what can be
computed at once (model files, budgets). After a measurement, put its result into the file and run
the command again. A test fails when this page is not what the command would write.

Each table names the machine, the command that measures, and the date or commit of the measurement.
Times on shared machines vary by a tenth and more; counted instructions do not.
";

/// Models that come with the repository.
const MODELS: [&str; 2] = ["pusht", "pusht-small"];

/// Chapters of the page, in order.
const CHAPTERS: [(&str, &[Source]); 7] = [
    (
        "Scores",
        &[
            File("scores"),
            File("human_data"),
            File("frontier"),
            File("changes"),
        ],
    ),
    (
        "Models and integers",
        &[
            Computed(models),
            File("parity"),
            File("undecided"),
            File("weight_rounding"),
        ],
    ),
    (
        "On microcontrollers",
        &[
            Computed(plans),
            Computed(plan_times),
            File("images"),
            File("episode"),
            File("real_time"),
            File("microbit"),
            File("inner_loops"),
        ],
    ),
    (
        "Budgets",
        &[Computed(board_budgets), Computed(other_budgets)],
    ),
    (
        "Simulator and environments",
        &[File("env"), File("env_limit"), File("vector")],
    ),
    (
        "Policies, training and demonstrations on the host",
        &[
            File("host_plans"),
            File("float_pass"),
            File("training_step"),
            File("expert"),
        ],
    ),
    ("Agreement with the originals", &[File("agreement")]),
];

use Source::{Computed, File};

/// Where a table comes from.
enum Source {
    /// The result file `tests/figures/<name>.json`.
    File(&'static str),
    /// What is computed while the page is written.
    Computed(fn() -> Table),
}

/// A table and its provenance.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    title: String,
    /// What was measured, and how.
    #[serde(default)]
    about: String,
    machine: String,
    command: String,
    /// Date or commit of the measurement.
    measured: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    /// What the table has no column for.
    #[serde(default)]
    notes: String,
}

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

#[test]
fn the_page_of_figures_is_what_the_command_writes() {
    let committed = std::fs::read_to_string(page_path()).unwrap();
    assert!(
        committed == page(),
        "docs/figures.md differs from its inputs: run `cargo verify figures`"
    );
}

/// A figure of the README is a bold number.
#[test]
fn the_figures_of_the_readme_stand_on_the_page() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let page = page();
    let bold = readme.split("**").skip(1).step_by(2);
    let figures: Vec<&str> = bold
        .filter(|text| text.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    assert!((1..=10).contains(&figures.len()), "{figures:?}");
    for figure in figures {
        assert!(page.contains(figure), "{figure} is not in docs/figures.md");
    }
}

#[test]
#[ignore = "writes docs/figures.md: cargo verify figures"]
fn the_page_is_written() {
    std::fs::write(page_path(), page()).unwrap();
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (chapter, sources) in CHAPTERS {
        write!(page, "\n## {chapter}\n").unwrap();
        for source in sources {
            let table = match source {
                File(name) => result(name),
                Computed(table) => table(),
            };
            page += &table.markdown();
        }
    }
    page
}

impl Table {
    fn markdown(&self) -> String {
        let row = |cells: &[String]| {
            assert_eq!(cells.len(), self.columns.len(), "{}: {cells:?}", self.title);
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = format!("\n### {}\n\n", self.title);
        if !self.about.is_empty() {
            text += &format!("{}\n\n", wrapped(&self.about));
        }
        text += &row(&self.columns);
        text += &row(&vec!["---".to_owned(); self.columns.len()]);
        self.rows.iter().for_each(|cells| text += &row(cells));
        if !self.notes.is_empty() {
            text += &format!("\n{}\n", wrapped(&self.notes));
        }
        let Self {
            machine,
            command,
            measured,
            ..
        } = self;
        let provenance = format!("Machine: {machine}. Command: {command}. Measured: {measured}.");
        text + &format!("\n{}\n", wrapped(&provenance))
    }
}

/// `text` in lines of up to 100 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            *line += word;
        } else if line.chars().count() + 1 + word.chars().count() <= 100 {
            *line += &format!(" {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

/// The shipped models, as their files say.
fn models() -> Table {
    let rows = MODELS.map(|name| {
        let path = repository().join("models").join(name);
        let bytes = std::fs::read(path.with_extension("ptm")).unwrap();
        let twin = std::fs::read(path.with_extension("safetensors")).unwrap();
        let model = Model::parse(&bytes).unwrap();
        [
            format!("`{name}`"),
            grouped(n_parameters(&twin)),
            model.n_passes().to_string(),
            format!("{} of {}", model.n_action_steps(), model.horizon()),
            format!(
                "{} bytes, {}",
                grouped(bytes.len() as u64),
                kib(bytes.len() as u64)
            ),
            format!("{} bytes", grouped(model.memory_bytes() as u64)),
        ]
        .to_vec()
    });
    Table {
        title: "The shipped models".to_owned(),
        about:
            "Int8 weights, int16 activations. Working memory is that of a plan; a panel of 3 KiB \
                comes on top of it."
                .to_owned(),
        columns: words(&[
            "policy",
            "parameters",
            "passes",
            "actions executed",
            "model file",
            "working memory",
        ]),
        rows: rows.to_vec(),
        ..computed("`pusht info FILE`", "the committed files in `models/`")
    }
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
fn plans() -> Table {
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

/// Estimated times of a plan on parts that can be bought.
fn plan_times() -> Table {
    /// Part, board of QEMU with its core, clock in MHz.
    const PARTS: [(&str, &str, f64); 5] = [
        ("nRF52840", "mps2-an386", 64.0),
        ("STM32H743", "mps2-an500", 400.0),
        ("RP2350", "mps2-an505", 150.0),
        ("RP2040", "mps2-an385-v6m", 133.0),
        ("a part with a Cortex-M55", "mps3-an547", 400.0),
    ];
    let plans = board_plans();
    let row = |(part, board, clock_mhz): (&str, &str, f64)| {
        let plans = plans.iter().find(|plans| plans.board == board).unwrap();
        let times = |plan: &Plan| {
            let ms = plan.instructions as f64 / clock_mhz / 1e3;
            let digits = usize::from(ms < 10.0);
            format!("{ms:.digits$} to {:.digits$} ms", 2.0 * ms)
        };
        vec![
            part.to_owned(),
            plans.core.clone(),
            format!("{clock_mhz} MHz"),
            times(&plans.best),
            times(&plans.small),
        ]
    };
    Table {
        title: "Estimated time of a plan".to_owned(),
        about:
            "**Estimates, not measurements**: the instructions above at one to two cycles each. \
                Flash wait states and caches are left out; code and weights in slow or uncached \
                flash take several times as long. A plan is due every 3 actions, 300 ms."
                .to_owned(),
        columns: words(&["part", "core", "clock", "`pusht`", "`pusht-small`"]),
        rows: PARTS.map(row).to_vec(),
        ..bench_plan()
    }
}

/// Upper bounds of a plan on every board.
fn board_budgets() -> Table {
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
        title: "Instructions of a plan, upper bounds".to_owned(),
        columns: words(&["board", "`pusht`", "`pusht-small`", "per multiplication"]),
        rows: budgets::PLANS.iter().map(row).collect(),
        ..computed("`cargo verify qemu` checks them", "`tests/budgets.rs`")
    }
}

/// All other upper bounds.
fn other_budgets() -> Table {
    let episode = &budgets::MPS2_AN386;
    let on = |what: &str| format!("{what}, `{}`", episode.board);
    let mut rows = vec![
        [on("`episode`: flash"), kib(episode.flash_bytes)],
        [on("`episode`: RAM without stack"), kib(episode.ram_bytes)],
        [on("`episode`: stack"), kib(episode.stack_bytes)],
        [
            on("`episode`: instructions of the longest plan"),
            grouped(episode.plan_instructions),
        ],
        [
            on("`episode`: instructions of a control step"),
            grouped(episode.step_instructions),
        ],
        [
            on("`realtime`: longest turn of the interrupt"),
            us(budgets::REALTIME_TURN_US),
        ],
        [
            on("`realtime`: longest latency of the interrupt"),
            us(budgets::REALTIME_LATENCY_US),
        ],
        [
            "`plans`: flash beside the model file".to_owned(),
            kib(budgets::CODE_BYTES),
        ],
        [
            "`plans`: RAM and stack".to_owned(),
            kib(budgets::PLAN_RAM_BYTES),
        ],
        [
            "`bench`, physical boards: flash".to_owned(),
            kib(budgets::SILICON_BENCH_FLASH_BYTES),
        ],
    ];
    for budget in &budgets::SILICON_BUDGETS {
        let (flash, ram) = (kib(budget.flash_bytes), kib(budget.ram_bytes));
        let what = format!(
            "other binaries, `{}`: flash, RAM without stack",
            budget.board
        );
        rows.push([what, format!("{flash}, {ram}")]);
    }
    let pair = |pair: [u64; 2]| pair.map(grouped).join(", ");
    for (what, bounds) in ["chases", "walls", "squeezes"]
        .iter()
        .zip(budgets::STEP_INSTRUCTIONS)
    {
        let what = format!("x86-64: instructions of a control step, {what}; alone, side by side");
        rows.push([what, pair(bounds)]);
    }
    for (model, bounds) in MODELS.iter().zip(budgets::PLAN_INSTRUCTIONS) {
        let what = format!("x86-64, AVX2: instructions of a plan of `{model}`; alone, batched");
        rows.push([what, pair(bounds)]);
    }
    Table {
        title: "All other upper bounds".to_owned(),
        columns: words(&["what", "at most"]),
        rows: rows.into_iter().map(|row| row.to_vec()).collect(),
        ..computed(
            "`cargo verify qemu` checks them; those of x86-64 `cargo bench --bench instructions`",
            "`tests/budgets.rs`",
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

/// Provenance of what is read off the repository.
fn computed(command: &str, source: &str) -> Table {
    Table {
        machine: "any".to_owned(),
        command: command.to_owned(),
        measured: format!("with this page, from {source}"),
        ..Table::default()
    }
}

/// The contents of `tests/figures/<name>.json`.
fn result<T: DeserializeOwned>(name: &str) -> T {
    let path = repository().join(format!("tests/figures/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn page_path() -> PathBuf {
    repository().join("docs/figures.md")
}

fn words(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|&word| word.to_owned()).collect()
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", (bytes as f64 / 1024.0).round())
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
