//! The command line: see `pusht --help`.

use clap::{Parser, Subcommand};
use pusht_gym::vector::run_if_worker;
use pusht_host::{cmd, stdout};
use std::process::ExitCode;

/// PushT and its diffusion policy: simulate, replay, train, quantise, evaluate, render.
///
/// Without a command: plays 50 episodes with the shipped policy and writes one of them as a GIF.
#[derive(Debug, Parser)]
#[command(name = "pusht", version, after_long_help = PROMISES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What holds for every command; docs/commands.md explains it.
const PROMISES: &str = "\
Files: an output file is written whole or not at all; an existing one is replaced once the new one is
whole. Where its path is a symbolic link, the file that it leads to is replaced; a device or a pipe
is written as it is. Policies, model files, results and checkpoints are on the disk when the command
says so or ends. Input files are regular files of at most 4 GiB.

Exit codes: 0 success; 1 an error, told in one line; 2 wrong arguments; 141 the reader of standard
output is gone (the files that were asked for are written all the same).";

#[derive(Debug, Subcommand)]
enum Command {
    Rollout(cmd::rollout::Args),
    Collect(cmd::collect::Args),
    Replay(cmd::replay::Args),
    Eval(cmd::eval::Args),
    Compare(cmd::compare::Args),
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
    let cli: Cli = match stdout::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let result = match cli.command {
        None => cmd::demo::run(),
        Some(Command::Rollout(args)) => cmd::rollout::run(&args),
        Some(Command::Collect(args)) => cmd::collect::run(&args),
        Some(Command::Replay(args)) => cmd::replay::run(&args),
        Some(Command::Eval(args)) => cmd::eval::run(&args),
        Some(Command::Compare(args)) => cmd::compare::run(&args),
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
    stdout::exit_code(result)
}
