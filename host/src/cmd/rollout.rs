//! `pusht rollout`.

use super::eval::SeedingArg;
use crate::arguments::{number, seed};
use crate::output::{check_file, write_whole};
use crate::regular_file;
use anyhow::{Context, Result, ensure};
use pusht_core::pusht::env::{PushTEnv, PushTParams, StartOrder, StartState};
use pusht_core::pusht::observation::STATE_DIM;
use std::path::{Path, PathBuf};

/// Largest size of a value of a start state, px and rad, as of the environment's parameters.
const FARTHEST: f64 = 1e6;
const ACTION_COLUMNS: [&str; 2] = ["action_x", "action_y"];
const ROW_COLUMNS: [&str; 12] = [
    "t",
    "agent_x",
    "agent_y",
    "agent_vx",
    "agent_vy",
    "block_x",
    "block_y",
    "block_angle",
    "coverage",
    "reward",
    "terminated",
    "contacts",
];

/// Step the environment through a file of actions.
///
/// IN is a CSV file with the header `action_x,action_y` and one target position of the agent (px)
/// per line. OUT has a row for the start (t = 0) and one after each action: positions in px,
/// velocities in px/s, the angle in rad (not wrapped), the coverage of the goal, the reward,
/// whether the goal is reached, and the contact points per physics step, rounded up. Numbers have
/// the shortest form that reads back to the same bits. All actions are executed, also after
/// success.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: printf 'action_x,action_y\\n300,250\\n310,260\\n' > actions.csv\n         \
                        pusht rollout --seed 100000 --actions actions.csv --out trajectory.csv"
)]
#[command(group(clap::ArgGroup::new("start").required(true)))]
pub struct Args {
    /// Start state: agent x, y and block x, y (px), block angle (rad)
    #[arg(long, value_name = "AX,AY,BX,BY,THETA", group = "start", allow_hyphen_values = true, value_parser = parse_state)]
    state: Option<[f64; STATE_DIM]>,
    /// Order in which the block's position and angle are set
    #[arg(long, value_enum, default_value = "legacy", conflicts_with = "seed")]
    order: OrderArg,
    /// Start state of this seed
    #[arg(long, value_name = "N", group = "start", value_parser = seed)]
    seed: Option<u64>,
    /// Mapping from a seed to a start state
    #[arg(long, value_enum, default_value = "legacy", conflicts_with = "state")]
    seeding: SeedingArg,
    /// CSV file of actions
    #[arg(long, value_name = "IN.csv")]
    actions: PathBuf,
    /// CSV file to write
    #[arg(long, value_name = "OUT.csv")]
    out: PathBuf,
}

/// [`StartOrder`] on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OrderArg {
    /// Position, then angle, which moves the block: gym-pusht, and diffusion_policy's evaluation
    Legacy,
    /// Angle, then position: resumes a recorded state
    AngleFirst,
}

fn parse_state(text: &str) -> Result<[f64; STATE_DIM]> {
    let parse = number(-FARTHEST..=FARTHEST);
    let values = text.split(',').map(|value| {
        let parsed = parse(value.trim());
        parsed.map_err(|error| anyhow::anyhow!("`{value}` is {error}"))
    });
    let values = values.collect::<Result<Vec<f64>>>()?;
    let count = values.len();
    <[f64; STATE_DIM]>::try_from(values)
        .map_err(|_| anyhow::anyhow!("{STATE_DIM} numbers needed, {count} given"))
}

/// Runs the command.
///
/// # Errors
/// If the actions are invalid, or the trajectory can't be written; no partial file remains.
pub fn run(args: &Args) -> Result<()> {
    check_file(&args.out)?;
    let mut env = start(args)?;
    let actions = read_actions(&args.actions)?;
    let mut rows = csv::Writer::from_writer(Vec::new());
    rows.write_record(ROW_COLUMNS)?;
    rows.write_record(row(0, &env))?;
    for (index, action) in actions.iter().enumerate() {
        let t = index + 1;
        env.step(*action)
            .with_context(|| format!("{}: action {t}", args.actions.display()))?;
        rows.write_record(row(t, &env))?;
    }
    write_whole(&args.out, &rows.into_inner()?)
}

fn start(args: &Args) -> Result<PushTEnv> {
    let (start, order) = match (args.state, args.seed) {
        (Some(state), _) => (StartState::from_state(&state), args.order),
        (None, Some(seed)) => {
            let start = StartState::from_seed(seed, args.seeding.into())
                .with_context(|| format!("--seed {seed}"))?;
            (start, OrderArg::Legacy)
        }
        (None, None) => anyhow::bail!("--state or --seed is needed"),
    };
    let order = match order {
        OrderArg::Legacy => StartOrder::Legacy,
        OrderArg::AngleFirst => StartOrder::AngleFirst,
    };
    PushTEnv::new(PushTParams::default(), start, order).context("start state")
}

fn row(t: usize, env: &PushTEnv) -> [String; ROW_COLUMNS.len()] {
    let (info, current) = (env.info(), env.current());
    [
        t.to_string(),
        info.agent_pos_px.x.to_string(),
        info.agent_pos_px.y.to_string(),
        info.agent_vel.x.to_string(),
        info.agent_vel.y.to_string(),
        info.block_pos_px.x.to_string(),
        info.block_pos_px.y.to_string(),
        info.block_angle_rad.to_string(),
        current.coverage.to_string(),
        current.reward.to_string(),
        current.terminated.to_string(),
        info.n_contacts.to_string(),
    ]
}

/// Reads a CSV file of actions (px).
///
/// # Errors
/// If it can't be read, or a line is no action; the error names the file and the line.
pub fn read_actions(path: &Path) -> Result<Vec<[f64; 2]>> {
    let file = || path.display();
    let text = regular_file::read_text(path)?;
    let mut table = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = table
        .headers()
        .with_context(|| format!("{}: line 1", file()))?;
    ensure!(
        header == &csv::StringRecord::from(&ACTION_COLUMNS[..]),
        "{}: line 1: the header is not `{}`",
        file(),
        ACTION_COLUMNS.join(",")
    );
    let mut actions = Vec::new();
    for record in table.records() {
        let record = record.with_context(|| format!("{}: not CSV", file()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let action = parse_action(&record).with_context(|| format!("{}: line {line}", file()))?;
        actions.push(action);
    }
    Ok(actions)
}

fn parse_action(record: &csv::StringRecord) -> Result<[f64; 2]> {
    let (count, expected) = (record.len(), ACTION_COLUMNS.len());
    ensure!(count == expected, "{expected} values needed, {count} given");
    let mut action = [0.0_f64; 2];
    for ((value, text), column) in action.iter_mut().zip(record).zip(ACTION_COLUMNS) {
        *value = text
            .parse()
            .ok()
            .with_context(|| format!("{column} `{text}` is not a number"))?;
        ensure!(value.is_finite(), "{column} is {text}, not a finite number");
    }
    Ok(action)
}
