use super::*;
use std::fs;
use std::path::PathBuf;

/// Eight steps in episodes of 3, 1 and 4; see `tests/golden/demonstrations/generate.py`.
const TINY_ZIP: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/golden/demonstrations/tiny.zip"
);

/// Three episodes of gym-pusht as other programs record them; see
/// `tests/golden/demonstrations/recorded.py`.
const RECORDED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/golden/demonstrations/recorded"
);

/// Writes a folder with `arrays` (name, type, shape, little-endian bytes), one plain chunk each.
fn zarr_folder(arrays: &[(&str, &str, &[usize], Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, dtype, shape, bytes) in arrays {
        let array = folder.path().join(name);
        fs::create_dir_all(&array).unwrap();
        let metadata = serde_json::json!({
            "zarr_format": 2, "shape": shape, "chunks": shape, "dtype": dtype, "compressor": null,
            "fill_value": 0, "order": "C", "filters": null,
        });
        fs::write(array.join(".zarray"), metadata.to_string()).unwrap();
        let chunk = vec!["0"; shape.len()].join(".");
        fs::write(array.join(chunk), bytes).unwrap();
    }
    folder
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn i64s(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Writes a folder with two steps.
fn two_steps(states: &[f32; 10], actions: &[f32; 4], ends: &[i64]) -> tempfile::TempDir {
    zarr_folder(&[
        ("data/state", "<f4", &[2, 5], f32s(states)),
        ("data/action", "<f4", &[2, 2], f32s(actions)),
        ("meta/episode_ends", "<i8", &[ends.len()], i64s(ends)),
    ])
}

fn error_of(path: &Path) -> String {
    let message = format!("{:#}", Demonstrations::open(path).unwrap_err());
    assert!(!message.contains('\n'), "more than one line: {message}");
    message
}

#[test]
fn bit_shuffled_chunks_in_a_zip_are_decoded() {
    let demonstrations = Demonstrations::open(Path::new(TINY_ZIP)).unwrap();
    let lengths: Vec<usize> = demonstrations
        .episodes
        .iter()
        .map(|e| e.states.len())
        .collect();
    assert_eq!(lengths, [3, 1, 4]);
    let last = &demonstrations.episodes[2];
    assert_eq!(last.states[3], [700.0, 700.125, 700.25, 700.375, 700.5]);
    assert_eq!(last.actions[3], [-700.0, -700.125]);
    assert_eq!(demonstrations.n_steps(), 8);
}

#[test]
fn a_folder_reads_as_its_arrays() {
    let folder = two_steps(&[1.0; 10], &[2.0; 4], &[1, 2]);
    let demonstrations = Demonstrations::open(folder.path()).unwrap();
    assert_eq!(demonstrations.episodes.len(), 2);
    assert_eq!(demonstrations.episodes[1].actions, [[2.0, 2.0]]);
    let other = two_steps(&[1.0; 10], &[2.5; 4], &[1, 2]);
    let other = Demonstrations::open(other.path()).unwrap();
    assert_ne!(demonstrations.crc32(), other.crc32());
}

#[test]
fn a_truncated_archive_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.zip");
    let bytes = fs::read(TINY_ZIP).unwrap();
    for keep in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..keep]).unwrap();
        let message = error_of(&path);
        assert!(message.contains("short.zip"), "{message}");
    }
}

