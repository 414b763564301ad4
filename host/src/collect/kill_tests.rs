//! A run that is killed, or whose machine loses its power, at each point at which it changes the
//! file system, and then goes on.

use super::episode::{Attempt, Recording, Step};
use super::tests::files;
use super::*;
use crate::data::Episode;
use crate::expert::ExpertOptions;
use crate::kill::{Loss, run_until, run_until_power_fails};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tempfile::TempDir;

fn settings() -> Settings {
    Settings {
        first_seed: 1_900_000,
        seeding: "legacy".into(),
        expert: ExpertOptions::default(),
        noise_share: 0.0,
        noise_px: 4.0,
        near_goal_share: 0.0,
        max_steps: 300,
        corrections: None,
        images: false,
    }
}

/// Three attempts, of which the second was not solved.
fn attempts() -> [Attempt; 3] {
    [0, 1, 2].map(|number| {
        let n_steps = 3 + number as usize;
        let recording = Recording {
            episode: Episode {
                states: vec![[200.0 + number as f64, 100.0, 220.0, 300.0, 0.5]; n_steps],
                actions: vec![[210.0, 110.0]; n_steps],
                continues: false,
                cut_off: false,
                seed: Some(1_900_000 + number),
            },
            steps: vec![
                Step {
                    n_contacts: 1,
                    next_coverage: 0.5,
                };
                n_steps
            ],
            pictures: Vec::new(),
        };
        Attempt {
            seed: 1_900_000 + number,
            near_goal: false,
            noisy: false,
            solved: number != 1,
            steps: n_steps,
            max_coverage: 0.5,
            recorded: if number == 1 {
                Vec::new()
            } else {
                vec![recording]
            },
            cpu: Duration::ZERO,
        }
    })
}

/// The rest of the run, as the command does it: three attempts, or one for a dataset.
fn run(out: &Path, format: Format, resume: bool) -> Result<()> {
    run_counted(out, format, resume, &AtomicUsize::new(0))
}

/// As [`run`]; counts the episodes that are stored.
fn run_counted(out: &Path, format: Format, resume: bool, stored: &AtomicUsize) -> Result<()> {
    let mut writer = open(out, format, resume, &settings())?;
    let n_attempts = if format == Format::Zarr { 3 } else { 1 };
    for attempt in &attempts()[writer.next_attempt() as usize..n_attempts] {
        writer.add(attempt)?;
        writer.commit()?;
        stored.fetch_add(attempt.recorded.len(), Ordering::Relaxed);
    }
    writer.finish()?;
    #[cfg(feature = "demonstrations")]
    if format == Format::Lerobot {
        lerobot::write(out)?;
    }
    Ok(())
}

/// A folder in memory where the system has such a place: the tests wait for the disk some ten
/// thousand times.
pub(super) fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => TempDir::new_in(memory),
        false => TempDir::new(),
    };
    folder.unwrap()
}

/// Kills a run at every point; each folder must start or resume, to the bytes of one in one go.
fn check_every_point(format: Format) {
    let folder = in_memory();
    let whole = folder.path().join("whole");
    run(&whole, format, false).unwrap();
    let whole = files(&whole);
    for point in 0.. {
        let out = folder.path().join(point.to_string());
        let killed = out.clone();
        if !run_until(point, move || run(&killed, format, false).unwrap()) {
            // Four for each file that is written, and two for each folder that is made.
            assert!(point >= 120, "only {point} points");
            return;
        }
        if let Err(refusal) = run(&out, format, false) {
            let resumed = run(&out, format, true);
            assert!(resumed.is_ok(), "point {point}: {refusal:#}; {resumed:?}");
        }
        assert!(files(&out) == whole, "point {point}");
        std::fs::remove_dir_all(out).unwrap();
    }
}

#[test]
fn a_run_killed_at_any_point_starts_or_resumes_to_the_same_files() {
    check_every_point(Format::Zarr);
}

#[test]
#[cfg(feature = "demonstrations")]
fn a_dataset_killed_at_any_point_starts_or_resumes_to_the_same_files() {
    check_every_point(Format::Lerobot);
}

