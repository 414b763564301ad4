use super::*;
use crate::data::{Demonstrations, Episode};
use pusht_core::pusht::observation::{ObservationKind, STATE_DIM, observe};
use std::fs;

/// Three episodes of gym-pusht as LeRobot and zarr-python record them; see
/// `tests/golden/demonstrations/recorded.py`.
const RECORDED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/golden/demonstrations/recorded"
);

fn recorded(name: &str) -> Demonstrations {
    Demonstrations::open(&Path::new(RECORDED).join(name)).unwrap()
}

/// A copy of the recorded dataset.
fn copied() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(RECORDED).join("lerobot");
    let mut folders = vec![root.clone()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            let to = folder.path().join(entry.strip_prefix(&root).unwrap());
            match entry.is_dir() {
                true => {
                    fs::create_dir_all(to).unwrap();
                    folders.push(entry);
                }
                false => _ = fs::copy(entry, to).unwrap(),
            }
        }
    }
    folder
}

fn error_of(path: &Path) -> String {
    let message = format!("{:#}", Demonstrations::open(path).unwrap_err());
    assert!(!message.contains('\n'), "more than one line: {message}");
    message
}

/// Rewrites `meta/info.json`.
fn set_info(folder: &Path, change: impl Fn(&mut serde_json::Value)) {
    let path = folder.join(INFO);
    let mut info = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut info);
    fs::write(path, info.to_string()).unwrap();
}

/// Two files of frames in two folders; the block's pose from the corners.
#[test]
fn what_lerobot_records_reads_as_what_zarr_python_recorded() {
    let (lerobot, zarr) = (recorded("lerobot"), recorded("zarr3"));
    assert_eq!(lerobot.episodes.len(), zarr.episodes.len());
    for (read, exact) in lerobot.episodes.iter().zip(&zarr.episodes) {
        assert_eq!(read.states.len(), exact.states.len());
        for (read, exact) in read.states.iter().zip(&exact.states) {
            let [.., angle] = read;
            let [.., exact_angle] = exact;
            assert!(
                (angle - exact_angle).sin().abs() < 1e-6,
                "{read:?} is not {exact:?}"
            );
            for (a, b) in read[..4].iter().zip(exact) {
                assert!((a - b).abs() < 1e-4, "{read:?} is not {exact:?}");
            }
        }
        for (read, exact) in read.actions.iter().zip(&exact.actions) {
            assert_eq!(*read, exact.map(|v| f64::from(v as f32)));
        }
    }
}

#[test]
fn the_fitted_pose_is_the_one_that_the_corners_were_computed_from() {
    for step in 0..60 {
        let angle = f64::from(step) / 10.0;
        let state = [1.0, 2.0, 200.0 + angle, 300.0 - 2.0 * angle, angle];
        let mut vertices = [0.0; 18];
        observe(ObservationKind::Vertices, &state, &mut vertices).unwrap();
        let (pose, off) = pose::fit(vertices[..16].try_into().unwrap());
        assert!(off < 1e-9, "{off} px");
        for (fitted, given) in pose.iter().zip(&state[2..]) {
            assert!((fitted - given).abs() < 1e-9, "{pose:?} is not {state:?}");
        }
    }
}

#[test]
fn observations_of_any_policy_are_state_then_environment() {
    let dataset = LeRobotDataset::open(&Path::new(RECORDED).join("lerobot")).unwrap();
    let episodes = dataset.observations(18).unwrap();
    let lengths: Vec<usize> = episodes.iter().map(Vec::len).collect();
    assert_eq!(lengths, [10, 7, 12]);
    let state: [f64; STATE_DIM] = recorded("zarr3").episodes[1].states[3];
    let mut vertices = [0.0; 18];
    observe(ObservationKind::Vertices, &state, &mut vertices).unwrap();
    vertices.rotate_right(2);
    for (read, computed) in episodes[1][3].iter().zip(vertices) {
        assert!((read - computed).abs() < 1e-4, "{read} is not {computed}");
    }
    let message = format!("{:#}", dataset.observations(28).unwrap_err());
    assert!(
        message.contains("28 values") && message.contains("observation.state float32 [2]"),
        "{message}"
    );
}

