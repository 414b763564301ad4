use super::episode::{Corrections, NEAR_MISS_COVERAGE, Policies, Recording, attempt};
use super::*;
#[cfg(feature = "demonstrations")]
use crate::data::Demonstrations;
use crate::engine::{Engine, PolicyArgs};
use crate::expert::ExpertOptions;
use pusht_core::pusht::env::{PushTEnv, PushTParams, StartOrder, StartState};
use std::fs;
use std::path::Path;

fn settings() -> Settings {
    Settings {
        first_seed: 1_900_000,
        seeding: "legacy".into(),
        expert: ExpertOptions {
            n_samples: 24,
            ..ExpertOptions::default()
        },
        noise_share: 0.5,
        noise_px: 4.0,
        near_goal_share: 0.5,
        max_steps: 300,
        corrections: None,
        images: false,
    }
}

fn run(writer: &mut Writer, settings: &Settings, n_attempts: u64) -> Summary {
    let (never, hidden) = (AtomicBool::new(false), ProgressBar::hidden());
    collect(
        settings,
        Policies::default(),
        n_attempts,
        writer,
        &never,
        &hidden,
    )
    .unwrap()
}

/// All files in `folder` with their bytes.
pub(super) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let name = path.strip_prefix(folder).unwrap().display().to_string();
                    found.insert(name.replace('\\', "/"), fs::read(&path).unwrap());
                }
            }
        }
    }
    found
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (
        folder.path().join("whole.zarr"),
        folder.path().join("parts.zarr"),
    );
    let mut writer = Writer::create(&whole, &settings()).unwrap();
    let summary = run(&mut writer, &settings(), 12);
    writer.finish().unwrap();
    assert_eq!(summary.attempts, 12);

    run(
        &mut Writer::create(&parts, &settings()).unwrap(),
        &settings(),
        5,
    );
    // Simulates a kill during the sixth attempt: its rows exist, its episode end does not.
    let before = files(&parts.join("meta"));
    run(
        &mut Writer::resume(&parts, &settings()).unwrap(),
        &settings(),
        6,
    );
    for (name, bytes) in before {
        fs::write(parts.join("meta").join(name), bytes).unwrap();
    }
    let mut writer = Writer::resume(&parts, &settings()).unwrap();
    run(&mut writer, &settings(), 12);
    writer.finish().unwrap();
    assert!(files(&whole) == files(&parts));

    #[cfg(feature = "demonstrations")]
    {
        let demonstrations = Demonstrations::open(&whole).unwrap();
        assert_eq!(demonstrations.episodes.len() as u64, summary.episodes);
        assert_eq!(demonstrations.n_steps() as u64, summary.steps);
    }
}

#[test]
#[cfg(feature = "demonstrations")]
fn a_long_record_spans_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.zarr");
    let settings = settings();
    let mut writer = Writer::create(&path, &settings).unwrap();
    let one = attempt(&settings, Policies::default(), 0).unwrap();
    let n_rows = one.recorded[0].episode.states.len();
    let n_attempts = 3 * 1024 / n_rows + 1;
    for number in 0..n_attempts {
        writer.add(&one).unwrap();
        writer.commit().unwrap();
        if number % 5 == 0 {
            writer = Writer::resume(&path, &settings).unwrap();
        }
    }
    let episodes = Demonstrations::open(&path).unwrap().episodes;
    assert_eq!(episodes.len(), n_attempts);
    for episode in &episodes {
        for (read, written) in episode.states.iter().zip(&one.recorded[0].episode.states) {
            assert_eq!(*read, written.map(|v| f64::from(v as f32)));
        }
        assert_eq!(episode.actions, one.recorded[0].episode.actions);
    }
}

/// They are in no array, and the log has their rows once the run ends.
#[test]
fn the_last_attempts_without_an_episode_are_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.zarr");
    let attempt = |seed| Attempt {
        seed,
        near_goal: false,
        noisy: true,
        solved: false,
        steps: 300,
        max_coverage: 0.5,
        recorded: Vec::new(),
        cpu: Duration::ZERO,
    };
    let mut writer = Writer::create(&path, &settings()).unwrap();
    for seed in [7, 9] {
        writer.add(&attempt(seed)).unwrap();
    }
    writer.finish().unwrap();
    let log = fs::read_to_string(path.join("episodes.csv")).unwrap();
    let rows: Vec<&str> = log.lines().skip(1).collect();
    let expected = [
        "0,7,false,true,false,300,0.5,0,0",
        "1,9,false,true,false,300,0.5,0,0",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_folder_is_not_overwritten_and_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.zarr");
    let error = |result: Result<Writer>| format!("{:#}", result.err().unwrap());
    assert!(error(Writer::resume(&path, &settings())).contains("some.zarr"));
    Writer::create(&path, &settings()).unwrap();
    assert!(error(Writer::create(&path, &settings())).contains("--resume"));
    let other = Settings {
        noise_px: 5.0,
        ..settings()
    };
    let message = error(Writer::resume(&path, &other));
    assert!(message.contains("noise_px 4.0, now 5.0"), "{message}");
}

