//! What is played on the page, against what the commands do.

use crate::browser::{ENTER, TAB};
use crate::page::Page;
use anyhow::{Context, Result, ensure};
use clap::Parser;
use indicatif::ProgressBar;
use pusht_core::pusht::disturbance::{Disturbances, Latency, PoseAmount};
use pusht_core::pusht::env::Seeding;
use pusht_host::cmd;
use pusht_host::engine::{Engine, PolicyArgs};
use pusht_host::evaluate;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

const SEED: u64 = 100_003;

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../models")
        .join(name)
}

#[derive(Parser)]
struct Rollout {
    #[command(flatten)]
    args: cmd::rollout::Args,
}

#[derive(Parser)]
struct Replay {
    #[command(flatten)]
    args: cmd::replay::Args,
}

/// Digests of actions and states of an episode on this machine.
fn digests_here(file: &str, seed: u64, n_action_steps: Option<usize>) -> Result<[String; 2]> {
    let engine = Engine::load(&PolicyArgs {
        policy: Some(model(file)),
        n_action_steps,
        ..PolicyArgs::default()
    })?;
    let result = evaluate::episode(&engine, evaluate::start(seed, Seeding::Legacy)?, seed)?;
    Ok([result.action_digest, result.state_digest].map(|digest| format!("{digest:#018x}")))
}

/// The same for the small model where episodes are disturbed, with or without the estimator.
fn digests_disturbed(disturbances: Disturbances, estimator: bool) -> Result<[String; 2]> {
    let engine = Engine::load(&PolicyArgs {
        policy: Some(model("pusht-small.ptm")),
        ..PolicyArgs::default()
    })?;
    let conditions = evaluate::Conditions {
        disturbances,
        estimator,
        ..evaluate::Conditions::default()
    };
    let (seeds, seeding) = ([SEED], Seeding::Legacy);
    let (stop, progress) = (AtomicBool::new(false), ProgressBar::hidden());
    let scores = evaluate::evaluate(&engine, &seeds, seeding, &conditions, &stop, &progress)?;
    let score = &scores.evaluation.episodes[0];
    Ok([score.action_digest, score.state_digest].map(|digest| format!("{digest:#018x}")))
}

/// Digests that the page shows.
fn digests_there(page: &Page) -> Result<[String; 2]> {
    let text = |id: &str| page.browser.text(id);
    Ok([text("#action-digest")?, text("#state-digest")?])
}

#[test]
#[ignore = "needs Chromium and its driver: cargo verify web"]
fn the_policy_plays_the_hosts_episode_and_no_request_leaves_the_page() {
    let page = Page::open().unwrap();
    page.run_to_the_end().unwrap();
    let small = digests_here("pusht-small.ptm", SEED, None).unwrap();
    assert_eq!(digests_there(&page).unwrap(), small);
    assert_eq!(page.browser.text("#verdict").unwrap(), "equal");
    assert!(page.browser.text("#banner").unwrap().contains("Solved"));

    // Back in time and on again: the same bits.
    page.set("timeline", "20").unwrap();
    assert_ne!(digests_there(&page).unwrap(), small);
    page.run_to_the_end().unwrap();
    assert_eq!(digests_there(&page).unwrap(), small);

    // The best model is loaded when it is wanted.
    page.set("model", "best").unwrap();
    page.browser
        .wait("pusht.policy.crc32c === pusht.digests[0].crc32c")
        .unwrap();
    page.browser.click("#reset").unwrap();
    page.run_to_the_end().unwrap();
    let best = digests_here("pusht.ptm", SEED, None).unwrap();
    assert_ne!(best, small);
    assert_eq!(digests_there(&page).unwrap(), best);
    assert_eq!(page.browser.text("#verdict").unwrap(), "equal");

    // Another number of executed actions is another episode, the host's too.
    page.set("actions", "2").unwrap();
    page.browser.click("#reset").unwrap();
    page.run_to_the_end().unwrap();
    let shorter = digests_here("pusht.ptm", SEED, Some(2)).unwrap();
    assert_eq!(digests_there(&page).unwrap(), shorter);
    assert_eq!(page.browser.text("#verdict").unwrap(), "");

    // So is another number of passes.
    page.set("passes", "1").unwrap();
    page.browser.click("#reset").unwrap();
    page.run_to_the_end().unwrap();
    assert_ne!(digests_there(&page).unwrap(), shorter);
    assert_eq!(page.browser.text("#verdict").unwrap(), "");

    page.is_quiet().unwrap();
    let requests = page.browser.requests().unwrap();
    assert!(requests.len() > 5, "{requests:?}");
    for request in requests {
        assert!(request.starts_with(&page.address), "{request}");
    }
}

