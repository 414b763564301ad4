//! The firmware from the host: builds it for a board, runs it in QEMU, reads its log. Programs for
//! 64-bit Arm, too.

pub mod arm64;
mod board;
mod elf;
mod gdb;
mod l475_flash;
mod log;
mod nudge;
mod on_target;
mod parts;
mod port;
mod probe;
mod program;
mod qemu;
pub mod report;
mod rtt;
pub mod silicon_page;
mod stand_in;
mod thumb;
mod uf2;

// Files of the commands, which are not a dependency: they would be built before every tool.
#[path = "../../host/src/printable.rs"]
mod printable;
#[path = "../../host/src/regular_file.rs"]
pub mod regular_file;
#[path = "../../host/src/stdout.rs"]
pub mod stdout;

pub use board::{B_L475E_IOT01A, BOARDS, Board, IN_QEMU, MICROBIT, NETDUINOPLUS2, SILICON};
pub use elf::{Footprint, Symbols, demangled, footprint, image, stack_len};
pub use l475_flash::PowerCuts;
pub use log::Log;
pub use on_target::{OnTarget, run_all, tests_in};
pub use port::Port;
pub use probe::{Attached, attached, flash_and_run};
pub use program::{WANTED, is_qemu_there, qemu_program, qemu_version, unpacked_qemu_dir};
pub use qemu::{Setup, run, run_beside, run_with};
pub use stand_in::{Part, Run, run_until_sleep};
pub use uf2::{uf2, uf2_family};

use anyhow::{Context, Result, ensure};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The root of this repository.
fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// The folder of the firmware in this repository.
pub fn firmware_dir() -> PathBuf {
    repository().join("firmware")
}

/// The folder of what cargo builds at the root of this repository: `CARGO_TARGET_DIR`, or `target`.
pub fn target_dir() -> PathBuf {
    repository().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Copies a folder with everything in it, but for what cargo built there (`target`).
///
/// # Errors
/// If a file can't be read or written; the error names it.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (from, name) = (entry.path(), entry.file_name());
        if from.is_dir() && name != "target" {
            copy_folder(&from, &to.join(name))?;
        } else if from.is_file() {
            std::fs::copy(&from, to.join(name)).with_context(|| from.display().to_string())?;
        }
    }
    Ok(())
}

/// Bytes of the log's buffer in the 16 KiB of RAM of a micro:bit.
const MICROBIT_LOG_LEN: &str = "128";

/// Boards with the same target share a build folder, so that one binary is built at a time and
/// copied to a folder of the board.
static BUILDING: Mutex<()> = Mutex::new(());

/// Builds one binary of the firmware for one board, with a model file (the shipped one if `model`
/// is `None`), and returns the path of the ELF file.
///
/// # Errors
/// If the model file does not exist or cargo fails; the output of cargo goes to standard error.
pub fn build(binary: &str, board: &Board, model: Option<&Path>) -> Result<PathBuf> {
    build_with(binary, board, &[], model)
}

/// As [`build`], with further features of the firmware.
///
/// # Errors
/// As [`build`].
pub fn build_with(
    binary: &str,
    board: &Board,
    features: &[&str],
    model: Option<&Path>,
) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    if let Some(model) = model {
        regular_file::open(model)?;
        let path = model.canonicalize();
        let path = path.with_context(|| model.display().to_string())?;
        cargo.env("PUSHT_MODEL", path);
    }
    let built = build_at(&repository(), cargo, ("--bin", binary, features), board)?;
    // <target>/<triple>/<profile>/<binary>
    let target = built.ancestors().nth(3).context("cargo's folders")?;
    let mut folder = target.join(board.name);
    // A test that builds with another model leaves the binary of this one alone.
    folder.extend(model.and_then(Path::file_stem));
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let elf = folder.join(binary);
    std::fs::copy(&built, &elf).with_context(|| built.display().to_string())?;
    Ok(elf)
}

/// Builds the tests that run on the device, and returns the path of the ELF file.
///
/// # Errors
/// If cargo fails; its output goes to standard error.
pub fn build_tests(board: &Board) -> Result<PathBuf> {
    let features = &["semihosting"];
    let cargo = Command::new(env!("CARGO"));
    build_at(
        &repository(),
        cargo,
        ("--test", "on_target", features),
        board,
    )
}