#[test]
fn what_is_recorded_without_noise_is_what_happened() {
    let settings = Settings {
        noise_share: 0.0,
        ..settings()
    };
    for number in 0..6 {
        let attempt = attempt(&settings, Policies::default(), number).unwrap();
        let episode = &attempt.recorded[0].episode;
        let mut env = match episode.seed {
            Some(seed) => {
                crate::evaluate::start(seed, pusht_core::pusht::env::Seeding::Legacy).unwrap()
            }
            None => {
                let start = StartState::from_state(&episode.states[0]);
                PushTEnv::new(PushTParams::default(), start, StartOrder::AngleFirst).unwrap()
            }
        };
        for (state, action) in episode.states.iter().zip(&episode.actions) {
            assert_eq!(env.state(), *state);
            env.step(*action).unwrap();
        }
        assert!(env.coverage() > settings.expert.stop_coverage);
    }
}

#[test]
fn a_start_near_the_goal_has_minus_one_for_a_seed() {
    for (near_goal_share, expected) in [(1.0, -1), (0.0, 1_900_000)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.zarr");
        let settings = Settings {
            near_goal_share,
            ..settings()
        };
        let mut writer = Writer::create(&path, &settings).unwrap();
        assert_eq!(run(&mut writer, &settings, 1).episodes, 1);
        let seeds = &files(&path)["meta/seed/0"];
        assert_eq!(seeds[..8], i64::to_le_bytes(expected));
    }
}

#[test]
fn with_noise_the_intended_actions_are_recorded_and_keep_the_speed_limit() {
    let noisy = Settings {
        noise_share: 1.0,
        ..settings()
    };
    let attempt = attempt(&noisy, Policies::default(), 0).unwrap();
    let episode = &attempt.recorded[0].episode;
    assert!(attempt.noisy && attempt.solved);
    for pair in episode.actions.windows(2) {
        let step = (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]);
        assert!(step <= noisy.expert.speed_limit_px + 1e-3, "{step}");
    }
    // The recorded actions have no noise, so a replay ends in another state.
    let mut env = match episode.seed {
        Some(seed) => {
            crate::evaluate::start(seed, pusht_core::pusht::env::Seeding::Legacy).unwrap()
        }
        None => return,
    };
    episode
        .actions
        .iter()
        .for_each(|action| _ = env.step(*action).unwrap());
    assert_ne!(env.state(), *episode.states.last().unwrap());
}

#[test]
fn corrections_begin_with_the_policys_row_and_are_cut_off() {
    let corrections = Settings {
        near_goal_share: 0.0,
        corrections: Some(Corrections {
            policy_crc32c: 0,
            teacher_crc32c: None,
            n_action_steps: 8,
            per_episode: 6,
            steps: 10,
            near_miss_share: 0.5,
        }),
        ..settings()
    };
    let policy = Engine::load(&PolicyArgs::default()).unwrap();
    // The expert corrects the policy, then the policy itself does.
    for teacher in [None, Some(&policy)] {
        let policies = Policies {
            player: Some(&policy),
            teacher,
        };
        let attempt = attempt(&corrections, policies, 3).unwrap();
        assert_eq!(attempt.recorded.len(), 6);
        let mut n_near = 0;
        for Recording { episode, .. } in &attempt.recorded {
            assert!(episode.continues);
            assert_eq!(episode.cut_off, episode.states.len() == 11);
            let start = StartState::from_state(&episode.states[1]);
            let env = PushTEnv::new(PushTParams::default(), start, StartOrder::AngleFirst).unwrap();
            n_near += usize::from(env.coverage() >= NEAR_MISS_COVERAGE - 1e-3);
        }
        assert!(n_near >= 1);
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    assert!(settings().check(8).is_ok());
    let refused = |change: fn(&mut Settings), named: &str| {
        let mut changed = settings();
        change(&mut changed);
        let message = changed.check(8).unwrap_err().to_string();
        assert!(message.contains(named), "{message}");
    };
    refused(|s| s.noise_share = 1.5, "noise share 1.5");
    refused(|s| s.near_goal_share = f64::NAN, "near-goal share");
    refused(|s| s.noise_px = -1.0, "-1 px");
    refused(|s| s.expert.n_samples = 0, "0 samples");
    refused(|s| s.first_seed = (1 << 32) - 7, "legacy seeds end");
    refused(|s| s.first_seed = u64::MAX, "legacy seeds end");
}

/// Collects into a LeRobot dataset, as the command does.
#[cfg(feature = "demonstrations")]
fn collect_lerobot(folder: &Path, settings: &Settings, n_attempts: u64) {
    let recording = folder.join(RECORDING);
    let mut writer = match recording.exists() {
        true => Writer::resume(&recording, settings).unwrap(),
        false => Writer::create(&recording, settings).unwrap(),
    };
    run(&mut writer, settings, n_attempts);
    writer.finish().unwrap();
    lerobot::write(folder).unwrap();
}

#[test]
#[cfg(feature = "demonstrations")]
fn a_lerobot_dataset_reads_as_its_recording() {
    let folder = tempfile::tempdir().unwrap();
    collect_lerobot(folder.path(), &settings(), 6);
    let dataset = Demonstrations::open(folder.path()).unwrap();
    let recording = Demonstrations::open(&folder.path().join(RECORDING)).unwrap();
    assert!(
        recording
            .episodes
            .iter()
            .any(|episode| episode.seed.is_none())
    );
    assert_eq!(dataset, recording);
}

#[test]
#[cfg(feature = "demonstrations")]
fn a_continued_lerobot_dataset_has_the_bytes_of_one_in_one_go() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    collect_lerobot(&whole, &settings(), 6);
    collect_lerobot(&parts, &settings(), 3);
    // Simulates a kill while the dataset was being written.
    fs::create_dir_all(parts.join("unfinished/data")).unwrap();
    fs::remove_dir_all(parts.join("meta")).unwrap();
    collect_lerobot(&parts, &settings(), 6);
    assert!(files(&whole) == files(&parts));
}

