//! Places the image at the addresses that its board expects, and passes the profile of its CPU on.

use std::env::{self, VarError};

fn main() -> Result<(), VarError> {
    println!("cargo::rustc-check-cfg=cfg(image, values(none()))");
    println!("cargo::rustc-check-cfg=cfg(profile, values(\"m\", \"a\", \"riscv\"))");
    let target = env::var("TARGET")?;
    let (profile, address) = match target.split_once('-') {
        Some((cpu, rest)) if rest.starts_with("none") && cpu.starts_with("thumbv7em") => ("m", 0),
        Some((cpu, rest)) if rest.starts_with("none") && cpu.starts_with("armv7a") => {
            ("a", 0x10_0000_u32)
        }
        Some(("riscv64gc", "unknown-none-elf")) => ("riscv", 0x8000_0000),
        _ => return Ok(()),
    };
    println!("cargo::rustc-cfg=image");
    println!("cargo::rustc-cfg=profile=\"{profile}\"");
    println!("cargo::rustc-link-arg-bins=-T{}/image.ld", env::var("CARGO_MANIFEST_DIR")?);
    println!("cargo::rustc-link-arg-bins=--defsym=IMAGE={address:#x}");
    println!("cargo::rerun-if-changed=image.ld");
    Ok(())
}