/// Fails the power at every point, with different losses. Each folder must start or resume, to the
/// bytes of a run in one go, and have every episode that was stored before.
fn check_every_power_failure(format: Format) {
    let folder = in_memory();
    let whole = folder.path().join("whole");
    run(&whole, format, false).unwrap();
    let whole = files(&whole);
    let out = folder.path().join("out");
    let recording = match format {
        Format::Zarr => out.clone(),
        Format::Lerobot => out.join(RECORDING),
    };
    let losses = [Loss::All, Loss::Names, Loss::Some(0), Loss::Some(1 << 32)];
    for point in 0.. {
        for loss in losses {
            let stored = Arc::new(AtomicUsize::new(0));
            let (counted, killed) = (stored.clone(), out.clone());
            let has_failed = run_until_power_fails(point, loss, move || {
                run_counted(&killed, format, false, &counted).unwrap();
            });
            if !has_failed {
                assert!(point >= 120, "only {point} points");
                return;
            }
            let needed = stored.load(Ordering::Relaxed);
            if needed > 0 {
                let shape = column::read_json(&recording.join("meta/attempt/.zarray")).unwrap();
                let found = shape["shape"][0].as_u64().unwrap() as usize;
                assert!(found >= needed, "{point}, {loss:?}: {found} of {needed}");
            }
            if let Err(refusal) = run(&out, format, false) {
                let resumed = run(&out, format, true);
                let place = format!("point {point}, {loss:?}");
                assert!(resumed.is_ok(), "{place}: {refusal:#}; {resumed:?}");
            }
            assert!(files(&out) == whole, "point {point}, {loss:?}");
            std::fs::remove_dir_all(&out).unwrap();
        }
    }
}

#[test]
fn a_run_whose_power_fails_at_any_point_starts_or_resumes_to_the_same_files() {
    check_every_power_failure(Format::Zarr);
}

#[test]
#[cfg(feature = "demonstrations")]
fn a_dataset_whose_power_fails_at_any_point_starts_or_resumes_to_the_same_files() {
    check_every_power_failure(Format::Lerobot);
}

/// A recording of before, whose run was killed while the folder was made, has no root `.zgroup`.
#[test]
fn a_folder_without_its_group_gets_one_and_keeps_its_episodes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    run(&out, Format::Zarr, false).unwrap();
    let whole = files(&out);
    std::fs::remove_file(out.join(".zgroup")).unwrap();
    run(&out, Format::Zarr, true).unwrap();
    assert!(files(&out) == whole);
    // With it, a missing array is damage.
    std::fs::remove_file(out.join("meta/attempt/.zarray")).unwrap();
    let error = format!("{:#}", run(&out, Format::Zarr, true).unwrap_err());
    let place = error.replace('\\', "/");
    assert!(place.contains("meta/attempt/.zarray"), "{error}");
}

#[test]
fn a_folder_whose_settings_are_lost_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    run(&out, Format::Zarr, false).unwrap();
    let attributes = std::fs::read_to_string(out.join(".zattrs")).unwrap();
    let refusal = |text: &str| {
        std::fs::write(out.join(".zattrs"), text).unwrap();
        format!("{:#}", run(&out, Format::Zarr, true).unwrap_err())
    };
    for (text, word) in [
        ("{}", "no pusht_collect"),
        ("{\"pusht_collect\": null}", "pusht_collect"),
        ("{\"pusht_collect\": {}}", "missing field"),
        (
            &attributes.replace("noise_px", "noise"),
            "missing field `noise_px`",
        ),
        (
            &attributes.replace("pusht_collect", "collect"),
            "no pusht_collect",
        ),
        ("[]", "no pusht_collect"),
        ("", ".zattrs"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(word), "{text}: {refusal}");
    }
    std::fs::remove_file(out.join(".zattrs")).unwrap();
    let error = format!("{:#}", run(&out, Format::Zarr, true).unwrap_err());
    assert!(error.contains(".zattrs"), "{error}");
    std::fs::write(out.join(".zattrs"), attributes).unwrap();
    run(&out, Format::Zarr, true).unwrap();
}

#[test]
fn the_keys_of_metadata_are_sorted_in_every_build() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    run(&out, Format::Zarr, false).unwrap();
    for (name, bytes) in files(&out) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let keys: Vec<&str> = (text.lines())
            .filter(|line| line.starts_with("  \""))
            .filter_map(|line| line.split('"').nth(1))
            .collect();
        if name.ends_with(".zarray") {
            assert_eq!(keys.len(), 8, "{name}");
        }
        assert!(keys.is_sorted(), "{name}: {keys:?}");
    }
    let attributes = std::fs::read_to_string(out.join(".zattrs")).unwrap();
    let order = [
        "corrections",
        "expert",
        "first_seed",
        "images",
        "max_steps",
        "near_goal",
    ];
    let places: Vec<_> = order.iter().map(|key| attributes.find(key)).collect();
    assert!(places.is_sorted() && places[0].is_some(), "{attributes}");
}
