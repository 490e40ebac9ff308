//! Compiles the emulator's plugin, which the library embeds.
//!
//! Cargo cannot embed a dynamic library in another crate, so this script calls the compiler; the plugin needs no other
//! crate. The plugin is also an example of this package (`Cargo.toml`), which gives it lints and tests.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=library");
    println!("cargo::rerun-if-changed=src/policy.rs");
    let plugin = PathBuf::from(env::var("OUT_DIR")?).join("plugin.so");
    let target = env::var("TARGET")?;
    // The emulators run only on this machine.
    if target != "x86_64-unknown-linux-gnu" {
        return Ok(std::fs::write(plugin, [])?);
    }
    let mut rustc = Command::new(env::var("RUSTC")?);
    rustc.args(["--crate-name=plugin", "--crate-type=cdylib", "--edition=2024", "library/lib.rs"]);
    rustc.args(["-Copt-level=3", "-Cstrip=symbols", "-Cpanic=abort", "--cap-lints=allow"]);
    rustc.args(["--target", &target, "-o"]).arg(&plugin);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let status = rustc.status()?;
    if !status.success() {
        return Err(format!("the plugin does not compile: {status}").into());
    }
    Ok(())
}