/// As [`build`], in a copy of this repository, with what is built there in its own folder.
///
/// # Errors
/// If cargo fails; its output goes to standard error.
pub fn build_in(copy: &Path, binary: &str, board: &Board) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.env("CARGO_TARGET_DIR", copy.join("target"));
    build_at(copy, cargo, ("--bin", binary, &[]), board)
}

/// Runs `cargo build` for one binary or test and further features, in the repository at `root`; returns
/// the path of the ELF file.
fn build_at(
    root: &Path,
    mut cargo: Command,
    (kind, name, features): (&str, &str, &[&str]),
    board: &Board,
) -> Result<PathBuf> {
    // cargo shows its progress in a terminal; elsewhere this line has to do.
    let is_terminal = std::io::stderr().is_terminal();
    if !is_terminal {
        errln!(
            "building {name} for {}: minutes, the first time",
            board.name
        );
    }
    if *board == MICROBIT {
        cargo.env("DEFMT_RTT_BUFFER_SIZE", MICROBIT_LOG_LEN);
    }
    let profile = match name {
        // Whether code can panic does not depend on the optimiser; whether it sees that does.
        "no_panic" => "release",
        _ => board.profile(),
    };
    let _guard = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let output = cargo
        .args(["build", "--profile", profile, "--no-default-features"])
        .args((!is_terminal).then_some("--quiet"))
        .arg("--message-format=json-render-diagnostics")
        .args([kind, name])
        .args([
            "--features",
            &format!("board-{},{}", board.name, features.join(",")),
        ])
        .args(["--target", board.target])
        .args(["--config", &without_places(root, board.target)])
        .current_dir(root.join("firmware"))
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be started")?;
    ensure!(
        output.status.success(),
        "{name} of the firmware does not build for {}",
        board.name
    );
    executable(&output.stdout, name).context("cargo names no executable")
}

/// Cargo's setting that keeps out of an image where it was built: paths begin at the repository's
/// root, or in `/cargo`.
fn without_places(root: &Path, target: &str) -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let places = [(Some(root.to_owned()), "."), (home, "/cargo")];
    let flags = places.iter().filter_map(|(place, name)| {
        let place = place.as_ref()?.display();
        Some(format!(
            "{:?}",
            format!("--remap-path-prefix={place}={name}")
        ))
    });
    let flags: Vec<String> = flags.collect();
    // Unquoted: cargo takes the dot in thumbv8m.main for one between keys when it reads, too.
    format!("target.{target}.rustflags=[{}]", flags.join(", "))
}

/// Path of the executable of the target `name` in cargo's messages, one JSON value per line. There may be
/// others: with a test, cargo builds all programs of its package.
fn executable(messages: &[u8], name: &str) -> Option<PathBuf> {
    let messages = serde_json::Deserializer::from_slice(messages).into_iter::<serde_json::Value>();
    let paths = messages.filter_map(|message| {
        let message = message.ok()?;
        let path = message.get("executable")?.as_str()?;
        (message["target"]["name"] == name).then(|| PathBuf::from(path))
    });
    paths.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_never_end_is_refused_by_name() {
        let path = Path::new("/dev/zero");
        let built = build("plans", &BOARDS[0], Some(path)).map(drop);
        for result in [footprint(path).map(drop), built] {
            let message = format!("{:#}", result.unwrap_err());
            assert_eq!(message, "/dev/zero: can't read: is not a regular file");
        }
    }

    #[test]
    fn the_executable_is_where_cargo_says() {
        let messages =
            br#"{"reason":"compiler-artifact","target":{"name":"libm"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"on_target"},"executable":"/built/on_target-1"}
{"reason":"compiler-artifact","target":{"name":"plans"},"executable":"/built/plans"}
{"reason":"build-finished","success":true}
"#;
        for (name, path) in [
            ("plans", Some("/built/plans")),
            ("on_target", Some("/built/on_target-1")),
            ("bench", None),
        ] {
            assert_eq!(
                executable(messages, name),
                path.map(PathBuf::from),
                "{name}"
            );
        }
        assert_eq!(executable(b"{}", "plans"), None);
    }
}