#[test]
#[cfg(feature = "demonstrations")]
fn corrections_keep_their_marks_in_a_lerobot_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(RECORDING);
    let settings = settings();
    let mut writer = Writer::create(&path, &settings).unwrap();
    let mut marked = attempt(&settings, Policies::default(), 0).unwrap();
    marked.recorded[0].episode.continues = true;
    marked.recorded[0].episode.cut_off = true;
    writer.add(&marked).unwrap();
    writer
        .add(&attempt(&settings, Policies::default(), 1).unwrap())
        .unwrap();
    writer.commit().unwrap();
    lerobot::write(folder.path()).unwrap();
    let episodes = Demonstrations::open(folder.path()).unwrap().episodes;
    let marks: Vec<_> = episodes.iter().map(|e| (e.continues, e.cut_off)).collect();
    assert_eq!(marks, [(true, true), (false, false)]);
}

#[test]
fn pictures_are_those_of_the_states_and_go_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let settings = Settings {
        images: true,
        ..settings()
    };
    let mut writer = Writer::create(&whole, &settings).unwrap();
    run(&mut writer, &settings, 2);
    run(
        &mut Writer::create(&parts, &settings).unwrap(),
        &settings,
        1,
    );
    run(
        &mut Writer::resume(&parts, &settings).unwrap(),
        &settings,
        2,
    );
    assert!(files(&whole.join("data")) == files(&parts.join("data")));

    let Recording {
        episode, pictures, ..
    } = &attempt(&settings, Policies::default(), 0).unwrap().recorded[0];
    let pictures: Vec<&[u8]> = pictures.chunks(96 * 96 * 3).collect();
    assert_eq!(pictures.len(), episode.states.len());
    // Blue at the agent, as gym-pusht's window is reduced: 512 to 96.
    for (picture, [x, y, ..]) in pictures.iter().zip(&episode.states) {
        let [column, row] = [x, y].map(|v| (v * 96.0 / 512.0) as usize);
        let [red, _, blue] = picture[3 * (96 * row + column)..][..3] else {
            unreachable!()
        };
        assert!(blue > red, "no agent at {x}, {y}");
    }
}

#[test]
#[cfg(feature = "demonstrations")]
fn pictures_of_a_lerobot_dataset_are_those_of_its_recording() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{Field, RowAccessor};
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        images: true,
        ..settings()
    };
    collect_lerobot(folder.path(), &settings, 1);
    let info = fs::read_to_string(folder.path().join("meta/info.json")).unwrap();
    assert!(info.contains("observation.image"), "{info}");
    let recorded = &attempt(&settings, Policies::default(), 0).unwrap().recorded[0];
    let file = fs::File::open(folder.path().join("data/chunk-000/file-000.parquet")).unwrap();
    let table = SerializedFileReader::new(file).unwrap();
    let mut n_rows = 0;
    for (row, expected) in (table.get_row_iter(None).unwrap()).zip(recorded.pictures.chunks(27648))
    {
        let columns = row.unwrap().into_columns();
        let image = columns.iter().find(|(name, _)| name == "observation.image");
        let Some((_, Field::Group(image))) = image else {
            panic!("no picture in row {n_rows}");
        };
        let file = std::io::Cursor::new(image.get_bytes(0).unwrap().data().to_vec());
        let mut picture = vec![0; expected.len()];
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        reader.next_frame(&mut picture).unwrap();
        assert!(picture == expected, "row {n_rows}");
        n_rows += 1;
    }
    assert_eq!(n_rows, recorded.steps.len());
    let read = Demonstrations::open(folder.path()).unwrap();
    assert_eq!(read.n_steps(), n_rows);
}
