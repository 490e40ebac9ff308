//! The libraries for C programs: built as static libraries by cargo, and linked to shared ones by the C compiler. The
//! reason is that rustc gives a shared library an anonymous version script of its own, and no linker takes two.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::command::Cmd;
use crate::host::Host;
use crate::toolchain::Compiler;

/// A library for C programs.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    /// The package that it is built from.
    package: &'static str,
    /// The package's folder in the workspace.
    folder: &'static str,
    /// The name of its version script in the folder.
    script: &'static str,
    /// The name by which programs load it.
    pub soname: &'static str,
}

/// `cachemaint.h`.
pub const CACHEMAINT: Library = Library {
    package: "cachemaint-capi",
    folder: "capi",
    script: "cachemaint.map",
    soname: "libcachemaint.so.0",
};

/// The replacement of PMDK's library.
pub const LIBPMEM: Library = Library {
    package: "cachemaint-libpmem",
    folder: "capi/libpmem",
    script: "libpmem.map",
    soname: "libpmem.so.1",
};

/// The libraries that the standard library calls. The unwinder is linked in, so that a machine without it will do.
const SYSTEM_LIBRARIES: &str = "-static-libgcc -lpthread -lm -ldl -lc";

impl Library {
    /// Builds the static library for a target. `sources` is the workspace or a copy of it, `build` the build folder.
    pub fn archive(
        self,
        compiler: &Compiler,
        triple: &str,
        sources: &Path,
        build: &Path,
    ) -> Result<PathBuf> {
        let line = format!("build --locked --profile capi -p {}", self.package);
        compiler.cargo(&line).folder(sources).env("CARGO_TARGET_DIR", build).read()?;
        let name = format!("lib{}.a", self.package.replace('-', "_"));
        Ok(build.join(triple).join("capi").join(name))
    }

    /// Links the shared library into a folder with the C compiler `cc`, and returns its path.
    pub fn shared(self, cc: &str, archive: &Path, sources: &Path, into: &Path) -> Result<PathBuf> {
        fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
        let path = into.join(self.soname);
        let script = sources.join(self.folder).join(self.script);
        Cmd::new(cc)
            .words("-shared -Wl,--gc-sections -Wl,-Bsymbolic -Wl,-z,relro,-z,now -Wl,-z,defs -Wl,--as-needed -Wl,--strip-debug")
            .arg(format!("-Wl,-soname,{}", self.soname))
            .arg(format!("-Wl,--version-script={}", script.display()))
            .arg("-o")
            .path(&path)
            .arg("-Wl,--whole-archive")
            .path(archive)
            .arg("-Wl,--no-whole-archive")
            .words(SYSTEM_LIBRARIES)
            .words(&env::var("LDFLAGS").unwrap_or_default())
            .read()?;
        Ok(path)
    }

    /// Makes the link beside a shared library by which linkers find it, and returns its path.
    pub fn link(self, shared: &Path) -> Result<PathBuf> {
        let link = shared.with_extension("");
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link).with_context(|| format!("cannot remove {}", link.display()))?;
        }
        symlink(self.soname, &link).with_context(|| format!("cannot make {}", link.display()))?;
        Ok(link)
    }
}

/// Links the replacement of libpmem with the checks of a debug build, and returns the command of its tests, which use it as
/// C programs do.
pub fn tests_of_libpmem(host: &Host) -> Result<Cmd> {
    Cmd::cargo("build -p cachemaint-libpmem").read()?;
    let archive = host.target_dir("debug").join("libcachemaint_libpmem.a");
    let folder = host.target_dir("libpmem");
    LIBPMEM.shared("cc", &archive, host.root(), &folder)?;
    let tests = Cmd::cargo("test -p cachemaint-libpmem --test drop_in");
    Ok(tests.env("CACHEMAINT_LIBPMEM", &folder))
}
