//! The page of robustness, `docs/robustness.md`, and its picture: composed of
//! `tests/robustness/rows.json`, which `pusht bench robustness` measures. `cargo verify robustness`
//! measures what is missing and writes both.

#[path = "robustness/picture.rs"]
mod picture;
mod svg;

use pusht_host::cmd::bench::robustness::Row;
use pusht_host::evaluate::disturbances::STANDARD;
use pusht_host::evaluate::statistics::Estimate;
use std::path::{Path, PathBuf};

const HEAD: &str = include_str!("robustness/head.md");
const WALLS: &str = include_str!("robustness/walls.md");
const MODELS: [&str; 2] = ["pusht", "pusht-small"];

/// Success rate with its interval.
fn success(row: &Row) -> String {
    let [low, high] = row.success_ci95.map(|share| 100.0 * share);
    format!("{:.1} % ({low:.1} to {high:.1})", 100.0 * row.rate())
}

#[test]
fn the_page_of_robustness_is_what_the_command_writes() {
    let rows = rows();
    for (path, text) in [
        ("docs/robustness.md", page(&rows)),
        ("docs/robustness.svg", picture::draw(&rows)),
    ] {
        let committed = std::fs::read_to_string(repository().join(path)).unwrap();
        assert!(
            committed == text,
            "{path} differs from its input: run `cargo verify robustness`"
        );
    }
}

#[test]
#[ignore = "writes docs/robustness.md: cargo verify robustness"]
fn the_page_is_written() {
    let rows = rows();
    std::fs::write(repository().join("docs/robustness.md"), page(&rows)).unwrap();
    std::fs::write(
        repository().join("docs/robustness.svg"),
        picture::draw(&rows),
    )
    .unwrap();
}

fn page(rows: &[Row]) -> String {
    let mut page = HEAD.to_owned();
    for (engine, extension) in [("Integers", "ptm"), ("Floats", "safetensors")] {
        page += &format!("\n### {engine}\n\n");
        page += &success_table(rows, extension);
    }
    page += "\n## Steps and ways\n\n";
    page +=
        "Integers, with the estimator. An episode without success counts as longer than any.\n\n";
    page += &steps_table(rows);
    page += "\n## Does it hold what it reached?\n\n";
    page += "Integers, nothing disturbed, no estimator: 300 steps after the first success \
             (`--to-the-end`).\n\n";
    page += &held_table(rows);
    page += "\n## What the walls cost\n\n";
    page += WALLS;
    page += &walls_table(rows);
    page += "\n## Growing strengths\n\n";
    page += "Integers, 100 seeds from 400000 on for each point.\n\n";
    page += "![Success against the strength of each disturbance](robustness.svg)\n";
    page
}

/// The first two lines of a table.
fn head(first: &str, columns: &[String]) -> String {
    let line = "| --- ".repeat(1 + columns.len());
    format!("| {first} | {} |\n{line}|\n", columns.join(" | "))
}

/// Success by the goal's least distance from the walls.
fn walls_table(rows: &[Row]) -> String {
    let columns = MODELS.map(|model| format!("`{model}`"));
    let mut table = head("goal at least so far from the walls, px", &columns);
    let goals =
        || (rows.iter()).filter(|row| row.estimator && row.name.starts_with("goal anywhere,"));
    let mut strengths: Vec<f64> = goals().filter_map(|row| row.strength).collect();
    strengths.sort_by(f64::total_cmp);
    strengths.dedup();
    for strength in strengths {
        let cells = MODELS.map(|model| {
            let row = goals()
                .find(|row| row.strength == Some(strength) && row.policy == format!("{model}.ptm"));
            row.map_or("not measured".to_owned(), success)
        });
        table += &format!("| {strength} | {} |\n", cells.join(" | "));
    }
    table
}

/// Success under each disturbance, without and with the estimator.
fn success_table(rows: &[Row], extension: &str) -> String {
    let columns = MODELS.map(|model| [format!("`{model}`"), "with estimator".to_owned()]);
    let mut table = head("disturbance", columns.as_flattened());
    for (name, texts) in STANDARD {
        let cells = MODELS.map(|model| {
            [false, true].map(|estimator| {
                let row = of_set(rows, &format!("{model}.{extension}"), name, estimator);
                row.map_or("not measured".to_owned(), success)
            })
        });
        let options: Vec<String> = texts.iter().map(|text| format!("`{text}`")).collect();
        let label = match options.is_empty() {
            true => name.to_owned(),
            false => format!("{name}: {}", options.join(" ")),
        };
        table += &format!("| {label} | {} |\n", cells.concat().join(" | "));
    }
    table
}

fn steps_table(rows: &[Row]) -> String {
    let mut table = "| disturbance | policy | median | 95th percentile | coverage at the end | \
                     agent's way, px |\n| --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for (name, _) in STANDARD {
        for model in MODELS {
            if let Some(row) = of_set(rows, &format!("{model}.ptm"), name, true) {
                table += &format!(
                    "| {name} | `{model}` | {} | {} | {} | {} |\n",
                    estimate(&row.median_steps_to_success, 0),
                    estimate(&row.p95_steps_to_success, 0),
                    estimate(&row.mean_final_coverage, 3),
                    estimate(&row.mean_way_px, 0),
                );
            }
        }
    }
    table
}

fn held_table(rows: &[Row]) -> String {
    let mut table = "| policy | success | coverage at the end | agent's way, px |\n\
                     | --- | --- | --- | --- |\n"
        .to_owned();
    for row in rows.iter().filter(|row| row.to_the_end) {
        table += &format!(
            "| `{}` | {} | {} | {} |\n",
            row.policy,
            success(row),
            estimate(&row.mean_final_coverage, 3),
            estimate(&row.mean_way_px, 0),
        );
    }
    table
}

fn of_set<'r>(rows: &'r [Row], policy: &str, name: &str, estimator: bool) -> Option<&'r Row> {
    rows.iter().find(|row| {
        row.policy == policy
            && row.name == name
            && row.estimator == estimator
            && !row.to_the_end
            && row.strength.is_none()
    })
}

/// A value with its interval.
fn estimate(of: &Estimate, digits: usize) -> String {
    let text = |value: Option<f64>| value.map_or("never".to_owned(), |v| format!("{v:.digits$}"));
    let [low, high] = of.ci95.map(text);
    format!("{} ({low} to {high})", text(of.value))
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(repository().join("tests/robustness/rows.json")).unwrap();
    let rows: Vec<Row> = serde_json::from_str(&text).unwrap();
    assert!(
        rows.iter()
            .all(|row| row.successes > 0 || row.rate() == 0.0)
    );
    assert!(
        rows.iter()
            .all(|row| row.strength.is_none() || !row.disturbances.is_empty())
    );
    rows
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
