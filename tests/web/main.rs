//! The browser page in a real browser: `cargo verify web`.

mod bridge;
mod browser;
mod looks;
mod page;
mod plays;

use pusht_device::target_dir;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The folder of the page, built once.
fn folder() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let folder = target_dir().join("web");
        pusht_web_tool::build(&folder, &target_dir()).unwrap();
        folder
    };
    BUILT.get_or_init(build).clone()
}