#[test]
fn a_flipped_bit_in_an_archive_is_never_read_as_other_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flipped.zip");
    let bytes = fs::read(TINY_ZIP).unwrap();
    let intact = Demonstrations::open(Path::new(TINY_ZIP)).unwrap();
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(37) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        // Flipped bits in ignored metadata, such as dates, are harmless.
        match Demonstrations::open(&path) {
            Ok(read) => assert_eq!(read, intact, "byte {at}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 10, "only {refused} refused");
}

#[test]
fn a_missing_file_or_array_is_named() {
    let message = error_of(Path::new("/no/such/pusht.zip"));
    assert!(message.contains("/no/such/pusht.zip"), "{message}");
    // It would be read for ever.
    let message = error_of(Path::new("/dev/zero"));
    assert!(message.contains("not a regular file"), "{message}");
    let folder = two_steps(&[1.0; 10], &[2.0; 4], &[2]);
    fs::remove_dir_all(folder.path().join("data/action")).unwrap();
    let message = error_of(folder.path());
    assert!(message.contains("data/action"), "{message}");
}

#[test]
fn a_missing_or_short_chunk_is_not_read_as_zeros() {
    let folder = two_steps(&[1.0; 10], &[2.0; 4], &[2]);
    let chunk: PathBuf = folder.path().join("data/state/0.0");
    fs::write(&chunk, f32s(&[1.0; 7])).unwrap();
    assert!(error_of(folder.path()).contains("data/state"));
    fs::remove_file(&chunk).unwrap();
    let message = error_of(folder.path());
    assert!(message.contains("data/state/0.0 is missing"), "{message}");
}

#[test]
fn values_that_are_not_finite_are_located() {
    let mut states = [1.0; 10];
    states[7] = f32::NAN;
    let folder = two_steps(&states, &[2.0; 4], &[2]);
    assert!(error_of(folder.path()).contains("data/state: row 1 is not finite"));
    let folder = two_steps(&[1.0; 10], &[2.0, f32::INFINITY, 2.0, 2.0], &[2]);
    assert!(error_of(folder.path()).contains("data/action: row 0 is not finite"));
}

#[test]
fn episode_ends_that_do_not_follow_each_other_are_refused() {
    for ends in [
        &[] as &[i64],
        &[1],
        &[1, 1, 2],
        &[2, 1],
        &[-1, 2],
        &[0, 2],
        &[1, 3],
    ] {
        let folder = two_steps(&[1.0; 10], &[2.0; 4], ends);
        let message = error_of(folder.path());
        assert!(message.contains("meta/episode_ends"), "{ends:?}: {message}");
    }
}

#[test]
fn another_shape_or_type_is_refused() {
    let state = || ("data/state", "<f4", &[2_usize, 5] as &[_], f32s(&[1.0; 10]));
    let ends = || ("meta/episode_ends", "<i8", &[1_usize] as &[_], i64s(&[2]));
    for (dtype, shape, bytes) in [
        ("<f4", &[2_usize, 3] as &[usize], f32s(&[1.0; 6])),
        ("<f4", &[4], f32s(&[1.0; 4])),
        ("<f4", &[3, 2], f32s(&[1.0; 6])),
        ("<i8", &[2, 2], i64s(&[1; 4])),
    ] {
        let folder = zarr_folder(&[state(), ("data/action", dtype, shape, bytes), ends()]);
        let message = error_of(folder.path());
        assert!(
            message.contains("data/action"),
            "{dtype} {shape:?}: {message}"
        );
    }
}

/// The authors' dataset, if available: in `PUSHT_DATASET`, or `shared/data` beside the repository.
fn authors_dataset() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/pusht.zip");
    let path = std::env::var_os("PUSHT_DATASET").unwrap_or(beside.into());
    Some(PathBuf::from(path)).filter(|path| path.exists())
}

#[test]
fn the_authors_dataset_has_206_episodes() {
    let Some(path) = authors_dataset() else {
        eprintln!("skipped: the authors' pusht.zip is not here (set PUSHT_DATASET)");
        return;
    };
    let demonstrations = Demonstrations::open(&path).unwrap();
    assert_eq!(demonstrations.episodes.len(), 206);
    assert_eq!(demonstrations.n_steps(), 25_650);
}

#[test]
fn episodes_that_continue_are_marked() {
    let arrays = |flags: &[u8]| {
        zarr_folder(&[
            ("data/state", "<f4", &[2, 5], f32s(&[1.0; 10])),
            ("data/action", "<f4", &[2, 2], f32s(&[2.0; 4])),
            ("meta/episode_ends", "<i8", &[2], i64s(&[1, 2])),
            ("meta/continues", "|b1", &[flags.len()], flags.to_vec()),
        ])
    };
    let marked = Demonstrations::open(arrays(&[0, 1]).path()).unwrap();
    let flags: Vec<bool> = marked.episodes.iter().map(|e| e.continues).collect();
    assert_eq!(flags, [false, true]);
    let unmarked = Demonstrations::open(arrays(&[0, 0]).path()).unwrap();
    assert_ne!(marked.crc32(), unmarked.crc32());
    let message = error_of(arrays(&[1]).path());
    assert!(message.contains("meta/continues"), "{message}");
}

/// Largest deviation of every episode's replay from its record, px or rad.
fn replayed(demonstrations: &Demonstrations) -> f64 {
    let episodes = demonstrations.episodes.iter().enumerate();
    let deviations = episodes.map(|(number, episode)| {
        let deviation = crate::cmd::replay::replay(number as u64, episode).unwrap();
        deviation.px.0.max(deviation.rad.0)
    });
    deviations.fold(0.0, f64::max)
}

#[test]
fn arrays_of_zarr_python_3_are_read_in_double_precision() {
    for name in ["zarr3", "zarr2_zstd"] {
        let read = Demonstrations::open(&Path::new(RECORDED).join(name)).unwrap();
        let lengths: Vec<usize> = read.episodes.iter().map(|e| e.states.len()).collect();
        assert_eq!(lengths, [10, 7, 12], "{name}");
        // Records of single precision are a hundred times as far off.
        let deviation = replayed(&read);
        assert!(deviation < 1e-6, "{name}: {deviation}");
    }
}

