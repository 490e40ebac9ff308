//! The libraries for C programs: built as static libraries by cargo, and linked to shared ones by the C compiler. The
//! reason is that rustc gives a shared library an anonymous version script of its own, and no linker takes two.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf, absolute};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::c_development::{self, Folders};
use crate::command::Cmd;
use crate::host::Host;
use crate::libpmem;
use crate::toolchain::{self, Compiler};

/// A library for C programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Library {
    /// The package that it is built from.
    package: &'static str,
    /// The package's folder in the workspace.
    folder: &'static str,
    /// The name of its version script in the folder.
    script: &'static str,
    /// The name by which programs load it.
    pub(crate) soname: &'static str,
}

/// `cachemaint.h`.
pub(crate) const CACHEMAINT: Library = Library {
    package: "cachemaint-capi",
    folder: "capi",
    script: "cachemaint.map",
    soname: "libcachemaint.so.0",
};

/// The replacement of PMDK's library.
pub(crate) const LIBPMEM: Library = Library {
    package: "cachemaint-libpmem",
    folder: "capi/libpmem",
    script: "libpmem.map",
    soname: "libpmem.so.1",
};

/// The libraries that the standard library calls. The unwinder is linked in, so that a machine without it will do.
const SYSTEM_LIBRARIES: &str = "-static-libgcc -lpthread -lm -ldl -lc";

impl Library {
    /// Builds the static library for a target. `sources` is the workspace or a copy of it, `build` the build folder.
    pub(crate) fn archive(
        self,
        compiler: &Compiler,
        triple: &str,
        sources: &Path,
        build: &Path,
    ) -> Result<PathBuf> {
        let line = format!("build --locked --profile capi -p {}", self.package);
        compiler
            .cargo(&line)
            .folder(sources)
            .env("CARGO_TARGET_DIR", build.display().to_string())
            .read()?;
        let name = format!("lib{}.a", self.package.replace('-', "_"));
        Ok(build.join(triple).join("capi").join(name))
    }

    /// Links the shared library into a folder with the C compiler `cc`, and returns its path.
    pub(crate) fn shared(
        self,
        cc: &str,
        archive: &Path,
        sources: &Path,
        into: &Path,
    ) -> Result<PathBuf> {
        fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
        let path = into.join(self.soname);
        let script = sources.join(self.folder).join(self.script);
        Cmd::new(cc)
            .words("-shared -Wl,--gc-sections -Wl,-Bsymbolic -Wl,-z,relro,-z,now -Wl,-z,defs -Wl,--as-needed -Wl,--strip-debug")
            .arg(format!("-Wl,-soname,{}", self.soname))
            .arg(format!("-Wl,--version-script={}", script.display()))
            .arg("-o")
            .arg(path.display().to_string())
            .arg("-Wl,--whole-archive")
            .arg(archive.display().to_string())
            .arg("-Wl,--no-whole-archive")
            .words(SYSTEM_LIBRARIES)
            .words(&env::var("LDFLAGS").unwrap_or_default())
            .read()?;
        Ok(path)
    }

    /// Makes the link beside a shared library by which linkers find it, and returns its path.
    pub(crate) fn link(self, shared: &Path) -> Result<PathBuf> {
        let link = shared.with_extension("");
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link).with_context(|| format!("cannot remove {}", link.display()))?;
        }
        symlink(self.soname, &link).with_context(|| format!("cannot make {}", link.display()))?;
        Ok(link)
    }
}

/// The request of `cargo xtask capi`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Request {
    /// The folder below which all is installed [default: target/c of the workspace].
    // The workspace becomes the current directory after that.
    #[arg(long, value_parser = |text: &str| absolute(text))]
    prefix: Option<PathBuf>,
    /// The folder of the libraries below the prefix, as `lib64` or `lib/x86_64-linux-gnu`.
    #[arg(long, default_value = "lib", value_parser = below)]
    libdir: PathBuf,
    /// The target, in Rust's words [default: this machine].
    #[arg(long)]
    target: Option<String>,
    /// The C compiler that links for the target.
    #[arg(long, default_value = "cc")]
    cc: String,
}

/// Returns a path that leads down from the folder that it is joined to.
fn below(text: &str) -> Result<PathBuf, &'static str> {
    let is_name = |part| matches!(part, Component::Normal(_));
    let path = PathBuf::from(text);
    let is_below = path.components().count() > 0 && path.components().all(is_name);
    is_below.then_some(path).ok_or("it must be relative to the prefix, without `..`")
}

/// Builds both libraries and installs them below a prefix: `libpmem.so.1` in a directory of its own, which no program
/// searches unless it is given in `LD_LIBRARY_PATH`.
pub(crate) fn install(host: &Host, request: &Request) -> Result<()> {
    let native = toolchain::native()?;
    let triple = request.target.as_deref().unwrap_or(&native);
    let compiler = Compiler::new(triple)?;
    let build = host.target_dir("");
    let archive = CACHEMAINT.archive(&compiler, triple, host.root(), &build)?;
    let prefix = request.prefix.clone().unwrap_or_else(|| host.root().join("target/c"));
    let folders = Folders { prefix: &prefix, libraries: &request.libdir };
    let mut paths = c_development::install(&request.cc, &archive, host.root(), folders)?;
    let archive = LIBPMEM.archive(&compiler, triple, host.root(), &build)?;
    paths.extend(libpmem::install(&request.cc, &archive, host.root(), folders)?);
    for path in paths {
        writeln!(io::stdout(), "{}", path.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::below;
    use std::path::Path;

    #[test]
    fn the_folder_of_the_libraries_is_below_the_prefix() {
        for folder in ["lib", "lib64", "lib/x86_64-linux-gnu"] {
            assert_eq!(below(folder).as_deref(), Ok(Path::new(folder)));
        }
        for folder in ["", ".", "/usr/lib", "../lib", "lib/../.."] {
            below(folder).unwrap_err();
        }
    }
}
