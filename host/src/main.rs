//! The command line: see `pusht --help`.

use clap::{Parser, Subcommand};
use pusht_gym::vector::run_if_worker;
use pusht_host::cmd;
use std::process::ExitCode;

/// PushT and its diffusion policy: simulate, replay, train, quantise, evaluate, render.
///
/// Without a command: plays 50 episodes with the shipped policy and writes one of them as a GIF.
#[derive(Parser)]
#[command(name = "pusht", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Rollout(cmd::rollout::Args),
    Collect(cmd::collect::Args),
    Replay(cmd::replay::Args),
    Eval(cmd::eval::Args),
    Predict(cmd::predict::Args),
    #[cfg(feature = "train")]
    Train(cmd::train::Args),
    Quantize(cmd::quantize::Args),
    Import(cmd::import::Args),
    Info(cmd::info::Args),
    Link(cmd::link::Args),
    Render(cmd::render::Args),
    Bench(cmd::bench::Args),
}

fn main() -> ExitCode {
    // Worker processes of vector environments run this program, too.
    run_if_worker(&pusht_gym::pusht::registry());
    let result = match Cli::parse().command {
        None => cmd::demo::run(),
        Some(Command::Rollout(args)) => cmd::rollout::run(&args),
        Some(Command::Collect(args)) => cmd::collect::run(&args),
        Some(Command::Replay(args)) => cmd::replay::run(&args),
        Some(Command::Eval(args)) => cmd::eval::run(&args),
        Some(Command::Predict(args)) => cmd::predict::run(&args),
        #[cfg(feature = "train")]
        Some(Command::Train(args)) => cmd::train::run(&args),
        Some(Command::Quantize(args)) => cmd::quantize::run(&args),
        Some(Command::Import(args)) => cmd::import::run(&args),
        Some(Command::Info(args)) => cmd::info::run(&args),
        Some(Command::Link(args)) => cmd::link::run(&args),
        Some(Command::Render(args)) => cmd::render::run(&args),
        Some(Command::Bench(args)) => cmd::bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
