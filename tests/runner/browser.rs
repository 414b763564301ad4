//! The browser of the page's tests, installed where possible.

use crate::setup;
use anyhow::{Context, Result};
use std::process::Command;

/// Debian's package of the driver, which needs the browser's.
const PACKAGE: &str = "chromium-driver";
const BY_HAND: &str = "chromedriver is missing and cannot be installed from here; install it with
      Debian           sudo apt-get install chromium chromium-driver
      Fedora           sudo dnf install chromium chromedriver
      Arch             sudo pacman -S chromium
      macOS            brew install --cask chromium chromedriver";

/// Commands that install Chromium and its driver if they are missing.
pub fn install() -> Result<Vec<Command>> {
    if setup::runs("chromedriver", &["--version"]) {
        return Ok(Vec::new());
    }
    setup::apt_get_install(&[PACKAGE]).context(BY_HAND)
}