#[test]
#[ignore = "needs Chromium and its driver: cargo verify web"]
fn a_disturbed_episode_is_another_and_says_so() {
    let page = Page::open().unwrap();
    let here = digests_here("pusht-small.ptm", SEED, None).unwrap();
    for (control, value, disturbances) in [
        (
            "noise",
            "3",
            Disturbances {
                observation_noise: PoseAmount { px: 3.0, rad: 0.03 },
                ..Disturbances::default()
            },
        ),
        (
            "delay",
            "2",
            Disturbances {
                observation_latency: Latency {
                    least: 2,
                    most: 2,
                    varies: false,
                },
                ..Disturbances::default()
            },
        ),
        (
            "lost",
            "50",
            Disturbances {
                observation_loss: 0.5,
                ..Disturbances::default()
            },
        ),
    ] {
        page.set(control, value).unwrap();
        page.browser.click("#reset").unwrap();
        page.run_to_the_end().unwrap();
        assert_ne!(digests_there(&page).unwrap(), here, "{control}");
        assert_eq!(page.browser.text("#verdict").unwrap(), "", "{control}");
        // The same episode as that of `pusht eval --disturb`, and with `--estimator`.
        let there = digests_disturbed(disturbances, false).unwrap();
        assert_eq!(digests_there(&page).unwrap(), there, "{control}");
        page.browser.click("#estimator").unwrap();
        page.browser.click("#reset").unwrap();
        page.run_to_the_end().unwrap();
        let estimated = digests_disturbed(disturbances, true).unwrap();
        assert_ne!(estimated, there, "{control}");
        assert_eq!(digests_there(&page).unwrap(), estimated, "{control}");
        page.browser.click("#estimator").unwrap();
        page.set(control, "0").unwrap();
    }
    // A shove with the mouse, in the middle of the block.
    page.browser.click("#reset").unwrap();
    let place = page.browser.value(
        "(() => { const [, , x, y, angle] = pusht.game.scene();
                  const scale = pusht.view.canvas.clientWidth / 512;
                  const at = [x - 15 * Math.sin(angle), y + 15 * Math.cos(angle)];
                  return at.map((v) => Math.round((v - 256) * scale)); })()",
    );
    let [x, y]: [i32; 2] = serde_json::from_value(place.unwrap()).unwrap();
    let block = || {
        page.browser
            .value("[...pusht.game.scene().slice(2, 4)]")
            .unwrap()
    };
    let before = block();
    page.browser
        .drag("#scene", &[[x, y], [x + 30, y]], 50)
        .unwrap();
    assert_ne!(block(), before);
    page.run_to_the_end().unwrap();
    assert_ne!(digests_there(&page).unwrap(), here);
    // Undisturbed again.
    page.browser.click("#reset").unwrap();
    page.run_to_the_end().unwrap();
    assert_eq!(digests_there(&page).unwrap(), here);
    page.is_quiet().unwrap();
}

/// The rows of a file of `pusht rollout`, as the state's five numbers.
fn states(file: &Path) -> Result<Vec<[f64; 4]>> {
    let mut rows = Vec::new();
    for line in std::fs::read_to_string(file)?.lines().skip(1) {
        let row: Vec<&str> = line.split(',').collect();
        let [agent_x, agent_y, block_x, block_y] = [1, 2, 5, 6].map(|at| row[at].parse());
        rows.push([agent_x?, agent_y?, block_x?, block_y?]);
    }
    Ok(rows)
}

/// States, agent and block, from the start on, and the actions between them.
type Played = (Vec<[f64; 4]>, Vec<[f64; 2]>);

/// What was played, as the page has it.
fn played(page: &Page) -> Result<Played> {
    page.browser
        .run("pusht.run(false); while (pusht.game.is_in_tick) pusht.step();")?;
    let value = page.browser.value(
        "(() => { const { game } = pusht; const last = game.last; const states = [], actions = [];
                  for (let at = 0; at <= last; at += 1) {
                      game.seek(at);
                      const scene = game.scene();
                      states.push([...scene.slice(0, 4)]);
                      if (at) actions.push([...scene.slice(13)]);
                  }
                  return [states, actions]; })()",
    )?;
    Ok(serde_json::from_value(value)?)
}

