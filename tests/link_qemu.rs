//! The firmware binary `controller` in QEMU, driven by the client of `pusht link`.

use crate::{boards, expected_log};
use anyhow::{Result, ensure};
use pusht_core::link::{Counts, HOLD_AFTER_US};
use pusht_core::pusht::env::Seeding;
use pusht_core::pusht::episode::{EpisodeResult, MAX_EPISODE_STEPS};
use pusht_core::pusht::observation::{ObservationKind, observe};
use pusht_device::{
    B_L475E_IOT01A, BOARDS, Board, Log, NETDUINOPLUS2, Port, Setup, build, run_beside,
};
use pusht_host::engine::{Engine, PolicyArgs};
use pusht_host::evaluate;
use pusht_host::link::{Client, LinkError, Noisy, open_tcp, play};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// The smaller model: QEMU takes 10 ms per plan.
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pusht-small.ptm");
/// What it sees.
const KIND: ObservationKind = ObservationKind::Vertices;
/// Ends a test that hangs.
const LIMIT: Duration = Duration::from_secs(1800);
/// Longer than a plan takes.
const TIMEOUT: Duration = Duration::from_millis(100);

pub type NoisyClient = Client<Noisy<TcpStream>>;

/// As [`with_model`], with the smaller model.
fn with_device(
    board: &Board,
    noise: (f64, u64),
    talk: impl FnOnce(&mut NoisyClient, &Engine) -> Result<()>,
) -> Log {
    with_model(Path::new(MODEL), board, noise, talk)
}

/// Runs `talk` with a client connected to a device that runs `model`; returns the log. `noise` is the
/// share of damaged bytes, and the seed of the damage.
pub fn with_model(
    model: &Path,
    board: &Board,
    noise: (f64, u64),
    talk: impl FnOnce(&mut NoisyClient, &Engine) -> Result<()>,
) -> Log {
    let elf = build("controller", board, Some(model)).unwrap();
    let engine = Engine::load(&PolicyArgs {
        policy: Some(model.into()),
        ..PolicyArgs::default()
    })
    .unwrap();
    let port = Port::open(0).unwrap();
    let address = port.address().unwrap().to_string();
    let (_, log) = run_beside(&Setup::serving(port), board, &elf, LIMIT, || {
        let wire = Noisy::new(open_tcp(&address)?, noise.0, noise.1);
        let mut client = Client::new(wire, TIMEOUT, |event| println!("device: {event:?}"));
        let hello = client.hello()?;
        ensure!(hello.board == board.name.get(..16).unwrap_or(board.name));
        talk(&mut client, &engine)
    })
    .unwrap();
    let panicked = log.lines.iter().any(|line| line.contains("panicked"));
    assert!(!panicked && log.exit_code.is_none(), "{:#?}", log.lines);
    log
}

/// Plays an episode with the policy on the device.
pub fn episode_there(client: &mut NoisyClient, seed: u64) -> Result<EpisodeResult> {
    let env = evaluate::start(seed, Seeding::Legacy)?;
    Ok(play(client, KIND, || Ok(env), seed, MAX_EPISODE_STEPS)?)
}

/// Plays the episodes on the host and compares. Called last: the device would take this time for a
/// silent host.
pub fn same_here(
    engine: &Engine,
    there: impl IntoIterator<Item = (u64, EpisodeResult)>,
) -> Result<()> {
    for (seed, there) in there {
        let here = evaluate::episode(engine, evaluate::start(seed, Seeding::Legacy)?, seed)?;
        ensure!(there == here, "seed {seed}: {there:?} there, {here:?} here");
    }
    Ok(())
}

