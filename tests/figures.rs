//! The page of figures, `docs/figures.md`: composed of the result files in `tests/figures/` and of
//! what can be computed immediately. `cargo verify figures` writes it.

mod budgets;
#[path = "figures/computed.rs"]
mod computed;
mod svg;

use Source::{Computed, File};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;

const HEAD: &str = "\
# Figures

Every measured figure of the project stands on this page; other pages link to it. The page is
written by `cargo verify figures`, from the result files in `tests/figures/` and from what can be
computed at once (model files, budgets). After a measurement, put its result into the file and run
the command again. A test fails when this page is not what the command would write.

Each table names the machine, the command that measures, and the date or commit of the measurement.
Times on shared machines vary by a tenth and more; counted instructions do not.
";

/// The tables of the page in order, each with its chapter.
const PAGE: [(&str, Source); 38] = [
    (SCORES, File("scores")),
    (SCORES, File("human_data")),
    (SCORES, File("human_relabelled")),
    (SCORES, File("human_choices")),
    (SCORES, Computed(computed::frontier::table)),
    (SCORES, File("small_rounds")),
    (SCORES, File("frontier")),
    (SCORES, File("changes")),
    (SCORES, File("own_task")),
    (MODELS_AND_INTEGERS, Computed(computed::models)),
    (MODELS_AND_INTEGERS, File("parity")),
    (MODELS_AND_INTEGERS, File("undecided")),
    (MODELS_AND_INTEGERS, File("weight_rounding")),
    (MODELS_AND_INTEGERS, File("success_in_4_bits")),
    (MODELS_AND_INTEGERS, File("calibration_episodes")),
    (MICROCONTROLLERS, Computed(computed::plans)),
    (MICROCONTROLLERS, Computed(computed::plan_times)),
    (MICROCONTROLLERS, File("images")),
    (MICROCONTROLLERS, File("episode")),
    (MICROCONTROLLERS, File("real_time")),
    (MICROCONTROLLERS, File("microbit")),
    (MICROCONTROLLERS, File("inner_loops")),
    (MICROCONTROLLERS, File("weight_bits")),
    (BUDGETS, Computed(computed::plan_budgets)),
    (BUDGETS, Computed(computed::firmware_budgets)),
    (BUDGETS, Computed(computed::image_budgets)),
    (BUDGETS, Computed(computed::host_budgets)),
    (SIMULATOR, File("env")),
    (SIMULATOR, File("env_solver")),
    (SIMULATOR, File("env_limit")),
    (SIMULATOR, File("vector")),
    (SIMULATOR, File("python")),
    (SIMULATOR, File("pixels")),
    (HOST, File("host_plans")),
    (HOST, File("float_pass")),
    (HOST, File("training_step")),
    (HOST, File("expert")),
    (AGREEMENT, File("agreement")),
];
const SCORES: &str = "Scores";
const MODELS_AND_INTEGERS: &str = "Models and integers";
const MICROCONTROLLERS: &str = "On microcontrollers";
const BUDGETS: &str = "Budgets";
const SIMULATOR: &str = "Simulator and environments";
const HOST: &str = "Policies, training and demonstrations on the host";
const AGREEMENT: &str = "Agreement with the original programs";

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

#[test]
fn the_page_of_figures_is_what_the_command_writes() {
    for (path, text) in written() {
        let committed = std::fs::read_to_string(repository().join(path)).unwrap();
        assert!(
            committed == text,
            "{path} differs from its inputs: run `cargo verify figures`"
        );
    }
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
    for (path, text) in written() {
        std::fs::write(repository().join(path), text).unwrap();
    }
}

/// The page and its picture: paths and contents.
fn written() -> [(&'static str, String); 2] {
    [
        ("docs/figures.md", page()),
        ("docs/frontier.svg", computed::frontier::picture()),
    ]
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut last = "";
    for (chapter, source) in PAGE {
        if chapter != last {
            page += &format!("\n## {chapter}\n");
            last = chapter;
        }
        page += &match source {
            File(name) => result::<Table>(name),
            Computed(table) => table(),
        }
        .markdown();
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

/// `text` in lines of up to 100 characters; code is not broken.
fn wrapped(text: &str) -> String {
    let mut is_code = false;
    let is_break = |character| {
        is_code ^= character == '`';
        character == ' ' && !is_code
    };
    let mut lines = vec![String::new()];
    for word in text.split(is_break) {
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

/// The contents of `tests/figures/<name>.json`.
fn result<T: DeserializeOwned>(name: &str) -> T {
    let path = repository().join(format!("tests/figures/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