#[test]
#[ignore = "needs Chromium and its driver: cargo verify web"]
fn a_drag_moves_the_block_as_pusht_rollout_says() {
    let page = Page::open().unwrap();
    page.browser.click("[name=mode][value=play]").unwrap();
    // From the agent through the block.
    let way = page.browser.value(
        "(() => { const [x, y, blockX, blockY] = pusht.game.scene();
                  const scale = pusht.view.canvas.clientWidth / 512;
                  const at = (share) => [x + share * (blockX - x), y + share * (blockY - y)];
                  return [0, 0.5, 0.9, 1.2].map((share) => at(share).map((v) => Math.round((v - 256) * scale))); })()",
    );
    let way: Vec<[i32; 2]> = serde_json::from_value(way.unwrap()).unwrap();
    page.browser.drag("#scene", &way, 500).unwrap();
    page.browser
        .wait("!pusht.game.is_in_tick && !pusht.pushing.wantsTime()")
        .unwrap();
    let (there, actions) = played(&page).unwrap();
    assert!(actions.len() >= 5, "{} ticks", actions.len());
    assert!(
        there[0][2..] != there[there.len() - 1][2..],
        "the block has not moved"
    );

    let folder = TempDir::new().unwrap();
    let [targets, out] = ["actions.csv", "states.csv"].map(|name| folder.path().join(name));
    let lines = actions.iter().map(|[x, y]| format!("{x},{y}\n"));
    std::fs::write(
        &targets,
        format!("action_x,action_y\n{}", lines.collect::<String>()),
    )
    .unwrap();
    let (seed, targets, file) = (SEED.to_string(), targets.display(), out.display());
    let words = [
        "rollout",
        "--seed",
        &seed,
        "--actions",
        &targets.to_string(),
        "--out",
        &file.to_string(),
    ];
    cmd::rollout::run(&Rollout::parse_from(words).args).unwrap();
    assert_eq!(states(&out).unwrap(), there);
    page.is_quiet().unwrap();
}

/// Presses Tab until the element with this id, or this value, has the focus.
fn tab_to(page: &Page, name: &str) -> Result<()> {
    for _ in 0..60 {
        let focus = "[document.activeElement.id, document.activeElement.value]";
        if page
            .browser
            .value(focus)?
            .as_array()
            .context("names")?
            .contains(&json!(name))
        {
            return Ok(());
        }
        page.browser.press(&[TAB], 0)?;
    }
    anyhow::bail!("{name} is not reached by Tab")
}

const ARROW_LEFT: &str = "\u{e012}";
const ARROW_UP: &str = "\u{e013}";
const ARROW_RIGHT: &str = "\u{e014}";
const ARROW_DOWN: &str = "\u{e015}";

