//! Parts of a collection, collected apart, as one folder.

use super::writer::{Part, Writer, is_unused};
use crate::output::{UNFINISHED, rename_folder};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes the folder `out` with the attempts of all `parts`, in the order of their seeds: the bytes
/// that one run over all seeds writes.
///
/// The folder is made beside `out`, as `.unfinished-NAME`, and gets its name once it is whole and on
/// the disk. One that a killed run left is removed by the next.
///
/// # Errors
/// If a part can't be read or is incomplete, the parts have different settings, their seeds don't
/// follow one another, or `out` exists or can't be written.
pub fn join(out: &Path, parts: &[PathBuf]) -> Result<()> {
    let mut opened: Vec<Part> =
        (parts.iter().map(|path| Part::open(path))).collect::<Result<_>>()?;
    opened.sort_by_key(|part| part.settings.first_seed);
    let first = opened.first().context("no part to join")?;
    let mut settings = first.settings.clone();
    let first_seed = settings.first_seed;
    for part in &opened {
        let path = part.path().display();
        let expected = settings.first_seed;
        ensure!(
            part.settings.first_seed == expected,
            "{path}: its first seed is {}, where {expected} follows",
            part.settings.first_seed
        );
        ensure!(
            part.settings == settings,
            "{path}: its settings are not those of {}",
            opened[0].path().display()
        );
        settings.first_seed += part.n_attempts();
    }
    settings.first_seed = first_seed;
    ensure!(
        !out.exists() || is_unused(out)?,
        "{}: already there; name another folder",
        out.display()
    );
    let name = out.file_name().context("no name of a folder")?;
    let unfinished = out.with_file_name(format!("{UNFINISHED}{}", name.to_string_lossy()));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| unfinished.display().to_string())?;
    }
    let mut writer = Writer::create(&unfinished, &settings)?;
    for part in &opened {
        writer.append(part)?;
    }
    writer.finish()?;
    rename_folder(&unfinished, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::episode::{Policies, Settings, attempt};
    use crate::collect::kill_tests::in_memory;
    use crate::collect::tests::files;
    use crate::expert::ExpertOptions;
    use crate::kill::run_until;

    fn settings(first_seed: u64) -> Settings {
        Settings {
            first_seed,
            seeding: "legacy".into(),
            expert: ExpertOptions {
                n_samples: 24,
                ..ExpertOptions::default()
            },
            noise_share: 0.0,
            noise_px: 4.0,
            near_goal_share: 1.0,
            max_steps: 60,
            corrections: None,
            images: false,
        }
    }

    fn write(path: &Path, settings: &Settings, n_attempts: u64) {
        let mut writer = Writer::create(path, settings).unwrap();
        for number in 0..n_attempts {
            let attempt = attempt(settings, Policies::default(), number).unwrap();
            writer.add(&attempt).unwrap();
        }
        writer.finish().unwrap();
    }

    /// With unsolved attempts (60 steps are few), and more rows than a chunk holds.
    #[test]
    fn joined_parts_are_the_bytes_of_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let n_attempts = [20, 1, 29];
        let total: u64 = n_attempts.iter().sum();
        write(&path("whole"), &settings(1_000_000), total);
        let mut parts = Vec::new();
        let mut first = 1_000_000;
        for n in n_attempts {
            let part = path(&format!("{first}"));
            write(&part, &settings(first), n);
            parts.push(part);
            first += n;
        }
        parts.reverse();
        join(&path("joined"), &parts).unwrap();
        let (joined, whole) = (files(&path("joined")), files(&path("whole")));
        assert!(joined == whole, "the joined files differ");
        assert!(whole.contains_key("data/state/1.0"), "one chunk holds all");
        let log = String::from_utf8_lossy(&whole["episodes.csv"]);
        assert!(log.contains(",false,60,"), "every attempt was solved");
    }

    #[test]
    fn a_join_killed_at_any_point_can_be_repeated() {
        let folder = in_memory();
        let path = |name: &str| folder.path().join(name);
        write(&path("a"), &settings(1_000_000), 1);
        write(&path("b"), &settings(1_000_001), 1);
        let parts = [path("a"), path("b")];
        join(&path("whole"), &parts).unwrap();
        let whole = files(&path("whole"));
        for point in 0.. {
            let (out, killed) = (path("out"), path("out"));
            let killed_parts = parts.clone();
            let is_killed = run_until(point, move || join(&killed, &killed_parts).unwrap());
            // Nobody takes a part for the whole.
            assert!(!out.exists() || files(&out) == whole, "point {point}");
            if !is_killed {
                assert!(point >= 100, "only {point} points");
                return;
            }
            if !out.exists() {
                join(&out, &parts).unwrap();
            }
            assert!(files(&out) == whole, "point {point}");
            let left = fs::read_dir(folder.path()).unwrap();
            assert_eq!(
                left.count(),
                4,
                "point {point}: more than a, b, whole and out"
            );
            fs::remove_dir_all(out).unwrap();
        }
    }

    #[test]
    fn parts_that_do_not_follow_one_another_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        write(&path("a"), &settings(1_000_000), 2);
        write(&path("gap"), &settings(1_000_003), 1);
        let other = Settings {
            noise_px: 5.0,
            ..settings(1_000_002)
        };
        write(&path("other"), &other, 1);
        let refusal = |names: &[&str]| {
            let parts: Vec<PathBuf> = names.iter().map(|name| path(name)).collect();
            format!("{:#}", join(&path("out"), &parts).unwrap_err())
        };
        assert!(
            refusal(&["a", "gap"]).contains("its first seed is 1000003, where 1000002 follows")
        );
        assert!(refusal(&["a", "a"]).contains("its first seed is 1000000, where 1000002 follows"));
        assert!(refusal(&["a", "other"]).contains("other: its settings are not those of"));
        assert!(refusal(&["a", "missing"]).contains("missing"));
        assert!(refusal(&[]).contains("no part to join"));
        assert!(!path("out").exists());
    }
}
