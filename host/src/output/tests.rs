use super::*;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::process::Command;

/// Names of the files in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn a_link_stays_and_its_target_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("results")).unwrap();
    fs::write(at("results/scores.json"), "old").unwrap();
    symlink("results/scores.json", at("relative")).unwrap();
    symlink(at("relative"), at("chain")).unwrap();
    symlink("results/new.json", at("dangling")).unwrap();
    for (link, target) in [
        ("relative", "results/scores.json"),
        ("chain", "results/scores.json"),
        ("dangling", "results/new.json"),
    ] {
        check_file(&at(link)).unwrap();
        write_whole(&at(link), link.as_bytes()).unwrap();
        assert!(at(link).is_symlink(), "{link}");
        assert!(!at(target).is_symlink(), "{link}");
        assert_eq!(fs::read(at(target)).unwrap(), link.as_bytes());
    }
    assert_eq!(names(&at("results")), ["new.json", "scores.json"]);
    symlink("loop", at("loop")).unwrap();
    assert!(write_whole(&at("loop"), b"").is_err());
}

#[test]
fn a_device_stays_a_device() {
    let folder = tempfile::tempdir().unwrap();
    let (null, full) = (folder.path().join("null"), folder.path().join("full"));
    symlink("/dev/null", &null).unwrap();
    symlink("/dev/full", &full).unwrap();
    for device in [&null, &full] {
        check_file(device).unwrap();
    }
    write_whole(&null, b"dropped").unwrap();
    let message = format!("{:#}", write_whole(&full, b"too much").unwrap_err());
    assert!(message.contains("full: can't write"), "{message}");
    for device in [null, full] {
        assert!(device.is_symlink());
        let kind = fs::metadata(&device).unwrap().file_type();
        assert!(kind.is_char_device(), "{}", device.display());
    }
}

#[test]
fn the_reader_of_a_fifo_gets_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    // Does not wait for the reader.
    check_file(&fifo).unwrap();
    let reader = {
        let fifo = fifo.clone();
        std::thread::spawn(move || fs::read(fifo).unwrap())
    };
    write_whole(&fifo, b"all of it").unwrap();
    assert_eq!(reader.join().unwrap(), b"all of it");
    assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
    assert_eq!(names(folder.path()), ["fifo"]);
}

#[test]
fn a_file_keeps_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.json");
    fs::write(&path, "old").unwrap();
    for mode in [0o640, 0o600, 0o755] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            mode
        );
    }
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn what_cannot_be_written_is_refused_by_name_before_and_after() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let missing = folder.path().join("missing/scores.json");
    let below_file = folder.path().join("file/scores.json");
    for path in [&missing, &below_file, folder.path(), Path::new("")] {
        for result in [
            check_file(path),
            write_whole(path, b"x"),
            write_unsynced(path, b"x"),
        ] {
            let message = format!("{:#}", result.unwrap_err());
            assert!(
                message.contains(&format!("{}: can't write", path.display())),
                "{message}"
            );
        }
    }
    assert!(check_folder(&below_file).is_err());
    assert!(check_folder(Path::new("/proc/runs/first")).is_err());
    check_folder(&folder.path().join("runs/first")).unwrap();
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn what_a_killed_program_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    for name in [".unfinished-a1B2c3", "checkpoint-1", ".hidden"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    remove_unfinished(folder.path()).unwrap();
    assert_eq!(names(folder.path()), [".hidden", "checkpoint-1"]);
    // The names are those of files that are being written.
    let path = folder.path().join("new");
    let new = new_beside(&path, None).unwrap();
    assert!(
        names(folder.path())
            .iter()
            .any(|name| name.starts_with(UNFINISHED))
    );
    drop(new);
}

#[test]
fn all_files_of_a_folder_are_synchronised() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    write_unsynced(&folder.path().join("data/0"), b"rows").unwrap();
    // Neither is followed.
    symlink("/dev/zero", folder.path().join("zero")).unwrap();
    symlink("..", folder.path().join("data/up")).unwrap();
    sync_all(folder.path()).unwrap();
    assert!(sync_all(&folder.path().join("missing")).is_err());
}

#[test]
fn what_a_killed_run_left_of_a_file_is_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("scores.json"), folder.path().join("b"));
    // The run is killed before it renames the file: no destructor runs, but the system unlocks it.
    let left = |path: &Path| {
        let (file, left) = new_beside(path, None).unwrap().keep().unwrap();
        drop(file);
        left
    };
    let (stale, of_other) = (left(&path), left(&other));
    let being_written = new_beside(&path, None).unwrap();
    check_file(&path).unwrap();
    assert!(!stale.exists());
    assert!(of_other.exists(), "it is another file's");
    assert!(being_written.path().exists(), "its run goes on");
    check_file(&other).unwrap();
    assert!(!of_other.exists());
}