#[test]
fn a_zipped_folder_of_zarr_v3_reads_as_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zipped.zip");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let root = Path::new(RECORDED).join("zarr3");
    let mut folders = vec![root.clone()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let name = entry.strip_prefix(&root).unwrap().display().to_string();
            archive
                .start_file(name, zip::write::SimpleFileOptions::default())
                .unwrap();
            std::io::Write::write_all(&mut archive, &fs::read(entry).unwrap()).unwrap();
        }
    }
    archive.finish().unwrap();
    assert_eq!(
        Demonstrations::open(&path).unwrap(),
        Demonstrations::open(&root).unwrap()
    );
}

/// Rewrites fields of an array's `.zarray`.
fn set_metadata(folder: &Path, name: &str, fields: &[(&str, serde_json::Value)]) {
    let path = folder.join(name).join(".zarray");
    let mut metadata: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (field, value) in fields {
        metadata[field] = value.clone();
    }
    fs::write(path, metadata.to_string()).unwrap();
}

/// A length that overflows when it is multiplied used to end in a panic.
#[test]
fn extents_beyond_all_memory_are_refused_with_shape_and_chunks() {
    use serde_json::json;
    for (shape, chunks, words) in [
        (
            json!([1_u64 << 63, 5]),
            json!([1, 3]),
            "[9223372036854775808, 5] in chunks of [1, 3]",
        ),
        (
            json!([1_u64 << 40, 5]),
            json!([1_u64 << 40, 5]),
            "[1099511627776, 5] in chunks",
        ),
        (
            json!([2, 5]),
            json!([1_u64 << 40, 5]),
            "[2, 5] in chunks of [1099511627776, 5]",
        ),
        (json!([2, 5]), json!([0, 5]), "[2, 5] in chunks of [0, 5]"),
        (json!([2, 5]), json!([2]), "[2, 5] in chunks of [2]"),
        (json!([-2, 5]), json!([2, 5]), "shape [-2,5]"),
    ] {
        let folder = two_steps(&[1.0; 10], &[2.0; 4], &[2]);
        set_metadata(
            folder.path(),
            "data/state",
            &[("shape", shape), ("chunks", chunks)],
        );
        let message = error_of(folder.path());
        assert!(
            message.contains("array data/state") && message.contains(words),
            "{message}"
        );
    }
}

/// A chunk of a gigabyte of zeros takes a megabyte deflated.
#[test]
fn a_chunk_that_inflates_beyond_its_size_is_refused() {
    use serde_json::json;
    let folder = two_steps(&[1.0; 10], &[2.0; 4], &[2]);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..32 {
        std::io::Write::write_all(&mut zlib, &vec![0; 1 << 20]).unwrap();
    }
    let bomb = zlib.finish().unwrap();
    fs::write(folder.path().join("data/state/0.0"), &bomb).unwrap();
    let compressor = ("compressor", json!({"id": "zlib", "level": 9}));
    set_metadata(
        folder.path(),
        "data/state",
        std::slice::from_ref(&compressor),
    );
    let message = error_of(folder.path());
    let words = "0.0 decodes to more than 40 bytes, which shape [2, 5] in chunks of [2, 5] needs";
    assert!(message.contains(words), "{message}");

    let rows = (32 << 20) / 20;
    let extents = [
        ("shape", json!([rows, 5])),
        ("chunks", json!([rows, 5])),
        compressor,
    ];
    set_metadata(folder.path(), "data/state", &extents);
    let message = error_of(folder.path());
    assert!(
        message.contains("shape [1677721, 5] in chunks of [1677721, 5]"),
        "{message}"
    );
}

#[test]
fn an_archive_that_inflates_beyond_its_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.zip");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    archive
        .start_file(
            "data/state/.zarray",
            zip::write::SimpleFileOptions::default(),
        )
        .unwrap();
    for _ in 0..24 {
        std::io::Write::write_all(&mut archive, &vec![0; 1 << 20]).unwrap();
    }
    archive.finish().unwrap();
    let message = error_of(&path);
    assert!(
        message.contains("data/state/") && message.contains("inflate"),
        "{message}"
    );
}

#[test]
fn an_encoding_that_is_not_supported_is_named_with_those_that_are() {
    use serde_json::json;
    for (field, value, words) in [
        (
            "compressor",
            json!({"id": "lz4"}),
            r#"compressor "lz4"; supported: blosc"#,
        ),
        (
            "filters",
            json!([{"id": "delta"}]),
            "an array without filters is supported",
        ),
        ("dtype", json!("<f2"), "supported: float32, float64"),
    ] {
        let folder = two_steps(&[1.0; 10], &[2.0; 4], &[2]);
        set_metadata(folder.path(), "data/state", &[(field, value)]);
        let message = error_of(folder.path());
        assert!(
            message.contains("array data/state") && message.contains(words),
            "{message}"
        );
    }
}
