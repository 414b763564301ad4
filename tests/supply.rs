//! What is published with this repository: the list of licences, and the contents of packages.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The page that this test writes.
const LICENCES: &str = "docs/licences.md";

/// Builds whose crates are listed: name, folder, and options of `cargo tree`. A build that has all
/// of an earlier one's crates names it.
const BUILDS: [(&str, &str, &str, Option<&str>); 8] = [
    ("core", ".", "--package pusht-core --all-features", None),
    ("pusht", ".", "--package pusht-host", None),
    (
        "demonstrations",
        ".",
        "--package pusht-host --features pusht-host/demonstrations",
        Some("pusht"),
    ),
    (
        "train",
        ".",
        "--package pusht-host --features pusht-host/train",
        Some("demonstrations"),
    ),
    (
        "gpu",
        ".",
        "--package pusht-host --features pusht-host/gpu",
        Some("train"),
    ),
    ("python", ".", "--package pusht-python", None),
    ("web", ".", "--package pusht-web", None),
    ("firmware", "firmware", "--all-features", None),
];

/// Packages that crates.io may have, with the files that they need beside their source.
const PACKAGES: [(&str, &[&str]); 3] = [
    ("pusht-core", &["build.rs"]),
    ("pusht-gym", &[]),
    (
        "pusht-host",
        &["build.rs", "models/pusht.ptm", "models/pusht.safetensors"],
    ),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("")
}

/// Output of a cargo command in a folder of the repository.
fn cargo(folder: &str, words: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(words.split_whitespace())
        .current_dir(repository().join(folder))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {words}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Crates with their licences that are linked into a build on any system.
fn crates(folder: &str, options: &str) -> BTreeSet<(String, String)> {
    let tree = cargo(
        folder,
        &format!(
            "tree --locked --target all --edges normal,no-proc-macro --prefix none --format {{p}}|{{l}} {options}"
        ),
    );
    let lines = tree.lines().filter_map(|line| line.split_once('|'));
    lines
        .map(|(package, licence)| {
            let name = package.split(' ').next().unwrap_or(package);
            let licence = licence
                .trim_end_matches(" (*)")
                .replace(" / ", "/")
                .replace('/', " OR ");
            (name.to_owned(), licence)
        })
        .filter(|(name, _)| !name.is_empty() && !name.starts_with("pusht-"))
        .collect()
}

/// The page: each crate with its licence and the builds that it is in.
fn licences() -> String {
    let mut builds = BTreeMap::<&str, BTreeSet<(String, String)>>::new();
    let mut rows = BTreeMap::<(String, String), Vec<&str>>::new();
    for (name, folder, options, before) in BUILDS {
        let all = crates(folder, options);
        for row in &all {
            if before.is_none_or(|before| !builds[before].contains(row)) {
                rows.entry(row.clone()).or_default().push(name);
            }
        }
        builds.insert(name, all);
    }
    let mut page = String::from(
        "# Licences of what is linked

`cargo verify licences` writes this page from `cargo tree`, and a test checks that it is current.
Versions are in the lock files. Crates that run only while building or testing are not here; which
licences those may have is in [deny.toml](../deny.toml).

The last column has the builds with a crate, on any system: `core` with every feature; `pusht`, the
main build; `demonstrations`, `train` and `gpu`, what that feature adds to it; `python`, the wheel;
`web`, the module of the browser page; `firmware`, all boards.

| crate | licence | in |
| --- | --- | --- |
",
    );
    for ((name, licence), builds) in rows {
        let licence = match licence.is_empty() {
            true => "its file LICENSE",
            false => &licence,
        };
        page += &format!("| {name} | {licence} | {} |\n", builds.join(", "));
    }
    page
}

#[test]
fn the_list_of_licences_is_current() {
    let path = repository().join(LICENCES);
    let written = fs::read_to_string(&path).unwrap_or_default();
    let current = licences();
    let missing = current.lines().filter(|line| !written.contains(line));
    let missing: Vec<&str> = missing.collect();
    assert!(
        written == current,
        "`cargo verify licences` writes {LICENCES} anew; it lacks {missing:#?}"
    );
}

#[test]
#[ignore = "writes docs/licences.md"]
fn write_the_list_of_licences() {
    fs::write(repository().join(LICENCES), licences()).unwrap();
}

#[test]
fn a_package_has_its_files() {
    for (package, files) in PACKAGES {
        let listed = cargo(
            ".",
            &format!("package --list --allow-dirty --package {package}"),
        );
        let listed: BTreeSet<&str> = listed.lines().collect();
        let always = ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"];
        for file in always.iter().chain(files) {
            assert!(listed.contains(file), "{package} has no {file}");
        }
    }
}

#[test]
fn a_package_says_what_it_is() {
    let metadata = cargo(".", "metadata --no-deps --format-version 1");
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    for (name, _) in PACKAGES {
        let package = packages.iter().find(|package| package["name"] == name);
        let package = package.unwrap();
        for field in ["description", "license", "readme", "rust_version"] {
            assert!(package[field].is_string(), "{name} has no {field}");
        }
        for field in ["keywords", "categories"] {
            let n = package[field].as_array().unwrap().len();
            assert!((1..=5).contains(&n), "{name}: {n} {field}");
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            assert_ne!(dependency["req"], "*", "{name}: {dependency}");
        }
    }
    // What is not published can't be by mistake.
    for package in packages {
        let is_listed = PACKAGES.iter().any(|(name, _)| package["name"] == *name);
        assert_eq!(package["publish"].is_null(), is_listed, "{package}");
    }
}

/// It needs a Python with a reader of TOML.
#[test]
fn a_bill_of_materials_has_every_crate_that_is_linked() {
    let output = Command::new("python3")
        .args(["tests/runner/sbom.py", "host/Cargo.toml"])
        .current_dir(repository())
        .output();
    let Ok(output) = output else {
        println!("skipped: no python3, which writes the bill of materials");
        return;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("No module named 'tomllib'") {
        println!("skipped: the bill of materials needs Python 3.11");
        return;
    }
    assert!(output.status.success(), "{errors}");
    let bill: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let mut listed = BTreeSet::new();
    for component in bill["components"].as_array().unwrap() {
        let [name, purl] = ["name", "purl"].map(|key| component[key].as_str().unwrap());
        assert!(purl.starts_with(&format!("pkg:cargo/{name}@")), "{purl}");
        let checksum = component["hashes"][0]["content"].as_str();
        let is_own = name.starts_with("pusht-");
        assert_eq!(checksum.is_none(), is_own, "{purl}: {checksum:?}");
        let licence = component["licenses"][0]["expression"].as_str();
        listed.insert((name.to_owned(), licence.unwrap_or_default().to_owned()));
    }
    let linked = crates(".", "--package pusht-host");
    let missing: Vec<_> = linked.difference(&listed).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
