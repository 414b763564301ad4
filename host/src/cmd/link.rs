//! `pusht link`.

use crate::arguments::{legacy_seeds, number, whole};
use crate::console;
use crate::engine::{Engine, PolicyArgs};
use crate::evaluate::{self, Evaluation, score};
use crate::link::{
    self, Bridge, Client, DEFAULT_TIMEOUT, DeviceEvent, Hello, Latency, Noisy, Wire, open_serial,
    open_tcp, play,
};
use crate::model_file::ModelFile;
use crate::printable::printable;
use crate::{errln, outln, regular_file, stdout};
use anyhow::{Context, Result, bail, ensure};
use pusht_core::link::{Counts, Event, Restart, Source, file_crc32c};
use pusht_core::pusht::env::Seeding;
use pusht_core::pusht::episode::MAX_EPISODE_STEPS;
use pusht_core::pusht::observation::ObservationKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Play episodes with the policy on a device, over a serial link.
///
/// The environment runs here, the policy on the device (`cargo firmware controller`, or a flashed
/// board). Prints the scores, latency percentiles of control ticks, the link counters of both ends,
/// and the device's events, marked `device`. docs/link.md specifies the protocol.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples: pusht link --port /dev/ttyACM0\n          pusht link --tcp localhost:4321 --seeds 0..10 --check\n          pusht link --tcp localhost:4321 --websocket 8765"
)]
pub struct Args {
    #[command(flatten)]
    wire: WireArgs,
    /// Baud rate of the serial port
    #[arg(long, value_name = "N", default_value_t = 115_200, value_parser = whole::<u32>(50..=12_000_000))]
    baud: u32,
    /// Seeds A..B of the episodes, B excluded
    #[arg(long, value_name = "A..B", default_value = "100000..100050", value_parser = legacy_seeds)]
    seeds: Range<u64>,
    /// Compare every episode with the local integer engine; the exit code is 0 if all are equal
    #[arg(long)]
    check: bool,
    /// Model file of the device, for --check [default: the shipped policy]
    #[arg(long, value_name = "FILE", requires = "check")]
    policy: Option<PathBuf>,
    /// Print the device's observation and action values with their units, and exit
    #[arg(long)]
    describe: bool,
    /// Send this model file to the device, which keeps it and restarts with it, and exit
    #[arg(long, value_name = "FILE", conflicts_with_all = ["check", "describe"])]
    load: Option<PathBuf>,
    /// Let a page in a browser drive the device instead: `cargo web`, by a WebSocket at this port of 127.0.0.1
    #[arg(long, value_name = "PORT", conflicts_with_all = ["check", "describe", "load", "seeds"])]
    websocket: Option<u16>,
    /// Let pages from this origin drive the device, besides those of this machine
    #[arg(long, value_name = "URL", requires = "websocket")]
    origin: Option<String>,
    /// Milliseconds without an answer until a request is sent again: longer than a plan, and shorter than the second after
    /// which a device gives its host up
    #[arg(long, value_name = "N", default_value_t = DEFAULT_TIMEOUT.as_millis() as u64, value_parser = whole::<u64>(1..=600_000))]
    timeout_ms: u64,
    /// Share of all bytes to damage, to test the link, per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = number(0.0..=100.0))]
    noise: f64,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct WireArgs {
    /// Serial port of the board
    #[arg(long, value_name = "PATH")]
    port: Option<PathBuf>,
    /// TCP server, for example QEMU's
    #[arg(long, value_name = "HOST:PORT")]
    tcp: Option<String>,
    /// Pseudo terminal, for example QEMU's
    #[arg(long, value_name = "PATH")]
    pty: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// If the link can't be opened or fails, the device has another protocol version or does not
/// answer, or an episode differs with `--check`.
pub fn run(args: &Args) -> Result<()> {
    let wire = open(&args.wire, args.baud)?;
    let mut wire = Noisy::new(wire, args.noise / 100.0, 0);
    if let Some(port) = args.websocket {
        let bridge = Bridge::open(port, args.origin.clone())?;
        outln!("{:<20} ws://{}/", "bridge", bridge.address()?);
        return bridge.carry(&mut wire, || true);
    }
    let timeout = Duration::from_millis(args.timeout_ms);
    let mut client = Client::new(wire, timeout, show);
    let hello = client.hello()?;
    print_device(&hello);
    if let Some(path) = &args.load {
        return load(&mut client, path);
    }
    if args.describe {
        return describe(&mut client, &hello);
    }
    let kind = ObservationKind::of_task(&hello.task).with_context(|| {
        format!(
            "the device's policy is for {:?}, not for PushT: --describe shows its values",
            hello.task
        )
    })?;
    let engine = match args.check {
        true => Some(engine_of(args, &hello)?),
        false => None,
    };
    let progress = console::progress_bar("episodes");
    progress.set_length(args.seeds.end - args.seeds.start);
    let (mut scores, mut unequal) = (Vec::new(), Vec::new());
    for seed in args.seeds.clone() {
        stdout::check()?;
        let env = evaluate::start(seed, Seeding::Legacy)?;
        let played = play(&mut client, kind, || Ok(env), seed, MAX_EPISODE_STEPS);
        let played = played.with_context(|| format!("seed {seed}"))?;
        if let Some(engine) = &engine
            && evaluate::episode(engine, env, seed)? != played
        {
            unequal.push(seed);
        }
        scores.push(score(seed, &played));
        progress.inc(1);
    }
    progress.finish_and_clear();
    print_scores(&evaluate::summarize(scores));
    print_latency(&client.latency);
    // The following requests are sent without noise.
    client.wire().set_share(0.0);
    let counts = client.report()?;
    print_link(&mut client, &counts);
    if engine.is_some() {
        let n = args.seeds.end - args.seeds.start;
        let equal = n - unequal.len() as u64;
        outln!(
            "{:<20} {equal} of {n} episodes, bit for bit",
            "equal to the host's"
        );
        ensure!(
            unequal.is_empty(),
            "the episodes of seeds {unequal:?} differ"
        );
    }
    Ok(())
}

/// Prints what the device says about itself.
fn print_device(hello: &Hello) {
    let source = match hello.source {
        Source::Image => "of its image".to_owned(),
        Source::Slot { slot, generation } => format!("of slot {slot}, upload {generation}"),
    };
    outln!(
        "{:<20} {}, model {:08x} {source}, task {:?}",
        "device",
        printable(&hello.board),
        hello.model_crc32c,
        hello.task
    );
}

/// Sends the model file at `path` to the device.
fn load(client: &mut Client<impl Wire>, path: &Path) -> Result<()> {
    let name = path.display();
    let file = ModelFile::parse(regular_file::read(path)?).with_context(|| name.to_string())?;
    let bytes = file.bytes();
    let progress = console::progress_bar("bytes");
    progress.set_length(bytes.len() as u64);
    let on_progress = |there| progress.set_position(there as u64);
    let hello =
        link::load(client, file.model(), bytes, on_progress).with_context(|| name.to_string())?;
    progress.finish_and_clear();
    print_device(&hello);
    Ok(())
}

/// Prints the names and units of the device's values.
fn describe(client: &mut Client<impl Wire>, hello: &Hello) -> Result<()> {
    let shape = hello.shape;
    outln!(
        "{:<20} {} observations in, {} actions out",
        "plan",
        shape.n_obs_steps,
        shape.n_action_steps
    );
    for index in 0..shape.obs_dim + shape.action_dim {
        let value = client.describe(u16::try_from(index)?)?;
        let (side, index) = match index.checked_sub(shape.obs_dim) {
            None => ("observation", index),
            Some(index) => ("action", index),
        };
        outln!(
            "{:<20} {} {}",
            format!("{side} {index}"),
            printable(&value.name),
            printable(&value.unit)
        );
    }
    Ok(())
}

fn open(args: &WireArgs, baud: u32) -> Result<Box<dyn Wire>> {
    match (&args.port, &args.tcp, &args.pty) {
        (Some(path), _, _) | (_, _, Some(path)) => Ok(Box::new(open_serial(path, baud)?)),
        (_, Some(address), _) => Ok(Box::new(open_tcp(address)?)),
        (None, None, None) => bail!("one of --port, --tcp and --pty is needed"),
    }
}

/// Local engine for the comparison; requires the device's model.
fn engine_of(args: &Args, hello: &Hello) -> Result<Engine> {
    let bytes = match &args.policy {
        Some(path) => regular_file::read(path)?,
        None => crate::shipped::INTEGER_MODEL.to_vec(),
    };
    let crc32c = file_crc32c(&bytes);
    ensure!(
        crc32c == hello.model_crc32c,
        "the device runs the model {:08x}, --check would compare with {crc32c:08x}; name the device's with --policy",
        hello.model_crc32c
    );
    Engine::load(&PolicyArgs {
        policy: args.policy.clone(),
        ..PolicyArgs::default()
    })
}

/// Prints an event of the device as a log line.
fn show(told: DeviceEvent) {
    let what = match told.event {
        Event::Started(Restart::PowerOrPin) => "started".to_owned(),
        Event::Started(Restart::Watchdog) => "started anew: it hung".to_owned(),
        Event::Started(Restart::Panic) => "started anew after a panic".to_owned(),
        Event::Started(Restart::HardFault { address }) => {
            format!("started anew after a hard fault at {address:#010x}")
        }
        Event::Started(Restart::StackOverflow { address }) => {
            format!("started anew after a stack overflow below {address:#010x}")
        }
        Event::Holding => "the host was silent: holding".to_owned(),
        Event::Overrun { bytes } => format!("{bytes} bytes lost, faster than they were taken"),
    };
    let at_s = told.at_us as f64 / 1e6;
    errln!("device {at_s:10.3} s  {what}");
}

fn print_scores(scores: &Evaluation) {
    let n = scores.episodes.len();
    let successes = scores.episodes.iter().filter(|e| e.success).count();
    outln!("{:<20} {n}", "episodes");
    outln!("{:<20} {:.4}", "mean max reward", scores.mean_max_reward);
    outln!(
        "{:<20} {:.4}",
        "mean max coverage",
        scores.mean_max_coverage
    );
    outln!(
        "{:<20} {:.1} %  ({successes} of {n})",
        "success rate",
        100.0 * scores.success_rate
    );
}

fn print_latency(latency: &Latency) {
    let percents = [50.0, 90.0, 99.0, 100.0];
    outln!("{:<20} {}", "control ticks", latency.ticks());
    for (what, times) in [
        ("round trip", latency.round_trip(&percents)),
        ("on the device", latency.on_device(&percents)),
    ] {
        let ms: Vec<String> = times
            .iter()
            .map(|t| format!("{:.2}", 1e3 * t.as_secs_f64()))
            .collect();
        outln!("{what:<20} {} ms  (50, 90, 99, 100 %)", ms.join(", "));
    }
}

fn print_link(client: &mut Client<Noisy<Box<dyn Wire>>>, device: &Counts) {
    let (here, frames) = (client.counts, client.frames());
    outln!(
        "{:<20} {} requests answered, {} sent again ({} unanswered, {} damaged there, {} damaged back), {} stale answers, {} episodes begun anew",
        "host",
        here.answered,
        here.repeated,
        here.timeouts,
        here.damaged_there,
        here.damaged,
        here.stale,
        here.restarts
    );
    outln!(
        "{:<20} {} good, {} damaged, {} empty",
        "frames to the host",
        frames.good,
        frames.damaged(),
        frames.empty
    );
    outln!(
        "{:<20} {} good, {} damaged, {} empty; {} requests done, {} repeated, {} refused; {} holds, {} bytes overrun",
        "frames to the device",
        device.frames.good,
        device.frames.damaged(),
        device.frames.empty,
        device.done,
        device.repeated,
        device.refused,
        device.holds,
        device.overrun_bytes
    );
    let [there, back] = client.wire().faults();
    let noise = [there, back].map(|f| f.flipped + f.dropped + f.doubled);
    if noise != [0, 0] {
        outln!(
            "{:<20} {} bytes there, {} back: {} and {} frames damaged",
            "noise",
            noise[0],
            noise[1],
            there.damaged_frames,
            back.damaged_frames
        );
    }
}
