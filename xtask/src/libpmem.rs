//! The replacement of PMDK's library: its installation, and its tests as C programs use it: linked, beside the original.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::c_development::Folders;
use crate::capi::LIBPMEM;
use crate::command::{Check as _, Cmd, find_program};
use crate::host::Host;
use crate::report::{Finding, Report};
use lose_lines::debian::{self, Suite};

/// The original, its header and its tool, with the libraries that these load.
const ORIGINAL: [&str; 10] = [
    "libpmem1",
    "libpmem-dev",
    "pmdk-tools",
    "libpmemobj1",
    "libpmemlog1",
    "libpmemblk1",
    "libpmempool1",
    "libndctl6",
    "libdaxctl1",
    "libkmod2",
];

/// Links the library, and installs it with its header in directories of its own. Returns the paths.
pub(crate) fn install(
    cc: &str,
    archive: &Path,
    sources: &Path,
    folders: Folders<'_>,
) -> Result<Vec<PathBuf>> {
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

/// Links the library with the checks of a debug build, and runs its tests.
pub(crate) fn test(host: &Host, report: &mut Report) -> Result<()> {
    report.check("libpmem", "C programs get from the replacement what PMDK's library gives", || {
        run(host)
    })
}

fn run(host: &Host) -> Result<Finding> {
    Cmd::cargo("build -p cachemaint-libpmem").read()?;
    let archive = host.target_dir("debug").join("libcachemaint_libpmem.a");
    let folder = host.target_dir("libpmem");
    LIBPMEM.shared("cc", &archive, host.root(), &folder)?;
    let tests = Cmd::cargo("test -p cachemaint-libpmem --test drop_in")
        .env("CACHEMAINT_LIBPMEM", folder.display().to_string());
    // Without the packages the tests that compare are skipped.
    if find_program("apt-get").is_none() {
        return tests.check_tests();
    }
    let packages = debian::fetch(host.cache(), &ORIGINAL, Suite::System)?;
    tests.env("CACHEMAINT_LIBPMEM_ORIGINAL", packages.display().to_string()).check_tests()
}
