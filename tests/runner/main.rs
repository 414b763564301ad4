//! All remaining set-up and every test: `cargo verify`.

mod arm64;
mod browser;
mod clients;
mod hosts;
mod proofs;
mod python;
mod qemu;
mod setup;
mod step;
mod steps;
mod supply;
#[cfg(test)]
mod targets;

use anyhow::{Result, ensure};
use clap::Parser;
use indicatif::HumanDuration;
use pusht_device::{outln, stdout};
use std::process::ExitCode;
use std::time::Instant;
use step::Step;

/// Does all remaining set-up and runs every test; logs go to target/verify/.
///
/// Example: cargo verify          everything
///
/// Example: cargo verify qemu     the steps with "qemu" in their name
#[derive(Debug, Parser)]
#[command(name = "cargo verify", verbatim_doc_comment)]
struct Args {
    /// Only the steps whose name contains one of these words.
    words: Vec<String>,
    /// Lists the steps without running them.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match stdout::parse() {
        Ok(args) => stdout::exit_code(verify(&args)),
        Err(code) => code,
    }
}

/// Runs or lists the steps that are asked for.
fn verify(args: &Args) -> Result<()> {
    let is_named = |step: &Step| args.words.iter().any(|word| step.name.contains(word));
    let (mut chosen, by_hand) = (steps::all(), steps::by_hand());
    for word in &args.words {
        let mut names = chosen.iter().chain(&by_hand).map(|step| step.name);
        ensure!(
            names.any(|name| name.contains(word)),
            "no step is called {word}; cargo verify --list names them"
        );
    }
    chosen.retain(|step| args.words.is_empty() || is_named(step));
    let lists_all = args.list && args.words.is_empty();
    chosen.extend(
        by_hand
            .into_iter()
            .filter(|step| lists_all || is_named(step)),
    );
    if args.list {
        for step in &chosen {
            outln!("{:18} {}", step.name, step.purpose);
        }
        return Ok(());
    }
    run(&chosen)
}

/// Runs the steps, even after one has failed.
fn run(chosen: &[Step]) -> Result<()> {
    let start = Instant::now();
    let width = chosen.len().to_string().len();
    let mut failed = Vec::new();
    for (index, step) in chosen.iter().enumerate() {
        let place = format!("[{:>width$}/{}]", index + 1, chosen.len());
        if !step::run(step, &place) {
            failed.push(step.name);
        }
    }
    outln!("in {}", HumanDuration(start.elapsed()));
    for name in &failed {
        outln!("failed: {name} (again alone: cargo verify {name})");
    }
    let n_passed = chosen.len() - failed.len();
    ensure!(
        failed.is_empty(),
        "{n_passed} passed, {} failed",
        failed.len()
    );
    outln!("{n_passed} passed, 0 failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_a_step() {
        let list = |words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            verify(&Args { words, list: true })
        };
        list(&["lints", "tests"]).unwrap();
        let message = list(&["lints", "tets"]).unwrap_err().to_string();
        assert!(message.contains("no step is called tets"), "{message}");
    }
}
