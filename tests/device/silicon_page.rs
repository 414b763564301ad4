//! The table of `docs/silicon.md`, made from the reports in `tests/silicon/`.

use crate::firmware_dir;
use crate::report::{Plans, Report};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// What is above it in the page is written by hand.
const MARK: &str = "<!-- below: cargo firmware silicon-table -->\n";

/// The page.
pub fn path() -> PathBuf {
    firmware_dir().with_file_name("docs").join("silicon.md")
}

/// The page with the table of all reports.
///
/// # Errors
/// If the page or a report cannot be read, or a report is not a board's.
pub fn page() -> Result<String> {
    let old = std::fs::read_to_string(path()).with_context(|| path().display().to_string())?;
    let (text, _) = old.split_once(MARK).context("the page has no mark")?;
    let table = table_of(&firmware_dir().with_file_name("tests").join("silicon"))?;
    Ok(format!("{text}{MARK}\n{table}"))
}

/// The table of the reports in `folder`.
///
/// # Errors
/// If a report cannot be read, or is not a board's.
pub fn table_of(folder: &Path) -> Result<String> {
    Ok(table(&reports(folder)?))
}

/// The reports in a folder, by file name.
fn reports(folder: &Path) -> Result<Vec<Report>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|it| it == "json"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Report> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let report: Report =
        serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
    ensure!(
        report.emulator.is_none(),
        "{}: an emulated board has no place in the table",
        path.display()
    );
    Ok(report)
}

fn table(reports: &[Report]) -> String {
    if reports.is_empty() {
        return "No board has been measured yet.\n".to_owned();
    }
    let head = "| board | probe | commit | plan of `pusht`, cycles | of `pusht-small` | longest \
                plan, turn, latency in real time | over the link |\n\
                | --- | --- | --- | --- | --- | --- | --- |\n";
    let rows = reports.iter().map(|report| {
        let [best, small] = &report.plans;
        let time = &report.realtime;
        format!(
            "| {} ({}, {}) | {} | {} | {} | {} | {}, {}, {} us | {} |\n",
            report.board,
            report.chip,
            report.core,
            report.probe.as_deref().unwrap_or("-"),
            report.versions.commit,
            cycles(best),
            cycles(small),
            time.plan_us_max,
            time.turn_us_max,
            time.latency_us_max,
            report.controller
        )
    });
    head.to_owned() + &rows.collect::<String>()
}

/// Minimum, median and maximum.
fn cycles(plans: &Plans) -> String {
    format!(
        "{} / {} / {} of {}",
        plans.min, plans.median, plans.max, plans.n
    )
}
