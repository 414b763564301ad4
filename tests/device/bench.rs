//! What a plan costs on every core that QEMU has: `pusht bench plan`.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use pusht_device::{BOARDS, Board, Log, build, is_qemu_there, outln, run, stdout};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(600);

/// Counts the instructions of convolutions and of whole plans on every core that QEMU has.
#[derive(Debug, Parser)]
#[command(name = "pusht bench plan")]
struct Args {
    /// Only these boards [default: all].
    #[arg(long = "board", value_name = "NAME")]
    boards: Vec<String>,
    /// Writes the table as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Instructions per multiplication of CMSIS-NN's int8 convolution (`arm_convolve_1_x_n_s8`,
/// `arm_nn_mat_mult_nt_t_s8`; GCC 12 -O3) for the same layer, counted in the same way.
const CMSIS_NN: [(&str, &str); 6] = [
    ("mps2-an386", "1.94 to 2.03"),
    ("mps2-an500", "1.94 to 2.03"),
    ("mps2-an505", "1.94 to 2.03"),
    ("mps3-an547", "0.25 to 0.35"),
    ("mps2-an385", "2.83 to 3.09"),
    ("mps2-an385-v6m", "not measured"),
];

/// Figures of one board, in instructions executed.
#[derive(Serialize)]
struct Figures {
    board: &'static str,
    core: &'static str,
    /// Instructions per multiplication of a convolution of 64 channels to 64, 3 taps, at 8, 4 and 2
    /// positions.
    conv_8_positions: f64,
    conv_4_positions: f64,
    conv_2_positions: f64,
    /// The same with weights of 4 bits.
    conv_8_positions_4_bits: f64,
    conv_4_positions_4_bits: f64,
    conv_2_positions_4_bits: f64,
    cmsis_nn_int8: &'static str,
    best: Plan,
    small: Plan,
    stack_bytes: u64,
}

/// A whole plan.
#[derive(Serialize)]
struct Plan {
    instructions: u64,
    multiplications: u64,
    /// Share of the instructions outside convolutions and projections.
    share_beyond_products: f64,
}

fn main() -> ExitCode {
    match stdout::parse() {
        Ok(args) => stdout::exit_code(bench(&args)),
        Err(code) => code,
    }
}

fn bench(args: &Args) -> Result<()> {
    let boards = if args.boards.is_empty() {
        BOARDS.to_vec()
    } else {
        let named = args.boards.iter().map(|name| Board::named(name));
        named.collect::<Result<_>>()?
    };
    if !is_qemu_there() {
        outln!("skipped: qemu-system-arm is not there; `cargo verify qemu-install` installs it");
        return Ok(());
    }
    outln!(
        "Instructions, counted by QEMU. Per multiplication of a convolution (64 channels to 64, 3 taps, 8 positions, all of the layer),
with weights of 8 bits and of 4; of a whole plan, in millions, with the share beyond convolutions and projections.

{:44} {:>6} {:>6} {:>15} {:>16} {:>16}",
        "core", "8 bits", "4 bits", "CMSIS-NN int8", "pusht.ptm", "pusht-small.ptm"
    );
    let mut table = Vec::new();
    for board in &boards {
        let figures = measure(board)?;
        outln!(
            "{:44} {:6.3} {:6.3} {:>15} {:>16} {:>16}",
            figures.core,
            figures.conv_8_positions,
            figures.conv_8_positions_4_bits,
            figures.cmsis_nn_int8,
            figures.best.cell(),
            figures.small.cell()
        );
        table.push(figures);
    }
    if let Some(path) = &args.json {
        let mut json = serde_json::to_vec_pretty(&table)?;
        json.push(b'\n');
        std::fs::write(path, json).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn measure(board: &Board) -> Result<Figures> {
    let elf = build("bench", board, None)?;
    let log = run(board, &elf, LIMIT, |_| ())?;
    ensure!(
        log.exit_code == Some(0),
        "bench failed on {}:\n{}",
        board.name,
        log.lines.join("\n")
    );
    let conv = |layer: &str| {
        let value = |what| number(&log, &format!("{layer}_{what}"));
        Ok::<_, anyhow::Error>(value("instructions")? as f64 / value("multiplications")? as f64)
    };
    let cmsis_nn = CMSIS_NN.iter().find(|(name, _)| *name == board.name);
    Ok(Figures {
        board: board.name,
        core: board.core,
        conv_8_positions: conv("layer_8")?,
        conv_4_positions: conv("layer_4")?,
        conv_2_positions: conv("layer_2")?,
        conv_8_positions_4_bits: conv("nibbles_8")?,
        conv_4_positions_4_bits: conv("nibbles_4")?,
        conv_2_positions_4_bits: conv("nibbles_2")?,
        cmsis_nn_int8: cmsis_nn.map_or("not measured", |(_, figures)| figures),
        best: Plan::read(&log, "best")?,
        small: Plan::read(&log, "small")?,
        stack_bytes: number(&log, "stack_bytes")?,
    })
}

impl Plan {
    fn read(log: &Log, model: &str) -> Result<Self> {
        let value = |what| number(log, &format!("{model}_{what}"));
        let instructions = value("plan_instructions")?;
        let in_products = value("product_instructions")?;
        Ok(Self {
            instructions,
            multiplications: value("multiplications")?,
            share_beyond_products: 1.0 - in_products as f64 / instructions as f64,
        })
    }

    fn cell(&self) -> String {
        let millions = self.instructions as f64 / 1e6;
        format!("{millions:.2}, {:.1} %", 100.0 * self.share_beyond_products)
    }
}

fn number(log: &Log, name: &str) -> Result<u64> {
    log.value(name)?.parse().with_context(|| name.to_owned())
}
