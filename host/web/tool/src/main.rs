//! Builds the browser page and serves it: `cargo web --help`.

use anyhow::Result;
use clap::Parser;
use pusht_host::{outln, stdout};
use pusht_web_tool::{Server, build, target_dir};
use std::process::ExitCode;

/// Builds the browser page into target/web and serves it on 127.0.0.1.
///
/// The folder can be put on any static host as it is. docs/web.md says what the page does.
#[derive(Parser)]
#[command(name = "cargo web", after_help = "Example: cargo web --port 8000")]
struct Args {
    /// Port of 127.0.0.1; 0 is any free one.
    #[arg(long, value_name = "N", default_value_t = 8000)]
    port: u16,
    /// Builds the folder without serving it.
    #[arg(long)]
    build: bool,
}

fn main() -> ExitCode {
    match stdout::parse() {
        Ok(args) => stdout::exit_code(web(&args)),
        Err(code) => code,
    }
}

fn web(args: &Args) -> Result<()> {
    let target = target_dir();
    let folder = target.join("web");
    build(&folder, &target)?;
    if args.build {
        outln!("{}", folder.display());
        return Ok(());
    }
    let server = Server::open(folder, args.port)?;
    outln!("http://{}/", server.address()?);
    server.serve();
    Ok(())
}
