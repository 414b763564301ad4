//! All remaining set-up and every test: `cargo verify`.

mod clients;
mod python;
mod qemu;
mod setup;
mod step;
mod steps;
mod supply;
#[cfg(test)]
mod targets;

use clap::Parser;
use indicatif::HumanDuration;
use std::process::ExitCode;
use std::time::Instant;
use step::Step;

/// Does all remaining set-up and runs every test; logs go to target/verify/.
///
/// Example: cargo verify          everything
///
/// Example: cargo verify qemu     the steps with "qemu" in their name
#[derive(Parser)]
#[command(name = "cargo verify", verbatim_doc_comment)]
struct Args {
    /// Only the steps whose name contains one of these words.
    words: Vec<String>,
    /// Lists the steps without running them.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let is_named = |step: &Step| args.words.iter().any(|word| step.name.contains(word));
    let mut chosen = steps::all();
    chosen.retain(|step| args.words.is_empty() || is_named(step));
    let lists_all = args.list && args.words.is_empty();
    chosen.extend(
        steps::by_hand()
            .into_iter()
            .filter(|step| lists_all || is_named(step)),
    );
    if chosen.is_empty() {
        eprintln!("error: no step is called so; cargo verify --list names them");
        return ExitCode::FAILURE;
    }
    if args.list {
        for step in &chosen {
            println!("{:18} {}", step.name, step.purpose);
        }
        return ExitCode::SUCCESS;
    }

    let start = Instant::now();
    let width = chosen.len().to_string().len();
    let mut failed = Vec::new();
    for (index, step) in chosen.iter().enumerate() {
        let place = format!("[{:>width$}/{}]", index + 1, chosen.len());
        if !step::run(step, &place) {
            failed.push(step.name);
        }
    }
    println!("in {}", HumanDuration(start.elapsed()));
    for name in &failed {
        println!("failed: {name} (again alone: cargo verify {name})");
    }
    println!(
        "{} passed, {} failed",
        chosen.len() - failed.len(),
        failed.len()
    );
    ExitCode::from(u8::from(!failed.is_empty()))
}
