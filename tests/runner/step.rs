//! One step of `cargo verify`: runs its commands, keeps their output in a file, shows it if one
//! fails.

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use pusht_device::outln;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Number of lines of a failing step's output that are shown; the file has all of them.
const LINES_SHOWN: usize = 60;

/// Commands that must succeed.
pub struct Step {
    /// Name on the command line.
    pub name: &'static str,
    /// Purpose, for `--list`.
    pub purpose: &'static str,
    /// The commands in order; an error says why they cannot be run.
    pub commands: fn() -> Result<Vec<Command>>,
}

/// Output of a step and the counts found in it.
#[derive(Default)]
struct Outcome {
    lines: Vec<String>,
    tests_passed: u64,
    tests_ignored: u64,
}

/// Runs `step`, prints the result and returns whether it succeeded.
pub fn run(step: &Step, place: &str) -> bool {
    let start = Instant::now();
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(200));
    let mut outcome = Outcome::default();
    let result = run_commands(step, &mut outcome, |line| {
        spinner.set_message(format!("{place} {} {line}", step.name));
    });
    spinner.finish_and_clear();
    let word = if result.is_ok() { "ok" } else { "FAILED" };
    let seconds = start.elapsed().as_secs_f64();
    outln!(
        "{place} {:14} {word:6} {seconds:6.1} s{}",
        step.name,
        outcome.tests()
    );
    for line in outcome.lines.iter().filter(|l| l.starts_with("skipped:")) {
        outln!("        {line}");
    }
    if let Err(error) = &result {
        let hidden = outcome.lines.len().saturating_sub(LINES_SHOWN);
        for line in &outcome.lines[hidden..] {
            outln!("    | {line}");
        }
        outln!("    {error:#}");
    }
    result.is_ok()
}

fn run_commands(step: &Step, outcome: &mut Outcome, mut on_line: impl FnMut(&str)) -> Result<()> {
    let path = log_path(step.name)?;
    let mut log = File::create(&path).with_context(|| path.display().to_string())?;
    for mut command in (step.commands)()? {
        let words = words_of(&command);
        writeln!(log, "$ {words}")?;
        let (reader, writer) = std::io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start: {words}"))?;
        // `command` holds a writing end of the pipe; the reader ends when all of them are closed.
        drop(command);
        for line in BufReader::new(reader).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            writeln!(log, "{line}")?;
            on_line(&line);
            outcome.take(line);
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("{status}: {words}; all of its output: {}", path.display());
        }
    }
    Ok(())
}

impl Outcome {
    fn take(&mut self, line: String) {
        if let Some(counts) = line.strip_prefix("test result:") {
            self.tests_passed += count_before(counts, "passed");
            self.tests_ignored += count_before(counts, "ignored");
        }
        self.lines.push(line);
    }

    fn tests(&self) -> String {
        match (self.tests_passed, self.tests_ignored) {
            (0, 0) => String::new(),
            (passed, 0) => format!("  {passed} tests"),
            (passed, ignored) => format!("  {passed} tests, {ignored} left to other steps"),
        }
    }
}

/// The number before `word` in libtest's summary: `ok. 3 passed; 0 failed; ...`.
fn count_before(counts: &str, word: &str) -> u64 {
    let words: Vec<&str> = counts.split([' ', ';']).collect();
    words
        .windows(2)
        .find(|pair| pair[1] == word)
        .and_then(|pair| pair[0].parse().ok())
        .unwrap_or(0)
}

fn words_of(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn log_path(step: &str) -> Result<PathBuf> {
    let folder = pusht_device::target_dir().join("verify");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder.join(format!("{step}.log")))
}
