//! `cargo firmware report`: everything that a board can be measured by, as one JSON file.

use crate::probe::{self, Attached};
use crate::{
    Board, Log, Port, Setup, build, firmware_dir, flash_and_run, qemu_version, run_beside, run_with,
};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Episodes of `controller`: these seeds of `pusht link`.
const SEEDS: &str = "100000..100010";
/// Longest time of one binary: a thousand plans of each model take some three minutes on a board.
const LIMIT: Duration = Duration::from_secs(1200);

/// What measures a board.
#[derive(Clone, Debug)]
pub enum Bench {
    /// QEMU.
    Qemu,
    /// A debug probe; the host talks to `controller` at this serial port.
    Probe(PathBuf),
}

/// Measurements of a board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the board, as in `cargo firmware --board`.
    pub board: String,
    /// Its core.
    pub core: String,
    /// Its chip.
    pub chip: String,
    /// QEMU and its version, where the board was emulated.
    pub emulator: Option<String>,
    /// The debug probe, as `probe-rs list` names it.
    pub probe: Option<String>,
    /// Versions of programs, and the commit of this repository.
    pub versions: Versions,
    /// Digests that are equal on every machine.
    pub digests: Digests,
    /// What counted cycles: the core (`DWT`) or, where that is absent, its timer.
    pub counter: String,
    /// Cycles of plans of the larger and of the smaller policy.
    pub plans: [Plans; 2],
    /// The episode in real time.
    pub realtime: RealTime,
    /// Episodes over the serial link: `N of N episodes, bit for bit`.
    pub controller: String,
    /// Deepest stack of each binary, bytes.
    pub stack_bytes: Stacks,
}

/// Versions of programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// The commit, and `-dirty` behind it if files differ from it.
    pub commit: String,
    /// The compiler.
    pub rustc: String,
    /// probe-rs.
    pub probe_rs: Option<String>,
}

/// Digests that are equal on every machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Digests {
    /// The simulator.
    pub physics: String,
    /// Plans.
    pub plans: String,
    /// Both in a closed loop.
    pub closed_loop: String,
    /// Actions in real time.
    pub actions: String,
    /// States in real time.
    pub states: String,
}

/// Cycles of plans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plans {
    /// How many were measured.
    pub n: u64,
    /// The fewest.
    pub min: u64,
    /// The median.
    pub median: u64,
    /// The most.
    pub max: u64,
}

/// The episode in real time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RealTime {
    /// Longest plan, beside the interrupt, us.
    pub plan_us_max: u64,
    /// Longest run of the interrupt, us.
    pub turn_us_max: u64,
    /// Longest latency of the interrupt, us.
    pub latency_us_max: u64,
}

/// Deepest stacks, bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stacks {
    /// Of `selftest`.
    pub selftest: u64,
    /// Of `bench`.
    pub bench: u64,
    /// Of `realtime`.
    pub realtime: u64,
}

/// Measures `board`; `on_line` gets each line of its logs.
///
/// # Errors
/// If there is no probe or no QEMU, a binary does not build, or a run fails or differs from the
/// host's.
pub fn report(board: &Board, bench: &Bench, mut on_line: impl FnMut(&str)) -> Result<Report> {
    let chip = board.chip.context("QEMU alone has this board")?;
    let attached = match bench {
        Bench::Qemu => None,
        Bench::Probe(_) => Some(probe::attached()?),
    };
    let mut run = |binary: &str| {
        on_line(&format!("-- {binary}"));
        run_to_success(binary, board, bench, &mut on_line)
    };
    let (selftest, bench_log, realtime) = (run("selftest")?, run("bench")?, run("realtime")?);
    on_line("-- controller");
    let controller = play(board, bench)?;
    on_line(&controller);
    Ok(Report {
        board: board.name.to_owned(),
        core: board.core.to_owned(),
        chip: chip.to_owned(),
        emulator: match bench {
            Bench::Qemu => qemu_version().map(|(major, minor)| format!("QEMU {major}.{minor}")),
            Bench::Probe(_) => None,
        },
        versions: Versions {
            commit: output("git", &["describe", "--always", "--dirty"])?,
            rustc: output("rustc", &["--version"])?,
            probe_rs: attached.as_ref().map(|it| it.version.clone()),
        },
        probe: attached.map(|Attached { probe, .. }| probe),
        digests: Digests {
            physics: text(&selftest, "physics_digest")?,
            plans: text(&selftest, "plans_digest")?,
            closed_loop: text(&selftest, "closed_loop_digest")?,
            actions: text(&realtime, "action_digest")?,
            states: text(&realtime, "state_digest")?,
        },
        counter: counter(&bench_log).to_owned(),
        plans: [plans(&bench_log, "best")?, plans(&bench_log, "small")?],
        realtime: RealTime {
            plan_us_max: number(&realtime, "plan_us_max")?,
            turn_us_max: number(&realtime, "turn_us_max")?,
            latency_us_max: number(&realtime, "latency_us_max")?,
        },
        controller,
        stack_bytes: Stacks {
            selftest: number(&selftest, "stack_bytes")?,
            bench: number(&bench_log, "stack_bytes")?,
            realtime: number(&realtime, "stack_bytes")?,
        },
    })
}

