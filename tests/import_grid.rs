//! Many configurations that LeRobot and diffusion_policy saved, imported and asked for one plan
//! each (tests/oracle/import_grid.py). The table in docs/from-python.md is this test's result.

mod tolerances;

use pusht_core::noise::{I8F24, Noise};
use pusht_core::policy::unet::Unobserved;
use pusht_core::pusht::observation::observe;
use pusht_host::float_engine::FloatPolicy;
use pusht_host::import::{self, Imported, Options, Weights};
use pusht_host::policy_file::{self, Observation};
use pusht_host::quantize::{self, Bits, CalibrationData};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Set to write the table instead of comparing it.
const WRITE: &str = "PUSHT_WRITE_GRID";

/// Lines around the table in docs/from-python.md.
const START: &str = "<!-- Written by tests/import_grid.rs. -->\n";
const END: &str = "<!-- End of the table. -->\n";

#[derive(Deserialize)]
struct Grid {
    versions: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    program: String,
    what: String,
    /// Files of the checkpoint, with where the archive has them.
    files: BTreeMap<String, String>,
    path: String,
    /// Options of `pusht import`.
    options: Vec<String>,
    /// Words of the refusal.
    refused: Option<Vec<String>>,
    /// States of PushT, or observations of another task.
    #[serde(default)]
    states: Vec<[f64; 5]>,
    #[serde(default)]
    obs: Vec<Vec<f64>>,
    /// Every number that the original program drew.
    #[serde(default)]
    noise: Vec<f64>,
    #[serde(default)]
    actions: Vec<Vec<f64>>,
}

/// Numbers drawn by the original program.
struct Given(std::vec::IntoIter<f64>);

impl Noise for Given {
    fn next_gaussian(&mut self) -> I8F24 {
        I8F24::from_num(self.0.next().expect("as many as upstream draws"))
    }
}

/// The archive, unpacked.
fn unpacked() -> (tempfile::TempDir, Grid) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/import/grid.zip");
    let folder = tempfile::tempdir().unwrap();
    let archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap());
    archive.unwrap().extract(folder.path()).unwrap();
    let grid = std::fs::read_to_string(folder.path().join("grid.json")).unwrap();
    (folder, serde_json::from_str(&grid).unwrap())
}

impl Case {
    /// Puts the case's checkpoint together; returns what `pusht import` is given.
    fn place(&self, stored: &Path, folder: &Path) -> PathBuf {
        for (name, place) in &self.files {
            let to = folder.join(name);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(stored.join(place), to).unwrap();
        }
        folder.join(&self.path)
    }

    fn options(&self) -> Options {
        let mut options = Options::default();
        match self.options.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => {}
            ["--live"] => options.weights = Some(Weights::Live),
            ["--ema"] => options.weights = Some(Weights::Ema),
            ["--observation", "state"] => options.observation = Some(Observation::State),
            ["--observation", "vertices"] => options.observation = Some(Observation::Vertices),
            ref other => panic!("{}: {other:?}", self.name),
        }
        options
    }

    /// Observations of the plan, `[To][Do]`.
    fn window(&self, policy: &FloatPolicy) -> Vec<f64> {
        let Some(kind) = policy.observation() else {
            let states = self.states.iter().map(|state| state.to_vec());
            assert!(self.states.is_empty() || policy.task().observation.len() == 18);
            // PushT's sizes under another name: LeRobot's order.
            let rows = states
                .map(|state| lerobot_order(&state))
                .collect::<Vec<_>>();
            return [rows, self.obs.clone()].concat().concat();
        };
        let mut window = vec![0.0; self.states.len() * kind.dim()];
        for (state, row) in self.states.iter().zip(window.chunks_exact_mut(kind.dim())) {
            observe(kind, state, row).unwrap();
        }
        window
    }

    /// Largest difference of an executed action from the original program's.
    fn difference(&self, policy: &mut FloatPolicy) -> f64 {
        let mut noise = Given(self.noise.clone().into_iter());
        let window = self.window(policy);
        let plan = policy.predict(&[&window], &mut noise, &mut Unobserved);
        let plan = plan.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let drawn = noise.0.len();
        assert_eq!(
            drawn, 0,
            "{}: {drawn} numbers more than upstream",
            self.name
        );
        let (dim, steps) = (policy.task().action.len(), policy.action_steps());
        let executed = &plan[dim * steps.start..dim * steps.end];
        let expected = self.actions.concat();
        assert_eq!(executed.len(), expected.len(), "{}", self.name);
        let pairs = executed.iter().zip(&expected);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }
}

