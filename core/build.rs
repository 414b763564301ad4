//! Tells the code which of the tuned kernels the target's instructions allow.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(armv7em)");
    // Cortex-M4 and M7. `cfg(target_feature = "dsp")` would say it, but is not stable.
    if std::env::var("TARGET").is_ok_and(|target| target.starts_with("thumbv7em")) {
        println!("cargo::rustc-cfg=armv7em");
    }
}
