//! Places images at the addresses that their board expects. A program for a hosted system is linked as usual.

use std::env::{self, VarError};

fn main() -> Result<(), VarError> {
    let of_target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}"));
    let architecture = of_target("ARCH")?;
    let script = match architecture.as_str() {
        "aarch64" | "arm" => "aarch64/virt.ld",
        "riscv64" => "riscv64/virt.ld",
        _ => "x86_64/pc.ld",
    };
    let script = format!("src/image/{script}");
    println!("cargo::rerun-if-changed={script}");
    if of_target("OS")? == "none" {
        let folder = env::var("CARGO_MANIFEST_DIR")?;
        println!("cargo::rustc-link-arg-bins=-T{folder}/{script}");
        // The image is not relocated: it runs without a loader.
        println!("cargo::rustc-link-arg-bins=--no-pie");
    }
    Ok(())
}
