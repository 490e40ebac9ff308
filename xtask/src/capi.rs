//! `cargo xtask capi`: builds the libraries for C programs and installs them.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf, absolute};

use anyhow::{Context as _, Result};
use clap::Args;
use xtask::c_development::{self, Folders};
use xtask::c_libraries::{CACHEMAINT, LIBPMEM};
use xtask::host::Host;
use xtask::toolchain::{self, Compiler};

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
    paths.extend(libpmem(&request.cc, &archive, host.root(), folders)?);
    for path in paths {
        writeln!(io::stdout(), "{}", path.display())?;
    }
    Ok(())
}

/// Links the library, and installs it with its header in directories of its own. Returns the paths.
fn libpmem(cc: &str, archive: &Path, sources: &Path, folders: Folders<'_>) -> Result<Vec<PathBuf>> {
    let libraries = folders.prefix.join(folders.libraries).join("cachemaint");
    let library = LIBPMEM.shared(cc, archive, sources, &libraries)?;
    let link = LIBPMEM.link(&library)?;
    let headers = folders.prefix.join("include/cachemaint");
    fs::create_dir_all(&headers).with_context(|| format!("cannot make {}", headers.display()))?;
    let header = headers.join("libpmem.h");
    fs::copy(sources.join("capi/libpmem/include/libpmem.h"), &header)
        .with_context(|| format!("cannot write {}", header.display()))?;
    Ok(vec![library, link, header])
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
