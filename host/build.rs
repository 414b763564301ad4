//! Names the folder of the shipped policies: the repository's, or a package's own copies. In the
//! repository those copies are links, which not every system checks out.

use std::path::PathBuf;

fn main() {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let package = PathBuf::from(package);
    let places = [package.join("../models"), package.join("models")];
    let found = places.iter().find(|place| place.join("pusht.ptm").exists());
    let models = found.expect("a package has its models");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=PUSHT_MODELS={}", models.display());
}
