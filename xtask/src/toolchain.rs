//! Compilers and standard libraries for other targets: by rustup, or from Debian's packages.
//!
//! rustup's server may be out of reach. Debian's second compiler (`rustc-web`, kept current for browsers) then serves:
//! its standard library for arm64 and i386 is unpacked into the cache and named by `--sysroot`; for any other target
//! `core` is built from `rust-web-src`. An error of this module is a reason to skip a check.
//!
//! For a target whose standard library neither has, the nightly compiler builds it from its sources
//! ([`with_built_std`]). No C compiler takes part: the compiler's own LLD links static programs with
//! the C library for cross compilers of a fixed release of Debian, which is unpacked into the cache.

use std::fs;
use std::path::Path;
use std::sync::PoisonError;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{Cmd, find_program};
use crate::host::Host;
use crate::install::install;
use lose_lines::debian::{self, Suite};

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const COMPONENT_LIMIT: u32 = 60;
const TOOLCHAIN_LIMIT: u32 = 180;
const CRATES_LIMIT: u32 = 120;

/// The release of Debian whose C library is linked to programs with a built standard library, and its
/// version of GCC. Debian 13 has them for more architectures than Debian 12, and does not change.
const C_LIBRARY: (Suite, u32) = (Suite::Release("trixie"), 14);

/// The command line of cargo that compiles for a target.
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    pub(crate) name: String,
    args: Vec<String>,
    env: Vec<(&'static str, String)>,
}

impl Compiler {
    fn rustup(name: &str) -> Self {
        Self { name: name.to_owned(), args: Vec::new(), env: Vec::new() }
    }

    /// Returns `cargo` with the words of `line`, compiling with this compiler.
    pub(crate) fn cargo(&self, line: &str) -> Cmd {
        self.env.iter().fold(Cmd::cargo(line).args(self.args.clone()), |cmd, (name, value)| {
            cmd.env(name, value)
        })
    }

    /// Returns the same compiler with this program as the linker for `triple`.
    pub(crate) fn linker(mut self, triple: &str, program: &str) -> Self {
        self.args.extend([String::from("--config"), format!("target.{triple}.linker={program:?}")]);
        self
    }

    /// Returns true if the compiler builds parts of the standard library for each target.
    pub(crate) fn builds_std(&self) -> bool {
        self.args.iter().any(|arg| arg.starts_with("-Zbuild-std"))
    }

    fn is_debian(&self) -> bool {
        self.env.iter().any(|(name, value)| *name == "RUSTC" && value == DEBIAN_RUSTC)
    }

    fn debian(host: &Host, args: Vec<String>) -> Result<Self> {
        let name = Cmd::new(DEBIAN_RUSTC).arg("--version").read()?.trim().to_owned();
        let oldest = rust_version(host)?;
        ensure!(minor(&name) >= minor(&oldest), "Debian's {name} is older than {oldest}");
        let target_dir = host.target_dir("debian").display().to_string();
        Ok(Self {
            name,
            args,
            env: vec![("RUSTC", DEBIAN_RUSTC.to_owned()), ("CARGO_TARGET_DIR", target_dir)],
        })
    }
}

/// Returns the target that the compiler in use makes programs for by default.
pub(crate) fn native() -> Result<String> {
    Ok(Cmd::new("rustc").args(["--print", "host-tuple"]).read()?.trim().to_owned())
}

