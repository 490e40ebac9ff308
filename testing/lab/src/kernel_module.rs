//! Kernel modules of `testing/lab/module`, built for the kernel of a kit with the headers of its version.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use lose_lines_machine::cache;
use lose_lines_machine::kit::Kit;
use xtask::command::Cmd;
use xtask::install::install;

use crate::cross;
use crate::lab::Lab;

/// The end of the name of a kernel for virtual machines, whose headers have a common part.
const FLAVOUR: &str = "-cloud-arm64";

/// Builds the module of a C source for arm64.
pub(super) fn build(lab: &Lab, kit: &Kit, name: &str) -> Result<PathBuf> {
    // The headers' makefile names the compiler and the architecture.
    cross::linking(kit.architecture.triple())?;
    install(&["make"])?;
    let kernel = kit.kernel.file_name().and_then(|name| name.to_str());
    let release = kernel.and_then(|name| name.strip_prefix("vmlinuz-"));
    let release = release.context("the name of the kernel's file has no release")?;
    let version = release.strip_suffix(FLAVOUR).context("the kernel has another flavour")?;

    let common = format!("linux-headers-{version}-common");
    let headers = lab.unpacked(&[&format!("linux-headers-{release}:arm64"), &common])?;
    let tools = format!("linux-kbuild-{version}");
    let tools_at = format!("usr/lib/{tools}");
    // Links in the headers lead to the tools, which are programs of this machine's architecture.
    let link = headers.join(&tools_at);
    if !link.is_dir() {
        cache::make(&headers.join("usr/lib"))?;
        symlink(lab.unpacked(&[&tools])?.join(&tools_at), link).context("cannot link the tools")?;
    }

    let folder = lab.work().join("module");
    cache::make_empty(&folder)?;
    let source = format!("{name}.c");
    fs::copy(lab.tree().join("testing/lab/module").join(&source), folder.join(&source))
        .with_context(|| format!("cannot copy {source}"))?;
    fs::write(folder.join("Kbuild"), format!("obj-m := {name}.o\n"))?;
    let headers = headers.join("usr/src");
    Cmd::new("make")
        .arg("-C")
        .path(headers.join(format!("linux-headers-{release}")))
        // The makefile there includes this one by its path in an installed package.
        .arg("-f")
        .path(headers.join(common).join("Makefile"))
        .arg(format!("M={}", folder.display()))
        // Types for BPF would need another program.
        .words("CONFIG_DEBUG_INFO_BTF_MODULES= modules")
        .read()?;
    Ok(folder.join(format!("{name}.ko")))
}