fn run_to_success(
    binary: &str,
    board: &Board,
    bench: &Bench,
    on_line: &mut impl FnMut(&str),
) -> Result<Log> {
    let elf = build(binary, board, None)?;
    let log = match bench {
        Bench::Qemu => run_with(&Setup::of(binary, board, 0)?, board, &elf, LIMIT, on_line)?,
        Bench::Probe(_) => flash_and_run(board, &elf, LIMIT, on_line)?,
    };
    let tail = log.lines.last().map_or("", String::as_str);
    ensure!(
        log.exit_code == Some(0),
        "{binary} failed on {}; its last line: {tail}",
        board.name
    );
    Ok(log)
}

/// Plays the episodes over the serial link, and returns how many equal the host's.
fn play(board: &Board, bench: &Bench) -> Result<String> {
    let elf = build("controller", board, None)?;
    match bench {
        Bench::Qemu => {
            let setup = Setup::serving(Port::open(0)?);
            let port = setup.serial.as_ref().context("the setup serves")?;
            let wire = ["--tcp".to_owned(), port.address()?.to_string()];
            let (equal, _) = run_beside(&setup, board, &elf, LIMIT, || link(&wire))?;
            Ok(equal)
        }
        Bench::Probe(port) => {
            let wire = ["--port".to_owned(), port.display().to_string()];
            probe::flash_and_run_beside(board, &elf, LIMIT, || link(&wire))
        }
    }
}

/// Runs `pusht link` and returns its result.
fn link(wire: &[String]) -> Result<String> {
    let root = firmware_dir();
    let mut pusht = Command::new(env!("CARGO"));
    pusht
        .args(["run", "--quiet", "--release", "--package", "pusht-host"])
        .args(["--bin", "pusht", "--", "link", "--check", "--seeds", SEEDS])
        .args(wire)
        .current_dir(root.parent().unwrap_or(&root))
        .stdin(Stdio::null());
    let output = pusht.output().context("cargo cannot be started")?;
    let (out, err) = (&output.stdout, &output.stderr);
    let out = String::from_utf8_lossy(out);
    ensure!(
        output.status.success(),
        "pusht link failed:\n{out}{}",
        String::from_utf8_lossy(err)
    );
    let mut lines = out.lines();
    let equal = lines.find_map(|line| line.strip_prefix("equal to the host's"));
    Ok(equal
        .context("pusht link says no result")?
        .trim()
        .to_owned())
}

fn plans(log: &Log, model: &str) -> Result<Plans> {
    let value = |what: &str| number(log, &format!("{model}_{what}"));
    Ok(Plans {
        n: value("plans")?,
        min: value("plan_cycles_min")?,
        median: value("plan_cycles")?,
        max: value("plan_cycles_max")?,
    })
}

fn counter(log: &Log) -> &'static str {
    let is_absent = |line: &String| line.contains("absent: DWT");
    match log.lines.iter().any(is_absent) {
        true => "timer",
        false => "DWT",
    }
}

fn text(log: &Log, name: &str) -> Result<String> {
    log.value(name).map(str::to_owned)
}

fn number(log: &Log, name: &str) -> Result<u64> {
    log.value(name)?.parse().with_context(|| name.to_owned())
}

/// The first line that `program` prints in this repository.
fn output(program: &str, words: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    let output = command
        .args(words)
        .current_dir(firmware_dir())
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Writes the report.
///
/// # Errors
/// If the file cannot be written.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    std::fs::write(path, json).with_context(|| path.display().to_string())
}