/// Returns a compiler with the whole standard library for `triple`. `debian_arch` is Debian's name of that
/// architecture.
pub(crate) fn with_std(host: &Host, triple: &str, debian_arch: &str) -> Result<Compiler> {
    let no_rustup = match in_use(host, triple) {
        Ok(compiler) => return Ok(compiler),
        Err(reason) => reason,
    };
    let packaged = || -> Result<Compiler> {
        install(&["rustc-web"])?;
        let version =
            Cmd::new("dpkg-query").words("--show --showformat=${Version} rustc-web").read()?;
        let package = format!("libstd-rust-web-dev:{debian_arch}={version}");
        let sysroot = debian::fetch(host.cache(), &[package], Suite::System)?.join("usr");
        let flag = format!(r#"target.{triple}.rustflags=["--sysroot={}"]"#, sysroot.display());
        Compiler::debian(host, vec![String::from("--config"), flag])
    };
    packaged().with_context(|| format!("no standard library for {triple} ({no_rustup:#})"))
}

/// Returns a compiler that builds the whole standard library for `triple` and links static programs. `debian_arch` and
/// `gnu` are Debian's and GNU's names of that architecture, as in `loong64` and `loongarch64-linux-gnu`.
///
/// Without a C compiler, the objects that come before and after a program's own are not added. Here `crt1.o` will do:
/// the C library for loongarch64 calls constructors by `.init_array` alone, its `crti.o` and `crtn.o` are empty, and
/// the unwinder finds its tables by a program header. Older architectures need more.
pub(crate) fn with_built_std(
    host: &Host,
    triple: &str,
    debian_arch: &str,
    gnu: &str,
) -> Result<Compiler> {
    standard_library_sources(host)?;
    let (suite, gcc) = C_LIBRARY;
    let unpacked = |package: &str| {
        debian::fetch(host.cache(), &[format!("{package}-dev-{debian_arch}-cross")], suite)
            .context("no C library")
    };
    let libc = unpacked("libc6")?.join("usr").join(gnu).join("lib");
    let libgcc = unpacked(&format!("libgcc-{gcc}"))?;
    let libgcc = libgcc.join("usr/lib/gcc-cross").join(gnu).join(gcc.to_string());
    let flags = [
        String::from("-Clinker-flavor=ld.lld"),
        String::from("-Ctarget-feature=+crt-static"),
        // A static program that can be moved would need its own `crt1.o`, without a benefit here.
        String::from("-Crelocation-model=static"),
        // Before the libraries: the C library has another `_dl_relocate_static_pie`, for other programs.
        format!("-Zpre-link-arg={}", libc.join("crt1.o").display()),
        format!("-Lnative={}", libc.display()),
        format!("-Lnative={}", libgcc.display()),
    ];
    let compiler = Compiler {
        name: Cmd::new("rustc").words("+nightly --version").read()?.trim().to_owned(),
        args: vec![
            String::from("-Zbuild-std=std,panic_unwind,test"),
            String::from("--config"),
            format!("target.{triple}.rustflags={flags:?}"),
        ],
        env: vec![("RUSTUP_TOOLCHAIN", String::from("nightly"))],
    };
    // The dependencies of the standard library come from crates.io, which may be out of reach.
    compiler.cargo(&format!("fetch --target {triple}")).limit(CRATES_LIMIT).read()?;
    Ok(compiler.linker(triple, "rust-lld"))
}

/// Returns a compiler for the library on `triple`, with every feature that does without `std`.
pub(crate) fn for_library(host: &Host, triple: &str) -> Result<Compiler> {
    with_crates(host, triple, "core,alloc")
}

/// Returns a compiler with at least `core` for `triple`.
fn with_core(host: &Host, triple: &str) -> Result<Compiler> {
    with_crates(host, triple, "core")
}

/// Returns a compiler for `triple` with these crates of the standard library. They are built from their sources if
/// rustup does not have them.
fn with_crates(host: &Host, triple: &str, crates: &str) -> Result<Compiler> {
    let no_rustup = match in_use(host, triple) {
        Ok(compiler) => return Ok(compiler),
        Err(reason) => reason,
    };
    let packaged = || -> Result<Compiler> {
        install(&["rustc-web", "rust-web-src"])?;
        let mut compiler = Compiler::debian(host, vec![format!("-Zbuild-std={crates}")])?;
        compiler.env.push(("RUSTC_BOOTSTRAP", String::from("1")));
        Ok(compiler)
    };
    packaged().with_context(|| format!("no {crates} for {triple} ({no_rustup:#})"))
}

/// Returns a compiler as [`with_core`] does, with a linker. rustup's compilers bring one for every target; Debian's
/// does not and gets GNU's for `gnu`, as in `aarch64-linux-gnu`.
pub(crate) fn with_core_and_linker(host: &Host, triple: &str, gnu: &str) -> Result<Compiler> {
    let compiler = with_core(host, triple)?;
    if !compiler.is_debian() {
        return Ok(compiler);
    }
    install(&[&format!("binutils-{}", gnu.replace('_', "-"))]).context("no linker")?;
    Ok(compiler.linker(triple, &format!("{gnu}-ld")))
}

/// Returns the compiler in use. rustup adds the target if it is missing, unless it is not to be used.
pub(crate) fn in_use(host: &Host, triple: &str) -> Result<Compiler> {
    let installed = || -> Result<bool> {
        let folder =
            Cmd::new("rustc").words("--print target-libdir --target").arg(triple).read()?;
        Ok(Path::new(folder.trim()).is_dir())
    };
    if host.without_rustup && triple != native()? {
        bail!("rustup is not to be used");
    }
    if !installed()? {
        rustup(host, &format!("target add {triple}"), COMPONENT_LIMIT)?;
    }
    Ok(Compiler::rustup(Cmd::new("rustc").arg("--version").read()?.trim()))
}

/// Returns the release named as `rust-version` in the workspace's manifest.
fn rust_version(host: &Host) -> Result<String> {
    let manifest =
        fs::read_to_string(host.root().join("Cargo.toml")).context("cannot read Cargo.toml")?;
    let value = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    Ok(value.context("Cargo.toml names no rust-version")?.trim().trim_matches('"').to_owned())
}

/// Returns 89 for `1.89.0`.
fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

/// Makes the release named as `rust-version` available. Returns the word that selects it (`+1.89.0`).
pub(crate) fn msrv(host: &Host) -> Result<String> {
    let version = rust_version(host)?;
    let patch = if version.matches('.').count() == 1 { ".0" } else { "" };
    let select = format!("+{version}{patch}");
    let probe = Cmd::new("rustc").args([&select, "--version"]).env("RUSTUP_AUTO_INSTALL", "0");
    if host.without_rustup || probe.read().is_err() {
        rustup(
            host,
            &format!("toolchain install {version}{patch} --profile minimal --no-self-update"),
            TOOLCHAIN_LIMIT,
        )?;
    }
    Ok(select)
}

/// Makes `cargo +nightly miri` available.
pub(crate) fn miri(host: &Host) -> Result<()> {
    let probe = Cmd::cargo("+nightly miri --version").env("RUSTUP_AUTO_INSTALL", "0");
    if host.without_rustup || probe.read().is_err() {
        nightly(host, &["miri", "rust-src"])?;
    }
    Ok(())
}

/// Makes the nightly compiler available with the standard library's sources.
fn standard_library_sources(host: &Host) -> Result<()> {
    let sysroot =
        Cmd::new("rustc").words("+nightly --print sysroot").env("RUSTUP_AUTO_INSTALL", "0");
    let has_sources =
        |folder: String| Path::new(folder.trim()).join("lib/rustlib/src/rust/library").is_dir();
    if host.without_rustup || !sysroot.read().is_ok_and(has_sources) {
        nightly(host, &["rust-src"])?;
    }
    Ok(())
}

/// Adds components to the nightly compiler, which is installed if need be.
fn nightly(host: &Host, components: &[&str]) -> Result<()> {
    let added = format!("component add {} --toolchain nightly", components.join(" "));
    let installed = format!(
        "toolchain install nightly --profile minimal --component {} --no-self-update",
        components.join(",")
    );
    rustup(host, &added, COMPONENT_LIMIT)
        .or_else(|_absent| rustup(host, &installed, TOOLCHAIN_LIMIT))
}

/// Makes a component of the toolchain in use (clippy, rustfmt) available.
pub(crate) fn component(host: &Host, name: &str, program: &str) -> Result<()> {
    if Cmd::new(program).arg("--version").read().is_err() {
        rustup(host, &format!("component add {name}"), COMPONENT_LIMIT)?;
    }
    Ok(())
}

/// Runs rustup with a time limit, one at a time. After the first time-out it is not tried again.
fn rustup(host: &Host, line: &str, limit: u32) -> Result<()> {
    if host.without_rustup {
        bail!("rustup is not to be used");
    }
    let mut unreachable = host.rustup_unreachable.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(reason) = unreachable.as_deref() {
        bail!("{reason}");
    }
    find_program("rustup").context("rustup is not installed")?;
    Cmd::new("rustup").words(line).limit(limit).read().map(drop).inspect_err(|error| {
        if error.to_string().contains("took longer") {
            *unreachable = Some(format!("{error:#}"));
        }
    })
}