/// Observation in LeRobot's order: the agent, then the vertices.
fn lerobot_order(state: &[f64]) -> Vec<f64> {
    let kind = Observation::Vertices.into();
    let mut row = vec![0.0; 18];
    observe(kind, state.try_into().unwrap(), &mut row).unwrap();
    row.rotate_right(2);
    row
}

/// Windows around the case's observation.
fn windows(window: &[f64]) -> Vec<Vec<f64>> {
    let moved = |index: usize, at: usize| 7.0 * ((index * 31 + at * 17) % 13) as f64 - 42.0;
    let window = |index| {
        let values = window.iter().enumerate();
        values.map(|(at, value)| value + moved(index, at)).collect()
    };
    (0..24).map(window).collect()
}

/// Whether the policy becomes integers, or why not.
fn integers(policy: &FloatPolicy, imported: &Imported, window: &[f64]) -> String {
    let data = CalibrationData::Windows(windows(window), "windows".to_owned());
    let bar = indicatif::ProgressBar::hidden();
    match quantize::model_file(policy, &imported.tensors, &data, Bits::default(), &bar) {
        Ok(_) => "yes".to_owned(),
        Err(error) => format!("no: {error:#}"),
    }
}

/// A row of the table: what, import, difference, integers.
fn row(case: &Case, stored: &Path) -> [String; 4] {
    let folder = tempfile::tempdir().unwrap();
    let path = case.place(stored, folder.path());
    let imported = import::read(&path, &case.options());
    if let Some(words) = &case.refused {
        let error = imported
            .err()
            .unwrap_or_else(|| panic!("{} is imported", case.name));
        let message = format!("{error:#}");
        for word in words {
            assert!(
                message.contains(word),
                "{}: no {word:?} in {message}",
                case.name
            );
        }
        let file = format!("{}: can't import: ", path.display());
        let reason = message
            .replace(&file, "")
            .replace(&path.display().to_string(), "");
        return [
            case.what.clone(),
            format!("no: {reason}"),
            String::new(),
            String::new(),
        ];
    }
    let imported = imported.unwrap_or_else(|error| panic!("{}: {error:#}", case.name));
    // Through a file, as `pusht import` does it.
    let written = folder.path().join("policy.safetensors");
    policy_file::save(&written, &imported.config, &imported.tensors).unwrap();
    let mut policy = FloatPolicy::load(&written).unwrap();
    let difference = case.difference(&mut policy);
    let unit = if policy.observation().is_some() {
        " px"
    } else {
        ""
    };
    println!("{}: {difference:.1e}{unit}", case.name);
    assert!(
        difference <= tolerances::IMPORTED_PX,
        "{}: off by {difference}{unit}",
        case.name
    );
    let integers = integers(&policy, &imported, &case.window(&policy));
    let task = match (policy.observation(), policy.task().name.as_str()) {
        (Some(_), _) => String::new(),
        (None, "") => ", unnamed".to_owned(),
        (None, name) => format!(", {name}"),
    };
    [
        case.what.clone(),
        format!("yes{task}"),
        format!("{difference:.0e}{unit}"),
        integers,
    ]
}

fn table(grid: &Grid, stored: &Path) -> String {
    let versions = grid
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"));
    let versions: Vec<_> = versions.collect();
    let mut text = format!(
        "{} configurations, written and read back by {}.\n",
        grid.cases.len(),
        versions.join(", ")
    );
    for program in ["LeRobot", "diffusion_policy"] {
        write!(
            text,
            "\n| {program} | import | difference | integers |\n| --- | --- | --- | --- |\n"
        )
        .unwrap();
        for case in grid.cases.iter().filter(|case| case.program == program) {
            let [what, import, difference, integers] =
                row(case, stored).map(|cell| cell.replace('|', "\\|"));
            writeln!(text, "| {what} | {import} | {difference} | {integers} |").unwrap();
        }
    }
    text
}

#[test]
fn every_configuration_predicts_what_its_own_program_does() {
    let (folder, grid) = unpacked();
    let table = table(&grid, folder.path());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/from-python.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(START).expect("the table's first line");
    let (written, after) = rest.split_once(END).expect("the table's last line");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(
            &path,
            [before, START, "\n", &table, "\n", END, after].concat(),
        )
        .unwrap();
        return;
    }
    assert!(
        written.trim() == table.trim(),
        "docs/from-python.md has another table; {WRITE}=1 cargo test --test import_grid writes it"
    );
}
