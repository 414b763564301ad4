//! Builds the page: the module, its JavaScript, the fixed files, the models and their digests.

use crate::digests;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wasm_bindgen_cli_support::Bindgen;

/// The compiler's target of the module.
pub const TARGET: &str = "wasm32-unknown-unknown";
/// The package of the module, and its name.
const PACKAGE: &str = "pusht-web";
const MODULE: &str = "pusht_web";
const PROFILE: &str = "wasm";
/// Cargo's setting with which the compiler uses SIMD, which every browser has that shows the page.
pub const SIMD: &str = r#"target.wasm32-unknown-unknown.rustflags = ["-Ctarget-feature=+simd128"]"#;
/// Models of the page: name there, and file.
pub(crate) const MODELS: [(&str, &str); 2] = [
    ("best", "models/pusht.ptm"),
    ("small", "models/pusht-small.ptm"),
];

/// The root of this repository.
pub(crate) fn repository() -> PathBuf {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR"));
    tool.ancestors().nth(3).unwrap_or(tool).to_path_buf()
}

/// The folder of what cargo builds in this repository: `CARGO_TARGET_DIR`, or `target`.
pub fn target_dir() -> PathBuf {
    repository().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Builds the page into `out`, which is emptied first if an earlier page is there. `target` is
/// cargo's target folder.
///
/// # Errors
/// If the module does not build, or a file can't be read or written.
pub fn build(out: &Path, target: &Path) -> Result<()> {
    let module = compile(target)?;
    if out.join("index.html").exists() {
        fs::remove_dir_all(out).with_context(|| out.display().to_string())?;
    }
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(module)
        .out_name(MODULE)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true);
    bindgen.generate(out).context("wasm-bindgen")?;
    let fixed = repository().join("host/web/static");
    for entry in fs::read_dir(&fixed).with_context(|| fixed.display().to_string())? {
        let path = entry?.path();
        copy(&path, out)?;
    }
    for (_, file) in MODELS {
        copy(&repository().join(file), out)?;
    }
    let digests = serde_json::to_vec(&digests::all()?)?;
    write(&out.join("digests.json"), &digests)
}

/// Compiles the module; returns the path of its file.
fn compile(target: &Path) -> Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", PACKAGE, "--lib"])
        .args(["--profile", PROFILE, "--target", TARGET])
        .args(["--config", SIMD])
        .arg("--target-dir")
        .arg(target)
        .current_dir(repository())
        .status()
        .context("cargo can't be started")?;
    ensure!(
        status.success(),
        "the module does not build; is its target there? rustup target add {TARGET}"
    );
    Ok(target
        .join(TARGET)
        .join(PROFILE)
        .join(format!("{MODULE}.wasm")))
}

fn copy(file: &Path, folder: &Path) -> Result<()> {
    let content = fs::read(file).with_context(|| file.display().to_string())?;
    write(&folder.join(file.file_name().unwrap_or_default()), &content)
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    fs::write(file, content).with_context(|| file.display().to_string())
}
