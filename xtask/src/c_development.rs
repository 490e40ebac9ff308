//! The files with which C programs are built against `cachemaint.h`: header, libraries, and the descriptions for
//! pkg-config and `CMake`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::c_libraries::CACHEMAINT;
use crate::command::Cmd;

const HEADER: &str = "capi/include/cachemaint.h";
/// A description of the workspace, and its folder below that of the libraries. It holds the version, the folder of the
/// libraries below the prefix, and the way from its own folder to the prefix.
const DESCRIPTIONS: [[&str; 2]; 3] = [
    ["capi/cachemaint.pc.in", "pkgconfig"],
    ["capi/cmake/cachemaintConfig.cmake.in", "cmake/cachemaint"],
    ["capi/cmake/cachemaintConfigVersion.cmake.in", "cmake/cachemaint"],
];

/// The name by which linkers find the static library.
pub const ARCHIVE: &str = "libcachemaint.a";

/// The folders of an installation.
#[derive(Clone, Copy, Debug)]
pub struct Folders<'a> {
    pub prefix: &'a Path,
    /// That of the libraries, relative to the prefix.
    pub libraries: &'a Path,
}

/// Links the shared library, and installs all files. Returns their paths.
pub fn install(
    cc: &str,
    archive: &Path,
    sources: &Path,
    folders: Folders<'_>,
) -> Result<Vec<PathBuf>> {
    let libraries = folders.prefix.join(folders.libraries);
    let shared = CACHEMAINT.shared(cc, archive, sources, &libraries)?;
    let link = CACHEMAINT.link(&shared)?;
    let installed = libraries.join(ARCHIVE);
    make_archive(cc, archive, &installed)?;
    let header = copy(&sources.join(HEADER), &folders.prefix.join("include"), &[])?;
    let files = DESCRIPTIONS.into_iter().map(|[file, folder]| {
        let folder = folders.libraries.join(folder);
        let up = vec![".."; folder.components().count()].join("/");
        let values = [
            ("@VERSION@", env!("CARGO_PKG_VERSION")),
            ("@LIBDIR@", &folders.libraries.display().to_string()),
            ("@PREFIX@", &up),
        ];
        copy(&sources.join(file), &folders.prefix.join(folder), &values)
    });
    let files: Vec<PathBuf> = files.collect::<Result<_>>()?;
    Ok([shared, installed, link, header].into_iter().chain(files).collect())
}

/// Makes the static library of one object, in which the functions of the header alone have names for the linker. Those of
/// the standard library are in every other Rust library of a program too.
fn make_archive(cc: &str, from: &Path, to: &Path) -> Result<()> {
    let object = to.with_extension("o");
    Cmd::new(cc)
        .words("-nostdlib -r -Wl,-u,cachemaint_version -Wl,--strip-debug")
        // A linker keeps one of several groups with the same name: this object must not refer to another library's.
        .words("-Wl,--force-group-allocation")
        .path(from)
        .arg("-o")
        .path(&object)
        .read()?;
    tool(cc, "objcopy")?
        .words("--wildcard --keep-global-symbol=cachemaint_*")
        .path(&object)
        .read()?;
    if to.exists() {
        fs::remove_file(to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    tool(cc, "ar")?.words("rcs").path(to).path(&object).read()?;
    fs::remove_file(&object).with_context(|| format!("cannot remove {}", object.display()))
}

/// Returns the command of a tool that belongs to a C compiler.
pub fn tool(cc: &str, name: &str) -> Result<Cmd> {
    let path = Cmd::new(cc).arg(format!("-print-prog-name={name}")).read()?;
    Ok(Cmd::new(path.trim()))
}

/// Copies a text with the values in the places of their names, and returns the new path, without `.in`.
fn copy(file: &Path, folder: &Path, values: &[(&str, &str)]) -> Result<PathBuf> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = values.iter().fold(text, |text, (name, value)| text.replace(name, value));
    let name = file.file_name().and_then(|name| name.to_str()).context("a file has no name")?;
    let path = folder.join(name.trim_end_matches(".in"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, text))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
