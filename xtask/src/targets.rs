//! Steps that only compile: machines without `std`, other operating systems, the oldest supported compiler, packages.

use alloc::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use xtask::command::{Cmd, find_program};
use xtask::host::{Host, fetched};
use xtask::packages::{self, LOSE_LINES, PACKAGE, PUBLISHED, Package, has_media, published};
use xtask::toolchain::{self, Compiler};

use crate::run::Run;

/// Kernels and boards, one of them without media.
const BOARDS: [&str; 4] = [
    "x86_64-unknown-none",
    "aarch64-unknown-none",
    "riscv64gc-unknown-none-elf",
    "thumbv7em-none-eabi",
];

/// One target of each further architecture, only in `full`. On an architecture without operations the library must compile
/// and refuse. `i586` has no SSE, as kernels for 32-bit x86.
const ELSEWHERE: &str = "riscv32imac-unknown-none-elf loongarch64-unknown-none armv7a-none-eabi wasm32-unknown-unknown \
    i586-unknown-linux-gnu powerpc64le-unknown-linux-gnu powerpc-unknown-linux-gnu s390x-unknown-linux-gnu";

/// Targets of which rustup has no standard library: the nightly compiler builds it.
const WITHOUT_LIBRARY: [&str; 2] = ["sparc64-unknown-linux-gnu", "mips-unknown-linux-gnu"];

/// Targets with `std` and without files, one of them Unix: a dependent may enable these features for all of its targets.
const WITHOUT_FILES: [&str; 2] = ["wasm32-unknown-unknown", "aarch64-linux-android"];

/// Operating systems that run nothing here, and Linux with another C library.
const SYSTEMS: [&str; 5] = [
    "x86_64-pc-windows-gnu",
    "aarch64-pc-windows-msvc",
    "aarch64-apple-darwin",
    "x86_64-apple-darwin",
    "x86_64-unknown-linux-musl",
];

/// The targets of the lab's images, and the arguments that select the images of a target.
const IMAGES: [(&str, &str); 7] = [
    ("x86_64-unknown-none", "-p cachemaint-lab-freestanding --bin freestanding --bin last_events"),
    ("aarch64-unknown-none", "-p cachemaint-lab-freestanding"),
    ("riscv64gc-unknown-none-elf", "-p cachemaint-lab-freestanding --bin freestanding --bin dma"),
    ("armv7a-none-eabi", "-p cachemaint-lab-freestanding --bin dma"),
    ("riscv64gc-unknown-none-elf", "-p cachemaint-lab-boards"),
    ("thumbv7em-none-eabi", "-p cachemaint-lab-boards"),
    ("armv7a-none-eabi", "-p cachemaint-lab-boards"),
];

/// The greatest number of other crates that the bare library may bring, on each of these targets.
const MOST_CRATES: usize = 3;
const TREES: [&str; 4] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-pc-windows-msvc",
    "thumbv7em-none-eabi",
];

/// The greatest size of a package: 1 MB.
const LARGEST: u64 = 1_000_000;

/// The function with which an emulator begins a plugin (`qemu-plugin.h`).
const PLUGIN: &[u8] = b"qemu_plugin_install";

/// Builds the library without `std`. Only a build passes its assembly to the assembler.
pub(crate) fn no_std(_host: &Host, run: &mut Run) -> Result<()> {
    BOARDS.into_iter().try_for_each(|triple| bare(run, triple))
}

/// Does the same for the other architectures, and where features are refused.
pub(crate) fn no_std_elsewhere(_host: &Host, run: &mut Run) -> Result<()> {
    ELSEWHERE.split(' ').try_for_each(|triple| bare(run, triple))?;
    for triple in WITHOUT_FILES {
        let Some(compiler) = run.needed(triple, Compiler::new(triple))? else { continue };
        run.command(&compiler.cargo("check").words(packages::WITHOUT_FILES))?;
    }
    if run.needed("targets without a library", toolchain::nightly())?.is_none() {
        return Ok(());
    }
    let line = "+nightly check -Zbuild-std=core,alloc -p cachemaint --no-default-features";
    WITHOUT_LIBRARY.into_iter().try_for_each(|triple| {
        let check = Cmd::cargo(line).args(["--features", "privileged", "--target", triple]);
        run.command(&check).map(drop)
    })
}

/// Builds each package with what it can have on a target without `std`, and the library without anything.
fn bare(run: &mut Run, triple: &str) -> Result<()> {
    let Some(compiler) = run.needed(triple, Compiler::new(triple))? else { return Ok(()) };
    let packages = PUBLISHED.iter().filter_map(|package| {
        let features = if has_media(triple) { package.bare } else { package.without_media };
        Some((package.name, features?))
    });
    for (name, features) in packages.chain([("cachemaint", "")]) {
        let line = format!("build -p {name} --no-default-features --features={features}");
        run.command(&compiler.cargo(&line))?;
    }
    if !has_media(triple) {
        run.check(&format!("{triple} refuses the features that it cannot have"), || {
            let refused = compiler.cargo("check").words(packages::REFUSED).refusal()?;
            ensure!(refused.contains("need atomics of 64 bits"), "{refused}");
            Ok(())
        })?;
    }
    Ok(())
}

/// Lints each package without features, and with each one alone: it may lack what another one brings.
pub(crate) fn features_alone(_host: &Host, run: &mut Run) -> Result<()> {
    for Package { name, .. } in &PUBLISHED {
        for feature in [String::new()].into_iter().chain(features(name)?) {
            let line = format!("clippy -p {name} --no-default-features --features={feature}");
            run.command(&Cmd::cargo(&line).words("-- -D warnings"))?;
        }
    }
    Ok(())
}