/// The counters of the device after everything that was sent. A repeated request gets the first
/// answer again, so this asks until a request is answered at the first attempt.
fn report(client: &mut NoisyClient) -> Result<Counts> {
    loop {
        let repeated = client.counts.repeated;
        let counts = client.report()?;
        if client.counts.repeated == repeated {
            return Ok(counts);
        }
    }
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn episodes_through_the_link_equal_the_hosts() {
    with_device(&BOARDS[0], (0.0, 0), |client, engine| {
        let mut played = Vec::new();
        for seed in 100_000..100_050 {
            played.push((seed, episode_there(client, seed)?));
        }
        let counts = client.report()?;
        println!("{} ticks, {counts:?}", client.latency.ticks());
        ensure!(counts.frames.damaged() == 0 && counts.holds == 0);
        same_here(engine, played)
    });
}

/// Boards whose UART, interrupts or start-up are not the default board's. `silicon.rs` drives the
/// `b-l475e-iot01a`.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn the_uarts_of_other_boards_carry_an_episode_with_the_hosts_bits() {
    const SEED: u64 = 100_000;
    const OTHERS: [&str; 3] = ["mps2-an505", "mps3-an547", NETDUINOPLUS2.name];
    let mut others = boards();
    others.retain(|board| OTHERS.contains(&board.name));
    std::thread::scope(|scope| {
        for board in &others {
            scope.spawn(move || {
                with_device(board, (0.0, 0), |client, engine| {
                    let there = episode_there(client, SEED)?;
                    let counts = client.report()?;
                    println!("{}: {counts:?}", board.name);
                    ensure!(counts.frames.damaged() == 0 && counts.holds == 0);
                    same_here(engine, [(SEED, there)])
                });
            });
        }
    });
}

/// A damaged byte costs a request, and each byte in QEMU two changes of thread. So the ticks are
/// those of several devices at the same time.
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn noise_changes_no_action_and_every_fault_is_counted() {
    const TICKS: usize = 3000;
    const DEVICES: u64 = 3;
    std::thread::scope(|scope| {
        for seed in 0..DEVICES {
            scope.spawn(move || through_noise(seed, TICKS.div_ceil(DEVICES as usize)));
        }
    });
}

fn is_forgotten(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LinkError::Forgotten))
}

/// At least `ticks` ticks of whole episodes, with a damaged byte in a hundred.
fn through_noise(seed: u64, ticks: usize) {
    with_device(&BOARDS[0], (0.01, seed), |client, engine| {
        let mut played = Vec::new();
        for episode in 100_000 + 1000 * seed.. {
            match episode_there(client, episode) {
                Ok(result) => played.push((episode, result)),
                // On a busy machine the device gives up its host more often than `play` begins again.
                Err(error) if is_forgotten(&error) => drop(client.hello()?),
                Err(error) => return Err(error),
            }
            if client.latency.ticks() >= ticks {
                break;
            }
        }
        client.wire().set_share(0.0);
        let device = report(client)?;
        let (here, counts) = (client.frames(), client.counts);
        let [there, back] = client.wire().faults();
        println!("{counts:?}\n{device:?}\n{there:?}\n{back:?}");
        println!("round trip {:?}", client.latency.round_trip(&[50.0, 99.0]));
        ensure!(u64::from(device.frames.damaged()) == there.damaged_frames);
        ensure!(u64::from(device.frames.empty) == there.empty_frames);
        ensure!(u64::from(here.damaged()) == back.damaged_frames);
        ensure!(u64::from(here.empty) == back.empty_frames);
        ensure!(device.overrun_bytes == 0);
        // On a busy machine the host may be silent for longer than the device waits, at any request.
        // The session ends then, with a hold if there is an action. The host opens another one and
        // begins the episode again; the answers of the broken one are lost.
        ensure!(counts.restarts < device.sessions && device.holds < device.sessions);
        ensure!(device.sessions > 1 || device.done + 1 == counts.answered);
        same_here(engine, played)
    });
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_device_whose_host_vanished_holds_and_says_so() {
    let of_each_kind = [BOARDS[0], B_L475E_IOT01A];
    for board in boards() {
        if of_each_kind.contains(&board) {
            without_a_host_for_a_while(&board);
        }
    }
}

fn without_a_host_for_a_while(board: &Board) {
    let log = with_device(board, (0.0, 0), |client, engine| {
        client.begin(0)?;
        let mut observation = [0.0; KIND.dim()];
        let state = [100.0, 200.0, 300.0, 300.0, 1.0];
        observe(KIND, &state, &mut observation)?;
        client.observe(&observation)?;
        std::thread::sleep(Duration::from_micros(2 * HOLD_AFTER_US));
        let forgotten = client.observe(&observation);
        ensure!(matches!(forgotten, Err(LinkError::Forgotten)));
        client.hello()?;
        let there = episode_there(client, 100_000)?;
        ensure!(client.report()?.holds == 1);
        same_here(engine, [(100_000, there)])
    });
    expected_log::compare("controller", board, &log);
}
