//! A device behind the page: the firmware's `controller` in QEMU, through the bridge of
//! `pusht link --websocket`.

use crate::page::Page;
use anyhow::{Result, ensure};
use pusht_device::{BOARDS, Port, Setup, build, run_beside};
use pusht_host::link::{Bridge, open_tcp};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pusht-small.ptm");
/// Ends a test that hangs.
const LIMIT: Duration = Duration::from_secs(1800);
/// Most episodes, as for `pusht link`: on a busy machine the device may give the page up.
const MAX_EPISODES: usize = 6;

#[test]
#[ignore = "needs Chromium, its driver, QEMU and the boards' targets: cargo verify web"]
fn a_device_in_qemu_plays_the_hosts_episode_on_the_page() {
    let board = &BOARDS[0];
    let elf = build("controller", board, Some(Path::new(MODEL))).unwrap();
    let port = Port::open(0).unwrap();
    let address = port.address().unwrap().to_string();
    let (_, log) = run_beside(&Setup::serving(port), board, &elf, LIMIT, || {
        let mut wire = open_tcp(&address)?;
        let bridge = Bridge::open(0, None)?;
        let number = bridge.address()?.port();
        let is_wanted = AtomicBool::new(true);
        thread::scope(|scope| {
            scope.spawn(|| bridge.carry(&mut wire, || is_wanted.load(Ordering::Relaxed)));
            let played = play(board.name, number);
            is_wanted.store(false, Ordering::Relaxed);
            played
        })
    })
    .unwrap();
    assert!(log.exit_code.is_none(), "{:#?}", log.lines);
}

/// Connects the page and lets the device play.
fn play(board: &str, port: u16) -> Result<()> {
    let page = Page::open()?;
    page.set("bridge", &port.to_string())?;
    page.browser.click("#socket")?;
    page.browser
        .wait("pusht.devices.device || pusht.mode === 'device'")?;
    let badge = page.browser.text("#device-badge")?;
    ensure!(board.starts_with(&badge) && !badge.is_empty(), "{badge}");
    for _ in 0..MAX_EPISODES {
        page.browser.click("#reset")?;
        page.run_to_the_end()?;
        ensure!(page.browser.value("pusht.game.player")? == "device");
        if page.browser.value("pusht.devices.restarts")? == 0 {
            break;
        }
    }
    ensure!(
        page.browser.text("#verdict")? == "equal",
        "{}",
        page.browser.text("#compare-text")?
    );
    ensure!(page.browser.text("#compare-text")?.contains(&badge));
    // A single tick, and the end.
    page.browser.click("#reset")?;
    page.browser.click("#tick")?;
    page.browser
        .wait("pusht.game.at === 1 && !pusht.game.is_in_tick")?;
    page.browser.click("#disconnect")?;
    page.browser.wait("pusht.devices.device === null")?;
    page.is_quiet()?;
    let mut requests = page.browser.requests()?;
    requests.retain(|request| !request.starts_with(&page.address));
    ensure!(
        requests == [format!("ws://127.0.0.1:{port}/")],
        "{requests:?}"
    );
    Ok(())
}
