//! Tells the code which of the tuned kernels the target's instructions allow.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(smlad, values(none(), \"optional\"))");
    println!("cargo::rustc-check-cfg=cfg(mla)");
    println!("cargo::rustc-check-cfg=cfg(armv6m)");
    println!("cargo::rustc-check-cfg=cfg(mve)");
    // `cfg(target_feature = "dsp")` would say it, but is not stable.
    let target = std::env::var("TARGET").unwrap_or_default();
    let has = |extension: &str| std::env::var_os(format!("CARGO_FEATURE_{extension}")).is_some();
    if target.starts_with("thumbv7em") {
        println!("cargo::rustc-cfg=smlad");
    } else if target.starts_with("thumbv8m.main") && has("MVE") {
        println!("cargo::rustc-cfg=mve");
    } else if target.starts_with("thumbv8m.main") && has("DSP") {
        println!("cargo::rustc-cfg=smlad");
        println!("cargo::rustc-cfg=smlad=\"optional\"");
    } else if target.starts_with("thumbv7m") || target.starts_with("thumbv8m.main") {
        println!("cargo::rustc-cfg=mla");
    } else if target.starts_with("thumbv6m") {
        println!("cargo::rustc-cfg=armv6m");
    }
}
