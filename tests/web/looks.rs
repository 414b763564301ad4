//! Size, time and looks of the page, and what it says where something is missing.

use crate::page::Page;
use flate2::Compression;
use flate2::write::GzEncoder;
use pusht_device::target_dir;
use serde_json::json;
use std::io::Write;

/// Compressed bytes of what is loaded at first, and with the best model.
const FIRST_BYTES: usize = 250_000;
const ALL_BYTES: usize = 950_000;
/// Most seconds of processor time from the begin of loading to the first plan.
const FIRST_PLAN_S: f64 = 1.0;
/// Most seconds of processor time per picture: 60 pictures a second.
const PICTURE_S: f64 = 1.0 / 60.0;
const N_PICTURES: u32 = 120;

#[test]
#[ignore = "needs the target wasm32-unknown-unknown: cargo verify web"]
fn the_page_is_as_small_as_it_promises() {
    let (mut first, mut all) = (0, 0);
    for entry in std::fs::read_dir(crate::folder()).unwrap() {
        let path = entry.unwrap().path();
        let mut compressed = GzEncoder::new(Vec::new(), Compression::best());
        compressed
            .write_all(&std::fs::read(&path).unwrap())
            .unwrap();
        let len = compressed.finish().unwrap().len();
        println!("{len:>7} {}", path.display());
        all += len;
        if !path.ends_with("pusht.ptm") {
            first += len;
        }
    }
    println!("{first} bytes compressed, {all} with the best model");
    assert!(first <= FIRST_BYTES && all <= ALL_BYTES);
}

#[test]
#[ignore = "needs Chromium and its driver: cargo verify web"]
fn the_first_plan_and_every_picture_are_in_time() {
    let page = Page::begin().unwrap();
    let browser = &page.browser;
    browser.go("about:blank").unwrap();
    let domain = json!({ "timeDomain": "threadTicks" });
    browser.cdp("Performance.enable", &domain).unwrap();
    page.load().unwrap();
    let loaded_s = browser.processor_s().unwrap();
    let timing = browser.value("pusht.timing").unwrap();
    println!(
        "first plan: {loaded_s:.3} s of the processor, {} ms of time",
        timing["firstPlanMs"]
    );
    assert!(loaded_s <= FIRST_PLAN_S, "{loaded_s} s");

    browser.click("#show-denoising").unwrap();
    browser.click("#run").unwrap();
    let before_s = browser.processor_s().unwrap();
    let frames = browser
        .value("[pusht.timing.frames, performance.now()]")
        .unwrap();
    let from = frames[0].as_u64().unwrap();
    browser
        .wait(&format!(
            "pusht.timing.frames >= {}",
            from + u64::from(N_PICTURES)
        ))
        .unwrap();
    let after = browser
        .value("[pusht.timing.frames, performance.now()]")
        .unwrap();
    let n = (after[0].as_u64().unwrap() - from) as f64;
    let picture_s = (browser.processor_s().unwrap() - before_s) / n;
    let ms = after[1].as_f64().unwrap() - frames[1].as_f64().unwrap();
    println!(
        "picture: {:.2} ms of the processor, {:.1} a second",
        1e3 * picture_s,
        1e3 * n / ms
    );
    assert!(picture_s <= PICTURE_S, "{picture_s} s");
    page.is_quiet().unwrap();
}

#[test]
#[ignore = "needs Chromium and its driver: cargo verify web"]
fn the_page_fits_small_and_large_windows_in_light_and_dark() {
    let page = Page::open().unwrap();
    page.browser.click("#run").unwrap();
    let folder = target_dir().join("verify");
    std::fs::create_dir_all(&folder).unwrap();
    for scheme in ["light", "dark"] {
        let mut backgrounds = Vec::new();
        for (width, height) in [(360, 740), (1280, 860), (2560, 1440)] {
            page.browser.look(width, height, scheme).unwrap();
            page.browser.wait(&format!("innerWidth === {width} && pusht.view.canvas.width === pusht.view.canvas.clientWidth")).unwrap();
            // Nothing is cut off or has to be scrolled to sideways.
            let outside = page.browser.value(
                "[...document.querySelectorAll('body *:not(.skip, .visually-hidden)')]
                     .filter((e) => e.checkVisibility())
                     .filter((e) => { const b = e.getBoundingClientRect(); return b.left < -0.5 || b.right > innerWidth + 0.5; })
                     .map((e) => e.id || e.className || e.tagName)",
            );
            assert_eq!(outside.unwrap(), json!([]), "{width} {scheme}");
            // Text in a button is not cut.
            let cut = page.browser.value(
                "[...document.querySelectorAll('button, .button, dd')].filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1).map((e) => e.id)",
            );
            assert_eq!(cut.unwrap(), json!([]), "{width} {scheme}");
            let canvas = page.browser.value("pusht.view.canvas.clientWidth").unwrap();
            assert!(canvas.as_f64().unwrap() >= 300.0, "{width}: {canvas}");
            backgrounds.push(
                page.browser
                    .value("getComputedStyle(document.body).backgroundColor")
                    .unwrap(),
            );
            page.browser.run("scrollTo(0, 0)").unwrap();
            page.browser
                .picture(&folder.join(format!("web-{width}-{scheme}.png")))
                .unwrap();
        }
        let floor = page.browser.value("pusht.view.colors.floor").unwrap();
        let is_dark = |color: &str| {
            color
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|n| n.parse::<u32>().ok())
                .sum::<u32>()
                < 384
        };
        for color in backgrounds.iter().chain([&floor]) {
            assert_eq!(
                is_dark(color.as_str().unwrap()),
                scheme == "dark",
                "{color}"
            );
        }
    }
    page.is_quiet().unwrap();
}

#[test]
#[ignore = "needs Chromium and its driver: cargo verify web"]
fn the_page_says_what_a_browser_lacks() {
    let page = Page::begin().unwrap();
    let source = json!({ "source": "delete Navigator.prototype.serial; delete globalThis.indexedDB; Object.defineProperty(globalThis, 'indexedDB', { value: undefined });" });
    page.browser
        .cdp("Page.addScriptToEvaluateOnNewDocument", &source)
        .unwrap();
    page.load().unwrap();
    assert_eq!(
        page.browser
            .value("document.getElementById('serial').disabled")
            .unwrap(),
        json!(true)
    );
    assert!(
        page.browser
            .text("#device-text")
            .unwrap()
            .contains("no Web Serial")
    );
    page.browser
        .wait("document.getElementById('record-text').innerText.includes('IndexedDB is missing')")
        .unwrap();

    let source = json!({ "source": "delete globalThis.WebAssembly;" });
    page.browser
        .cdp("Page.addScriptToEvaluateOnNewDocument", &source)
        .unwrap();
    page.browser.go(&page.address).unwrap();
    page.browser
        .wait("!document.getElementById('notice').hidden")
        .unwrap();
    assert!(
        page.browser
            .text("#notice")
            .unwrap()
            .contains("no WebAssembly")
    );
    page.is_quiet().unwrap();
}
