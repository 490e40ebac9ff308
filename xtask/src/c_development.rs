//! The files with which C programs are built against `cachemaint.h`: header, libraries, and the descriptions for
//! pkg-config and `CMake`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::capi::CACHEMAINT;
use crate::command::Cmd;

/// A file of the workspace, and its folder below the prefix. A name that ends with `.in` holds the version.
const FILES: [[&str; 2]; 4] = [
    ["capi/include/cachemaint.h", "include"],
    ["capi/cachemaint.pc.in", "lib/pkgconfig"],
    ["capi/cmake/cachemaintConfig.cmake", "lib/cmake/cachemaint"],
    ["capi/cmake/cachemaintConfigVersion.cmake.in", "lib/cmake/cachemaint"],
];

/// The name by which linkers find the static library.
pub(crate) const ARCHIVE: &str = "libcachemaint.a";

/// Links the shared library, and installs all files below a prefix. Returns their paths.
pub(crate) fn install(
    cc: &str,
    archive: &Path,
    sources: &Path,
    prefix: &Path,
) -> Result<Vec<PathBuf>> {
    let shared = CACHEMAINT.shared(cc, archive, sources, &prefix.join("lib"))?;
    let link = CACHEMAINT.link(&shared)?;
    let installed = prefix.join("lib").join(ARCHIVE);
    make_archive(cc, archive, &installed)?;
    let files =
        FILES.into_iter().map(|[file, folder]| copy(&sources.join(file), &prefix.join(folder)));
    let files: Vec<PathBuf> = files.collect::<Result<_>>()?;
    Ok([shared, installed, link].into_iter().chain(files).collect())
}

/// Makes the static library of one object, in which the functions of the header alone have names for the linker. Those of
/// the standard library are in every other Rust library of a program too.
fn make_archive(cc: &str, from: &Path, to: &Path) -> Result<()> {
    let object = to.with_extension("o");
    Cmd::new(cc)
        .words("-nostdlib -r -Wl,-u,cachemaint_version -Wl,--strip-debug")
        // A linker keeps one of several groups with the same name: this object must not refer to another library's.
        .words("-Wl,--force-group-allocation")
        .arg(from.display().to_string())
        .arg("-o")
        .arg(object.display().to_string())
        .read()?;
    tool(cc, "objcopy")?
        .words("--wildcard --keep-global-symbol=cachemaint_*")
        .arg(object.display().to_string())
        .read()?;
    if to.exists() {
        fs::remove_file(to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    tool(cc, "ar")?
        .words("rcs")
        .arg(to.display().to_string())
        .arg(object.display().to_string())
        .read()?;
    fs::remove_file(&object).with_context(|| format!("cannot remove {}", object.display()))
}

/// Returns the command of a tool that belongs to a C compiler.
pub(crate) fn tool(cc: &str, name: &str) -> Result<Cmd> {
    let path = Cmd::new(cc).arg(format!("-print-prog-name={name}")).read()?;
    Ok(Cmd::new(path.trim()))
}

/// Copies a text with the version in its place, and returns the new path.
fn copy(file: &Path, folder: &Path) -> Result<PathBuf> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = text.replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    let name = file.file_name().and_then(|name| name.to_str()).context("a file has no name")?;
    let path = folder.join(name.trim_end_matches(".in"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, text))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
