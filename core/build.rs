//! Sets `cfg(kernels = "..")`: the folder of `src/quant/arch` whose kernels this target can run.

/// Those folders, and `portable` for a target that none of them is for.
const KERNELS: &str =
    r#""aarch64", "armv6m", "armv7m", "armv7em", "armv81m", "wasm32", "x86_64", "portable""#;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(kernels, values({KERNELS}))");
    println!("cargo::rustc-check-cfg=cfg(cortex_m_kernels)");
    println!("cargo::rustc-check-cfg=cfg(dsp_is_optional)");
    let target = std::env::var("TARGET").unwrap_or_default();
    // `cfg(target_feature = "dsp")` and `"mve"` would say it, but are not stable.
    let has = |extension: &str| std::env::var_os(format!("CARGO_FEATURE_{extension}")).is_some();
    let is_armv8m = target.starts_with("thumbv8m.main");
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let has_feature = |name: &str| features.split(',').any(|feature| feature == name);
    let kernels = if target.starts_with("x86_64") {
        "x86_64"
    } else if target.starts_with("aarch64-") && has_feature("neon") {
        "aarch64"
    } else if target.starts_with("wasm32") && has_feature("simd128") {
        "wasm32"
    } else if target.starts_with("thumbv6m") {
        "armv6m"
    } else if target.starts_with("thumbv7em") || is_armv8m && has("DSP") && !has("MVE") {
        "armv7em"
    } else if is_armv8m && has("MVE") {
        "armv81m"
    } else if target.starts_with("thumbv7m") || is_armv8m {
        "armv7m"
    } else {
        "portable"
    };
    println!("cargo::rustc-cfg=kernels=\"{kernels}\"");
    if kernels.starts_with("armv") {
        println!("cargo::rustc-cfg=cortex_m_kernels");
    }
    if kernels == "armv7em" && is_armv8m {
        println!("cargo::rustc-cfg=dsp_is_optional");
    }
}