/// The public `lerobot/pusht`, for one: its pictures show the block, its numbers do not.
#[test]
fn a_dataset_without_the_blocks_pose_is_refused_with_what_is_supported() {
    let folder = copied();
    set_info(folder.path(), |info| {
        let features = info["features"].as_object_mut().unwrap();
        features.remove(feature::ENV_STATE);
    });
    let message = error_of(folder.path());
    for words in [
        "no feature has the block's pose",
        "observation.environment_state of 16",
        "observation.image image [8, 8, 3]",
    ] {
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn another_version_is_refused_with_the_one_that_is_read() {
    let folder = copied();
    set_info(folder.path(), |info| {
        info["codebase_version"] = "v2.1".into()
    });
    let message = error_of(folder.path());
    assert!(message.contains("\"v2.1\"; v3.0 is supported"), "{message}");
}

#[test]
fn tables_that_do_not_fit_the_counts_are_refused() {
    let folder = copied();
    set_info(folder.path(), |info| info["total_frames"] = 28.into());
    assert!(error_of(folder.path()).contains("29 rows in all files"));
    set_info(folder.path(), |info| {
        info["total_frames"] = 29.into();
        info["total_episodes"] = 4.into();
    });
    assert!(error_of(folder.path()).contains("total_episodes 4"));
    set_info(folder.path(), |info| info["total_episodes"] = 3.into());
    fs::remove_dir_all(folder.path().join("data/chunk-001")).unwrap();
    assert!(error_of(folder.path()).contains("17 rows in all files"));
    fs::remove_dir_all(folder.path().join("data/chunk-000")).unwrap();
    assert!(error_of(folder.path()).contains("no chunk-*/file-*.parquet"));
}

#[test]
fn a_column_that_is_not_there_is_named_with_its_file() {
    let folder = copied();
    set_info(folder.path(), |info| {
        info["features"][feature::STATE] = serde_json::json!({"dtype": "float32", "shape": [5]});
    });
    let message = error_of(folder.path());
    assert!(
        message.contains("file-000.parquet: column state: it is missing"),
        "{message}"
    );
    set_info(folder.path(), |info| {
        info["features"]
            .as_object_mut()
            .unwrap()
            .remove(feature::STATE);
        info["features"][feature::OBS_STATE]["shape"] = serde_json::json!([5]);
    });
    let message = error_of(folder.path());
    assert!(
        message.contains("column observation.state: 20 values in 10 rows; 5"),
        "{message}"
    );
}

#[test]
fn a_damaged_table_never_panics() {
    let folder = copied();
    let path = folder.path().join("data/chunk-000/file-000.parquet");
    let bytes = fs::read(&path).unwrap();
    for keep in [0, 3, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..keep]).unwrap();
        let message = error_of(folder.path());
        assert!(message.contains("file-000.parquet"), "{message}");
    }
    let intact: Vec<Episode> = recorded("lerobot").episodes;
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(41) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        match Demonstrations::open(folder.path()) {
            Ok(read) => assert_eq!(read.episodes.len(), intact.len()),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 20, "only {refused} refused");
}

/// LeRobot may go on recording in a dataset of `pusht collect`: its file has no such columns.
#[test]
fn episodes_that_another_program_appended_leave_the_marks_of_the_others() {
    use crate::collect::episode::{Policies, Settings, attempt};
    use crate::collect::writer::Writer;
    let settings = Settings {
        first_seed: 1_000_000,
        seeding: "legacy".into(),
        expert: crate::expert::ExpertOptions::default(),
        noise_share: 0.0,
        noise_px: 0.0,
        near_goal_share: 0.0,
        max_steps: 300,
        corrections: None,
        images: false,
    };
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join(crate::collect::RECORDING);
    let mut writer = Writer::create(&recording, &settings).unwrap();
    let mut marked = attempt(&settings, Policies::default(), 0).unwrap();
    marked.recorded[0].episode.cut_off = true;
    writer.add(&marked).unwrap();
    writer.commit().unwrap();
    crate::collect::lerobot::write(folder.path()).unwrap();

    let episodes = folder.path().join("meta/episodes");
    fs::create_dir_all(episodes.join("chunk-001")).unwrap();
    let appended = Path::new(RECORDED).join("lerobot/meta/episodes/chunk-000/file-000.parquet");
    fs::copy(appended, episodes.join("chunk-001/file-000.parquet")).unwrap();
    let marks = episodes::Marks::read(&Table::open(&episodes).unwrap()).unwrap();
    assert_eq!(marks.seeds, [Some(1_000_000), None, None]);
    assert_eq!(marks.cut_off, [true, false, false]);
}
