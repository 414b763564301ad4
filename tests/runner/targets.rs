//! A check that cargo compiles every source file of the tests. Their targets are listed by hand, since cargo finds
//! them by itself only in a folder `tests` of the package.

use crate::steps::repository;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Packages that list files of `tests/` as targets.
const PACKAGES: [&str; 4] = ["core", "host", "host/gym", "tests"];
/// A workspace of its own; `cargo verify fuzz` runs every file of its folder.
const FUZZ: &str = "fuzz";

/// Source files that a manifest lists.
fn targets(package: &Path) -> Vec<PathBuf> {
    let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    let paths = manifest.lines().filter_map(|line| {
        let path = line.strip_prefix("path = \"")?.strip_suffix('"')?;
        path.ends_with(".rs").then(|| package.join(path))
    });
    paths.collect()
}

/// Source files that `file` declares as modules.
fn modules(file: &Path) -> Vec<PathBuf> {
    let folder = file.parent().unwrap();
    let (text, mut given, mut found) = (fs::read_to_string(file).unwrap(), None, Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"") {
            given = path.strip_suffix("\"]");
            continue;
        }
        let line = line.strip_prefix("pub ").unwrap_or(line);
        if let Some(name) = line.strip_prefix("mod ").and_then(|l| l.strip_suffix(';')) {
            let path = given.take().map_or(format!("{name}.rs"), str::to_owned);
            found.push(folder.join(path));
        }
    }
    found
}

/// Adds the source files in `folder` and below to `files`.
fn collect(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with(FUZZ) {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(path.canonicalize().unwrap());
        }
    }
}

/// A test file that no manifest lists would never run.
#[test]
fn every_source_file_of_the_tests_belongs_to_a_target() {
    let mut files = BTreeSet::new();
    collect(&repository().join("tests"), &mut files);
    let packages = PACKAGES.map(|package| repository().join(package));
    let mut open: Vec<PathBuf> = packages
        .iter()
        .flat_map(|package| targets(package))
        .collect();
    while let Some(file) = open.pop() {
        if files.remove(&file.canonicalize().unwrap()) {
            open.extend(modules(&file));
        }
    }
    assert!(
        files.is_empty(),
        "in no Cargo.toml and no module: {files:#?}"
    );
}
