//! Runs the tests in an ELF file in QEMU, each in a machine of its own, as `probe-rs run` does on a
//! board: embedded-test names each test by a symbol, and starts the one whose address it gets as
//! the semihosting argument `run_addr ADDRESS`.

use crate::qemu::{Setup, run_with};
use crate::{Board, Log, regular_file};
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol};
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// Section of the tests: for each, the address of the function, and the place of its module's name.
const SECTION: &str = ".embedded_test";
/// The only version of the format so far, a word in the section.
const VERSION_SYMBOL: &str = "EMBEDDED_TEST_VERSION";
const VERSION: u32 = 1;
/// embedded-test's own default, for a board.
const DEFAULT_TIMEOUT_S: u64 = 60;
/// QEMU on a busy machine is slower than a board.
const TIMES_A_BOARD: u64 = 10;

/// A test in an ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnTarget {
    /// Name of the function.
    pub name: String,
    /// Address of the function that runs it.
    address: u32,
    /// Whether it runs only when it is asked for.
    pub is_ignored: bool,
    /// Whether it is to fail.
    should_panic: bool,
    limit: Duration,
}

/// What a symbol says of its test.
#[derive(Deserialize)]
struct Named {
    name: String,
    ignored: bool,
    should_panic: bool,
    timeout: Option<u64>,
}

/// The tests in the ELF file at `path`, in the order of their names; none if it is a program.
///
/// # Errors
/// If the file can't be read, is no ELF file, or has tests in another format.
pub fn tests_in(path: &Path) -> Result<Vec<OnTarget>> {
    let bytes = regular_file::read(path)?;
    let file = object::File::parse(bytes.as_slice()).with_context(|| path.display().to_string())?;
    let Some(section) = file.section_by_name(SECTION) else {
        return Ok(Vec::new());
    };
    let data = section.data()?;
    let word_at = |address: u64| {
        let at = usize::try_from(address.checked_sub(section.address())?).ok()?;
        let word = data.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(word))
    };
    let mut tests = Vec::new();
    for symbol in file.symbols() {
        let (Ok(name), word) = (symbol.name(), word_at(symbol.address())) else {
            continue;
        };
        if name == VERSION_SYMBOL {
            let is_known = word == Some(VERSION);
            ensure!(is_known, "{}: tests of another format", path.display());
        }
        if symbol.section_index() != Some(section.index()) || !name.starts_with('{') {
            continue;
        }
        let named: Named = serde_json::from_str(name).with_context(|| format!("symbol {name}"))?;
        tests.push(OnTarget {
            address: word.with_context(|| format!("no address of {}", named.name))?,
            name: named.name,
            is_ignored: named.ignored,
            should_panic: named.should_panic,
            limit: Duration::from_secs(TIMES_A_BOARD * named.timeout.unwrap_or(DEFAULT_TIMEOUT_S)),
        });
    }
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tests)
}

impl OnTarget {
    /// Runs the test in QEMU; `on_line` gets its log.
    ///
    /// # Errors
    /// Why it has failed.
    pub fn run(&self, board: &Board, elf: &Path, on_line: impl FnMut(&str)) -> Result<()> {
        let setup = Setup {
            arguments: vec!["run_addr".to_owned(), self.address.to_string()],
            ..Setup::COUNTING
        };
        let log = run_with(&setup, board, elf, self.limit, on_line)?;
        self.verdict(&log)
    }

    fn verdict(&self, log: &Log) -> Result<()> {
        let code = log.exit_code.context("QEMU was ended by a signal")?;
        match (code == 0, self.should_panic) {
            (true, false) | (false, true) => Ok(()),
            (true, true) => anyhow::bail!("it should have panicked"),
            (false, false) => anyhow::bail!("exit code {code}"),
        }
    }
}

/// Runs those of `tests` whose names contain `part`, all or only those that are ignored otherwise;
/// `print` gets a line for each, and the log of each that fails.
///
/// # Errors
/// If a test fails, or there is none to run.
pub fn run_all(
    board: &Board,
    elf: &Path,
    part: &str,
    is_ignored: bool,
    mut print: impl FnMut(&str),
) -> Result<()> {
    let tests = tests_in(elf)?;
    let is_named = |test: &&OnTarget| test.name.contains(part) && test.is_ignored == is_ignored;
    let chosen: Vec<&OnTarget> = tests.iter().filter(is_named).collect();
    ensure!(
        !chosen.is_empty(),
        "no test to run; {part:?} is part of no name"
    );
    let mut n_failed = 0;
    for test in &chosen {
        let mut log = Vec::new();
        match test.run(board, elf, |line| log.push(line.to_owned())) {
            Ok(()) => print(&format!("test {} ... ok", test.name)),
            Err(error) => {
                n_failed += 1;
                print(&format!("test {} ... FAILED: {error:#}", test.name));
                log.iter().for_each(|line| print(&format!("    {line}")));
            }
        }
    }
    let (n_passed, n_left) = (chosen.len() - n_failed, tests.len() - chosen.len());
    print(&format!(
        "{n_passed} passed, {n_failed} failed, {n_left} left out"
    ));
    ensure!(n_failed == 0, "tests failed on {}", board.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(should_panic: bool) -> OnTarget {
        OnTarget {
            name: "a".into(),
            address: 1,
            is_ignored: false,
            should_panic,
            limit: Duration::from_secs(1),
        }
    }

    #[test]
    fn only_the_exit_code_that_is_expected_is_a_success() {
        let log = |exit_code| Log {
            lines: Vec::new(),
            exit_code,
        };
        assert!(test(false).verdict(&log(Some(0))).is_ok());
        assert!(test(true).verdict(&log(Some(1))).is_ok());
        for (should_panic, code) in [
            (false, Some(1)),
            (true, Some(0)),
            (false, None),
            (true, None),
        ] {
            assert!(test(should_panic).verdict(&log(code)).is_err());
        }
    }
}
