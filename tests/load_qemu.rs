//! Models that a host sends to the firmware binary `controller` in QEMU, without a new image.

use crate::microbit;
use anyhow::{Result, ensure};
use pusht_core::control::RecedingHorizon;
use pusht_core::link::{Offer, Source, file_crc32c};
use pusht_core::quant::{IntPolicy, Model};
use pusht_core::slots::DATA_OFFSET;
use pusht_device::{BOARDS, Board, Port, Setup, build_with, run_beside};
use pusht_host::link::{Client, LinkError, load, open_tcp};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// Values of a window and of a chunk of the model.
const WINDOW_LEN: usize = 10;
const CHUNK_LEN: usize = 10;
/// Control ticks that are compared with the host's.
const N_TICKS: usize = 9;
/// Ends a test that hangs.
const LIMIT: Duration = Duration::from_secs(900);
/// A device that restarts costs this time once; one that answers later is asked again.
const TIMEOUT: Duration = Duration::from_millis(50);
/// A byte in so many at which the feature `power-cuts` restarts the device.
const CUT_EVERY: usize = 100;

/// The small network of the micro:bit, executing `n` actions per plan: a file with another CRC.
fn with_action_steps(n: u32) -> Vec<u8> {
    const AT: usize = 40;
    let mut bytes = std::fs::read(microbit::MODEL).unwrap();
    bytes[AT..AT + 4].copy_from_slice(&n.to_le_bytes());
    let end = bytes.len() - 4;
    let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Runs `talk` with a client of a device whose image holds the small network.
fn with_device(
    board: &Board,
    features: &[&str],
    talk: impl FnOnce(&mut Client<TcpStream>) -> Result<()>,
) -> Vec<String> {
    let elf = build_with(
        "controller",
        board,
        features,
        Some(Path::new(microbit::MODEL)),
    )
    .unwrap();
    let port = Port::open(0).unwrap();
    let address = port.address().unwrap().to_string();
    let (_, log) = run_beside(&Setup::serving(port), board, &elf, LIMIT, || {
        let mut client = Client::new(open_tcp(&address)?, TIMEOUT, |_| ());
        ensure!(client.hello()?.source == Source::Image);
        talk(&mut client)
    })
    .unwrap();
    let panicked = log.lines.iter().any(|line| line.contains("panicked"));
    assert!(!panicked && log.exit_code.is_none(), "{:#?}", log.lines);
    log.lines
}

/// Compares actions of the device with those of the policy in `bytes`.
fn acts_as(client: &mut Client<TcpStream>, bytes: &[u8]) -> Result<()> {
    let model = Model::parse(bytes).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    let mut policy = IntPolicy::new(&model, &mut scratch)?;
    let shape = model.shape();
    let mut horizon = RecedingHorizon::<WINDOW_LEN, CHUNK_LEN>::new(shape, 5)?;
    client.begin(5)?;
    for tick in 0..N_TICKS {
        let observation = [250.0 + tick as f64, 260.0, 270.0, 240.0, 0.5];
        let there = client.observe(&observation)?;
        let here = horizon.act(&mut policy, &observation)?;
        ensure!(there == here, "tick {tick}: {there:?} there, {here:?} here");
    }
    Ok(())
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_model_that_was_sent_runs_without_a_new_image() {
    with_device(&BOARDS[0], &[], |client| {
        for (generation, n) in [(1, 2), (2, 3), (3, 1)] {
            let bytes = with_action_steps(n);
            let model = Model::parse(&bytes).unwrap();
            let hello = load(client, &model, &bytes, |_| ())?;
            let slot = (generation as u16 - 1) % 2;
            ensure!(hello.source == Source::Slot { slot, generation });
            ensure!(hello.shape.n_action_steps == n as usize);
            acts_as(client, &bytes)?;
        }
        // More actions per plan than the image has room for.
        let bytes = with_action_steps(7);
        let model = Model::parse(&bytes).unwrap();
        let refused = load(client, &model, &bytes, |_| ())
            .unwrap_err()
            .to_string();
        ensure!(
            refused.contains("room for To up to 2 and Ta up to 4"),
            "{refused}"
        );
        acts_as(client, &with_action_steps(1))
    });
}

/// Sends what is missing of the file; `Forgotten` if the device was cut off meanwhile.
fn send(client: &mut Client<TcpStream>, bytes: &[u8]) -> Result<(), LinkError> {
    let model = Model::parse(bytes).unwrap();
    let offer = Offer::of(&model, bytes.len(), file_crc32c(bytes));
    let (mut at, piece_len) = client.offer(offer)?;
    while at < bytes.len() {
        let end = bytes.len().min(at + piece_len);
        at = client.piece(at, &bytes[at..end])?;
    }
    client.commit()
}

#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_power_cut_at_any_hundredth_byte_leaves_the_model_that_ran() {
    let (old, new) = (with_action_steps(2), with_action_steps(3));
    with_device(&BOARDS[0], &["power-cuts"], |client| {
        load(client, &Model::parse(&old).unwrap(), &old, |_| ())?;
        let mut cuts = 0;
        loop {
            let sent = send(client, &new);
            let hello = client.hello()?;
            match sent {
                Ok(()) | Err(LinkError::Forgotten) if hello.model_crc32c == file_crc32c(&new) => {
                    break;
                }
                Err(LinkError::Forgotten) => {}
                Ok(()) => anyhow::bail!("a commit without effect after {cuts} cuts"),
                Err(error) => return Err(error.into()),
            }
            cuts += 1;
            let source = Source::Slot {
                slot: 0,
                generation: 1,
            };
            ensure!((hello.model_crc32c, hello.source) == (file_crc32c(&old), source));
        }
        // Every hundredth byte of the slot, its records included.
        let n_bytes = DATA_OFFSET as usize + new.len();
        println!("{cuts} cuts in {n_bytes} bytes");
        ensure!(
            cuts >= n_bytes / CUT_EVERY,
            "{cuts} cuts in {n_bytes} bytes"
        );
        acts_as(client, &new)
    });
}