/// Returns the names of a package's features, without the default ones.
fn features(package: &str) -> Result<Vec<String>> {
    let metadata = Cmd::cargo("metadata --no-deps --format-version 1").read()?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo lists no packages")?;
    let found = packages.iter().find(|found| found["name"] == package);
    let found = found.with_context(|| format!("there is no package {package}"))?;
    let names = found["features"].as_object().context("a package without features")?.keys();
    Ok(names.filter(|name| *name != "default").cloned().collect())
}

/// Lints and documents everything for other systems, without a linker for them. The lab's images are for boards, and the
/// adapters for kernels.
pub(crate) fn systems(_host: &Host, run: &mut Run) -> Result<()> {
    for triple in SYSTEMS {
        let Some(compiler) = run.needed(triple, Compiler::new(triple))? else { continue };
        let lints = compiler.cargo("clippy --all-targets --all-features -p cachemaint-cli");
        run.command(&lints.args(published()).words("-- -D warnings"))?;
        let documented = compiler.cargo("doc --no-deps --all-features").args(published());
        run.command(&documented.env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    // The kernel's interface for tracing differs between architectures.
    let arm64 =
        ("aarch64-unknown-linux-gnu", "--all-targets -p lose-lines-recorder -p lose-lines-states");
    let adapters = BOARDS.map(|triple| (triple, "-p cachemaint-adapters"));
    for (triple, packages) in IMAGES.into_iter().chain(adapters).chain([arm64]) {
        let Some(compiler) = run.needed(triple, Compiler::new(triple))? else { continue };
        run.command(&compiler.cargo("clippy").words(packages).words("-- -D warnings"))?;
    }
    Ok(())
}

pub(crate) fn msrv(_host: &Host, run: &mut Run) -> Result<()> {
    let Some(select) = run.needed("the oldest compiler", toolchain::msrv())? else { return Ok(()) };
    run.command(&Cmd::new("cargo").arg(&select).words("check --all-features").args(published()))
        .map(drop)
}

/// The version of cargo-deny that is installed where there is none.
const DENY: &str = "install --quiet --locked cargo-deny --version 0.20.2 --root";

/// Checks the dependencies by `deny.toml`.
pub(crate) fn deny(host: &Host, run: &mut Run) -> Result<()> {
    let folder = host.target_dir("deny");
    let installed =
        find_program("cargo-deny").or_else(|| find_program(folder.join("bin/cargo-deny")));
    let found = installed.map_or_else(
        || Cmd::cargo(DENY).path(&folder).read().map(|_built| folder.join("bin/cargo-deny")),
        Ok,
    );
    let Some(deny) = run.needed("cargo-deny", fetched(found))? else { return Ok(()) };
    run.command(&Cmd::new(deny.display().to_string()).words("deny check")).map(drop)
}

/// Builds each package from its own files, and looks at their sizes and at the crates that the library brings.
pub(crate) fn package(host: &Host, run: &mut Run) -> Result<()> {
    packages::forget(&Cmd::cargo("clean"))?;
    run.command(&Cmd::cargo(PACKAGE).args(packages::every()))?;
    run.check("lose-lines installs from its packages", || install_lose_lines(host))?;
    run.check("each package is below 1 MB", || {
        for Package { name, .. } in &PUBLISHED {
            let file = format!("{name}-{}.crate", env!("CARGO_PKG_VERSION"));
            let size = host.target_dir("package").join(&file).metadata().map(|file| file.len());
            let size = size.with_context(|| format!("there is no {file}"))?;
            ensure!(size <= LARGEST, "{file} has {size} bytes");
        }
        Ok(())
    })?;
    run.check("the bare library brings at most 3 other crates", || {
        for triple in TREES {
            let tree = Cmd::cargo("tree -e normal -p cachemaint --no-default-features")
                .args(["--prefix", "none", "--no-dedupe", "--target", triple])
                .read()?;
            let others: BTreeSet<&str> =
                tree.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
            ensure!(others.len() <= MOST_CRATES, "on {triple} {others:?}");
        }
        Ok(())
    })
    .map(drop)
}

/// Installs lose-lines from its packages as they are published, with the plugin that one of them compiles.
fn install_lose_lines(host: &Host) -> Result<()> {
    let (archives, folder) = (host.target_dir("package"), host.target_dir("installed"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // The files get the time of now. All packages have one, so that cargo would take new files for old ones.
    let unpack = Cmd::new("tar").arg("-C").path(&folder).arg("-xzmf");
    let mut install = Cmd::cargo("install --quiet --debug --force --path");
    let id = Cmd::cargo("pkgid -p lose-lines").read()?;
    let version = id.trim().rsplit(['#', '@']).next().unwrap_or_default();
    let unpacked = |package: &str| folder.join(format!("{package}-{version}"));
    install = install.path(unpacked("lose-lines")).arg("--root").path(&folder);
    for package in LOSE_LINES {
        let file = archives.join(format!("{package}-{version}.crate"));
        unpack.clone().path(&file).read()?;
        let of_package = format!("patch.crates-io.{package}.path=");
        install =
            install.arg("--config").arg(format!("{of_package}\"{}\"", unpacked(package).display()));
    }
    install.read()?;
    let program = folder.join("bin/lose-lines");
    Cmd::new(program.display().to_string()).arg("--version").read()?;
    let bytes = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let has_plugin = bytes.windows(PLUGIN.len()).any(|part| part == PLUGIN);
    ensure!(has_plugin, "{} embeds no plugin", program.display());
    Ok(())
}