#[test]
#[ignore = "needs Chromium and its driver: cargo verify web"]
fn with_the_keyboard_alone_an_episode_is_played_kept_and_replayed() {
    let page = Page::open().unwrap();
    // Everything that can be operated is reached, and shows that it has the focus.
    let mut reached = BTreeSet::new();
    for _ in 0..45 {
        page.browser.press(&[TAB], 0).unwrap();
        let seen = page.browser.value(
            "(() => { const at = document.activeElement;
                      const shown = at.closest('label') ?? at;
                      const ringed = [at, shown].some((e) => getComputedStyle(e).outlineStyle !== 'none');
                      return [at.id || at.value || at.className || at.tagName, ringed]; })()",
        );
        let seen = seen.unwrap();
        let name = seen[0].as_str().unwrap().to_owned();
        assert!(
            name == "BODY" || seen[1] == json!(true),
            "{name} shows no focus"
        );
        reached.insert(name);
    }
    let operable = page.browser.value(
        "[...document.querySelectorAll('button, input:not([type=radio]), select, canvas')]
             .filter((e) => !e.disabled && e.checkVisibility()).map((e) => e.id).filter(Boolean)",
    );
    for id in operable.unwrap().as_array().unwrap() {
        assert!(
            reached.contains(id.as_str().unwrap()),
            "{id} is not reached: {reached:?}"
        );
    }

    // Play is chosen by its key, the agent moved by arrows, the episode kept by Enter.
    tab_to(&page, "scene").unwrap();
    page.browser.press(&["p"], 0).unwrap();
    page.browser
        .press(&[ARROW_UP, ARROW_LEFT, ARROW_DOWN, ARROW_RIGHT], 500)
        .unwrap();
    page.browser
        .wait("!pusht.game.is_in_tick && !pusht.pushing.wantsTime()")
        .unwrap();
    let (there, actions) = played(&page).unwrap();
    assert!(actions.len() >= 4, "{} ticks", actions.len());
    assert!(there[0][..2] != there[there.len() - 1][..2]);
    page.browser.run("pusht.seek(pusht.game.last)").unwrap();
    tab_to(&page, "keep").unwrap();
    page.browser.press(&[ENTER], 0).unwrap();
    page.browser
        .wait("!document.getElementById('save').disabled")
        .unwrap();

    // A second one, of the other seeding; both are there after the page is loaded again.
    page.set("seeding", "pcg64").unwrap();
    page.set("seed", "7").unwrap();
    tab_to(&page, "seed").unwrap();
    page.browser.press(&[ENTER], 0).unwrap();
    page.browser.wait("pusht.seed === 7").unwrap();
    tab_to(&page, "scene").unwrap();
    page.browser.press(&[ARROW_RIGHT, ARROW_DOWN], 600).unwrap();
    page.browser
        .wait("!pusht.game.is_in_tick && !pusht.pushing.wantsTime()")
        .unwrap();
    tab_to(&page, "keep").unwrap();
    page.browser.press(&[ENTER], 0).unwrap();
    page.browser
        .wait("document.getElementById('episodes').innerText.startsWith('2 episodes')")
        .unwrap();
    page.load().unwrap();
    page.browser
        .wait("document.getElementById('episodes').innerText.startsWith('2 episodes')")
        .unwrap();
    tab_to(&page, "save").unwrap();
    page.browser.press(&[ENTER], 0).unwrap();
    let file = page.browser.downloads.path().join("pusht_recorded.zip");
    while !file.exists() {
        page.browser
            .value("new Promise((resolve) => setTimeout(resolve, 100, 0))")
            .unwrap();
    }
    let recorded = pusht_host::data::Demonstrations::open(&file).unwrap();
    assert_eq!(recorded.episodes.len(), 2);
    let seeds: Vec<_> = recorded
        .episodes
        .iter()
        .map(|episode| episode.seed)
        .collect();
    assert_eq!(seeds, [Some(SEED), Some(7)]);
    assert_eq!(recorded.episodes[0].actions, actions);
    // Within the precision of a record, from the start state of the seed.
    let file = file.display().to_string();
    let words = [
        "replay",
        &file,
        "--tolerance-px",
        "0.0001",
        "--tolerance-rad",
        "0.000001",
    ];
    cmd::replay::run(&Replay::parse_from(words).args).unwrap();
    page.is_quiet().unwrap();
}

/// Drops a file with these bytes on the page.
fn drop_file(page: &Page, name: &str, bytes: &[u8]) -> Result<()> {
    page.browser.run(&format!(
        "const data = new DataTransfer();
         data.items.add(new File([new Uint8Array({})], '{name}'));
         for (const kind of ['dragover', 'drop']) {{
             document.body.dispatchEvent(new DragEvent(kind, {{ dataTransfer: data, bubbles: true, cancelable: true }}));
         }}",
        serde_json::to_string(bytes)?
    ))
}

#[test]
#[ignore = "needs Chromium and its driver: cargo verify web"]
fn a_broken_model_file_gives_its_error_and_changes_nothing() -> Result<()> {
    let page = Page::open()?;
    let whole = std::fs::read(model("pusht-small.ptm"))?;
    let mut flipped = whole.clone();
    flipped[5000] ^= 1;
    let fetch = std::fs::read(model("fetch.ptm"))?;
    for (name, bytes, message) in [
        ("cut.ptm", &whole[..whole.len() / 2], ""),
        ("flipped.ptm", &flipped, ""),
        ("empty.ptm", &[], ""),
        ("fetch.ptm", &fetch, "not of PushT"),
    ] {
        drop_file(&page, name, bytes)?;
        page.browser.wait(&format!(
            "document.getElementById('model-error').innerText.startsWith('{name}: ')"
        ))?;
        let shown = page.browser.text("#model-error")?;
        let expected = match pusht_core::quant::Model::parse(bytes) {
            Err(error) => error.to_string(),
            Ok(_) => message.to_owned(),
        };
        ensure!(shown.contains(&expected), "{shown}: not {expected}");
    }
    // The model that plays is the one before, and a sound file is taken by the dialog, too.
    page.run_to_the_end()?;
    ensure!(digests_there(&page)? == digests_here("pusht-small.ptm", SEED, None)?);
    page.browser.type_into(
        "#file",
        &model("pusht.ptm").canonicalize()?.display().to_string(),
    )?;
    page.browser
        .wait("document.getElementById('model').value === 'own'")?;
    ensure!(
        page.browser
            .value("document.getElementById('model-error').hidden")?
            == Value::Bool(true)
    );
    page.browser.click("#reset")?;
    page.run_to_the_end()?;
    ensure!(digests_there(&page)? == digests_here("pusht.ptm", SEED, None)?);
    page.is_quiet()
}
