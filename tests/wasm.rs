//! WebAssembly against this machine: equal digests from a debug and a release build, and one with
//! SIMD.

use pusht_core::pusht::rollout::{MAX_CHUNK_LEN, MAX_WINDOW_LEN};
use pusht_core::pusht::selftest::{PHYSICS_DIGEST, closed_loop_digest, physics_digest};
use pusht_core::quant::{self, Model};
use pusht_web_tool::SIMD;
use std::path::{Path, PathBuf};
use std::process::Command;
use wasmi::{Engine, Instance, Linker, Module, Store};

const TARGET: &str = "wasm32-unknown-unknown";
const MODEL: &[u8] = include_bytes!("../models/pusht-small.ptm");
/// A policy of another task.
const FETCH: &[u8] = include_bytes!("../models/fetch.ptm");
/// Plans of a digest in `wasm/digests.rs`.
const N_PLANS: u32 = 1;
const N_STEPS: usize = 4;
/// Builds: the profile, and whether it is that of the browser page, with SIMD.
const BUILDS: [(&str, bool); 3] = [("debug", false), ("release", false), ("release", true)];

#[test]
#[ignore = "needs the target wasm32-unknown-unknown: cargo verify"]
fn webassembly_computes_what_the_host_computes() {
    assert_eq!(physics_digest().unwrap(), PHYSICS_DIGEST);
    let model = Model::parse(MODEL).unwrap();
    let mut scratch = vec![0; model.scratch_len()];
    let plans = quant::selftest(&model, &mut scratch, N_PLANS).unwrap();
    let closed_loop =
        closed_loop_digest::<MAX_WINDOW_LEN, MAX_CHUNK_LEN>(&model, &mut scratch, N_STEPS).unwrap();
    let fetch = Model::parse(FETCH).unwrap();
    let mut fetch_scratch = vec![0; fetch.scratch_len()];
    let fetch = quant::selftest(&fetch, &mut fetch_scratch, N_PLANS).unwrap();
    for which in BUILDS {
        let mut digests = Digests::load(&build(which));
        assert_eq!(digests.call("physics_digest"), PHYSICS_DIGEST, "{which:?}");
        assert_eq!(digests.call("plans_digest"), plans, "{which:?}");
        assert_eq!(digests.call("fetch_digest"), fetch, "{which:?}");
        assert_eq!(digests.call("closed_loop_digest"), closed_loop, "{which:?}");
    }
}

/// Imported mathematics would have the bits of the host that runs the module.
#[test]
#[ignore = "needs the target wasm32-unknown-unknown: cargo verify"]
fn the_module_imports_nothing_from_its_host() {
    for which in BUILDS {
        let bytes = std::fs::read(build(which)).unwrap();
        let module = Module::new(&Engine::default(), bytes).unwrap();
        let imports: Vec<&str> = module.imports().map(|import| import.name()).collect();
        assert!(imports.is_empty(), "{which:?}: {imports:?}");
    }
}

/// Builds `wasm/digests.rs`, an example of `pusht-core`, and returns the path of the module.
fn build((profile, has_simd): (&str, bool)) -> PathBuf {
    let mut target_dir = pusht_device::target_dir();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--package", "pusht-core"])
        .args(["--example", "digests", "--target", TARGET])
        .current_dir(&repository);
    match profile {
        "release" => cargo.arg("--release"),
        // The test profile optimises `core`; this debug build does not.
        _ => cargo.args(["--config", "profile.dev.package.pusht-core.opt-level=0"]),
    };
    if has_simd {
        target_dir.push("simd");
        cargo
            .args(["--config", SIMD])
            .arg("--target-dir")
            .arg(&target_dir);
    }
    assert!(cargo.status().unwrap().success());
    target_dir
        .join(TARGET)
        .join(profile)
        .join("examples/digests.wasm")
}

/// An instance of the module.
struct Digests {
    store: Store<()>,
    instance: Instance,
}

impl Digests {
    fn load(path: &Path) -> Self {
        let engine = Engine::default();
        let module = Module::new(&engine, std::fs::read(path).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine)
            .instantiate_and_start(&mut store, &module)
            .unwrap();
        Self { store, instance }
    }

    /// Calls the export `name`, a function without arguments.
    fn call(&mut self, name: &str) -> u64 {
        let function = self.instance.get_typed_func::<(), u64>(&self.store, name);
        function.unwrap().call(&mut self.store, ()).unwrap()
    }
}
