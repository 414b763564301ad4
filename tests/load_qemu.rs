//! Models that a host sends to the firmware binary `controller` in QEMU, without a new image.

use crate::random_model::{Settings, random_model, tiny_settings, tiny_task};
use crate::{boards, microbit};
use anyhow::{Result, ensure};
use pusht_core::control::RecedingHorizon;
use pusht_core::link::{Offer, Source, file_crc32c};
use pusht_core::quant::{IntPolicy, Model};
use pusht_core::slots::DATA_OFFSET;
use pusht_device::{
    B_L475E_IOT01A, BOARDS, Board, Port, PowerCuts, Setup, build, image, run_beside,
};
use pusht_host::link::{Client, LinkError, load, open_tcp};
use std::net::TcpStream;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Values of a window and of a chunk of the model.
const WINDOW_LEN: usize = 10;
const CHUNK_LEN: usize = 10;
/// Control ticks that are compared with the host's.
const N_TICKS: usize = 9;
/// Ends a test that hangs.
const LIMIT: Duration = Duration::from_secs(900);
/// A device that restarts costs this time once; one that answers later is asked again.
/// It is long, since requests that are repeated keep a device waiting that a busy machine slows down.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of a page of the STM32L475's flash.
const PAGE: u32 = 2048;
/// Where that flash ends.
const FLASH_END: u32 = 0x0810_0000;

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

/// A model that is smaller than the micro:bit's, with its window and its actions; `seed` determines
/// its weights.
fn smaller(seed: u64) -> Vec<u8> {
    let settings = Settings {
        down_dims: vec![8],
        ..tiny_settings()
    };
    random_model(settings, tiny_task(), 1, seed).to_bytes()
}

/// The image of `controller` with the small network.
fn controller(board: &Board) -> PathBuf {
    build("controller", board, Some(Path::new(microbit::MODEL))).unwrap()
}

/// Runs `talk` with a client of a device.
fn with_device(
    (board, elf): (&Board, &Path),
    power_cuts: Option<PowerCuts>,
    talk: impl FnOnce(&mut Client<TcpStream>) -> Result<()>,
) {
    let port = Port::open(0).unwrap();
    let address = port.address().unwrap().to_string();
    let setup = Setup {
        power_cuts,
        ..Setup::serving(port)
    };
    let (_, log) = run_beside(&setup, board, elf, LIMIT, || {
        let mut client = Client::new(open_tcp(&address)?, TIMEOUT, |_| ());
        ensure!(client.hello()?.source == Source::Image);
        talk(&mut client)
    })
    .unwrap();
    let is_fault = |line: &String| line.contains("panicked") || line.contains("flash is damaged");
    let is_wrong = log.lines.iter().any(is_fault);
    assert!(!is_wrong && log.exit_code.is_none(), "{:#?}", log.lines);
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
    let board = &BOARDS[0];
    with_device((board, &controller(board)), None, |client| {
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

/// On the emulated STM32L475, whose flash is a model of the part's (`device/l475_flash.rs`).
#[test]
#[ignore = "needs QEMU and the boards' targets: cargo verify"]
fn a_power_cut_at_any_hundredth_byte_leaves_the_model_that_ran() {
    let board = &B_L475E_IOT01A;
    if !boards().contains(board) {
        return;
    }
    let elf = controller(board);
    let n = Arc::new(AtomicU32::new(0));
    let cuts = PowerCuts {
        slot: second_slot(&elf),
        n: Arc::clone(&n),
    };
    let (old, new) = (smaller(1), smaller(2));
    with_device((board, &elf), Some(cuts), |client| {
        load(client, &Model::parse(&old).unwrap(), &old, |_| ())?;
        let before = Source::Slot {
            slot: 0,
            generation: 1,
        };
        loop {
            let sent = send(client, &new);
            let hello = client.hello()?;
            match sent {
                Ok(()) | Err(LinkError::Forgotten) if hello.model_crc32c == file_crc32c(&new) => {
                    break;
                }
                Err(LinkError::Forgotten) => {}
                Ok(()) => anyhow::bail!("a commit without effect"),
                Err(error) => return Err(error.into()),
            }
            ensure!((hello.model_crc32c, hello.source) == (file_crc32c(&old), before));
        }
        acts_as(client, &new)
    });
    // Besides, one in each page, and in what is written in front of the file.
    let n_in_the_file = new.len() as u32 / PowerCuts::EVERY;
    let n_pages = (DATA_OFFSET + new.len() as u32).div_ceil(PAGE);
    let n = n.load(Ordering::Relaxed);
    println!(
        "{n} cuts, {n_pages} of them while a page is erased; {} bytes",
        new.len()
    );
    assert!(n > n_in_the_file + n_pages, "{n} cuts");
}

/// Addresses of the second slot behind an image of the STM32L475.
fn second_slot(elf: &Path) -> Range<u32> {
    let segments = image(elf).unwrap();
    let end = |(address, bytes): &(u64, Vec<u8>)| *address as u32 + bytes.len() as u32;
    let in_flash = segments
        .iter()
        .filter(|(address, _)| *address < u64::from(FLASH_END));
    let start = in_flash.map(end).max().unwrap();
    let start = start.next_multiple_of(PAGE);
    let len = (FLASH_END - start) / 2 / PAGE * PAGE;
    start + len..start + 2 * len
}
