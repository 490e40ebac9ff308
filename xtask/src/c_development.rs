//! The files with which C programs are built against `cachemaint.h`: header, libraries, and the descriptions for
//! pkg-config and `CMake`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::capi::CACHEMAINT;

/// A file of the workspace, and its folder below the prefix. A name that ends with `.in` holds the version.
const FILES: [[&str; 2]; 4] = [
    ["capi/include/cachemaint.h", "include"],
    ["capi/cachemaint.pc.in", "lib/pkgconfig"],
    ["capi/cmake/cachemaintConfig.cmake", "lib/cmake/cachemaint"],
    ["capi/cmake/cachemaintConfigVersion.cmake.in", "lib/cmake/cachemaint"],
];

/// The name by which linkers find the static library.
const ARCHIVE: &str = "lib/libcachemaint.a";

/// Links the shared library, and installs all files below a prefix. Returns their paths.
pub(crate) fn install(
    cc: &str,
    archive: &Path,
    sources: &Path,
    prefix: &Path,
) -> Result<Vec<PathBuf>> {
    let shared = CACHEMAINT.shared(cc, archive, sources, &prefix.join("lib"))?;
    let link = CACHEMAINT.link(&shared)?;
    let installed = prefix.join(ARCHIVE);
    fs::copy(archive, &installed)
        .with_context(|| format!("cannot write {}", installed.display()))?;
    let files =
        FILES.into_iter().map(|[file, folder]| copy(&sources.join(file), &prefix.join(folder)));
    let files: Vec<PathBuf> = files.collect::<Result<_>>()?;
    Ok([shared, installed, link].into_iter().chain(files).collect())
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
