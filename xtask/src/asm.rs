//! Goldens of machine code: the compiler's output for the functions `golden_*` in `tests/asm/codegen.rs`.
//!
//! The instructions of each are compared with `tests/asm/<target>/<function>.s`. Code generation changes with the compiler,
//! so the comparison is made only with the release named in `tests/asm/rustc-version`.

use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use regex::{Captures, Regex};
use xtask::absent::Lacks;
use xtask::command::Cmd;
use xtask::host::Host;
use xtask::toolchain::{self, Compiler};

use crate::run::Run;

const GOLDENS: &str = "tests/asm";
const VERSION_FILE: &str = "tests/asm/rustc-version";

struct Target {
    triple: &'static str,
    /// The beginning of the names of its functions.
    prefix: &'static str,
    /// The beginning of a comment in the compiler's output.
    comment: &'static str,
    flags: &'static [&'static str],
}

const TARGETS: [Target; 3] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        prefix: "golden_",
        comment: "#",
        flags: &["-C", "llvm-args=--x86-asm-syntax=intel"],
    },
    Target { triple: "aarch64-unknown-linux-gnu", prefix: "golden_", comment: "//", flags: &[] },
    Target {
        triple: "riscv64gc-unknown-linux-gnu",
        prefix: "golden_xtheadcmo",
        comment: "#",
        flags: &[],
    },
];

/// Compares the goldens.
pub(crate) fn check(host: &Host, run: &mut Run) -> Result<()> {
    match run.needed("goldens", is_the_named_compiler())? {
        Some(()) => each_target(host, run, compare),
        None => Ok(()),
    }
}

/// Rewrites the goldens.
///
/// # Errors
/// If this is another compiler than the one named in the tree: its listings were never reviewed.
pub(crate) fn bless(host: &Host, run: &mut Run) -> Result<()> {
    is_the_named_compiler().map_err(|why| anyhow!("{why:#}"))?;
    each_target(host, run, rewrite)
}

/// The text of each function.
type Functions = BTreeMap<String, String>;

fn each_target(
    host: &Host,
    run: &mut Run,
    work: fn(&Path, &Functions) -> Result<()>,
) -> Result<()> {
    TARGETS.iter().try_for_each(|target| {
        let compiled = || {
            Compiler::new(target.triple)?;
            let functions = functions(&compile(host, target)?, target)?;
            work(&Path::new(GOLDENS).join(target.triple), &functions)
        };
        run.check(&format!("goldens of {}", target.triple), compiled).map(drop)
    })
}

fn is_the_named_compiler() -> Result<()> {
    let text = Cmd::new("rustc").arg("--version").read()?;
    let version = text.split_whitespace().nth(1).context("rustc does not say its version")?;
    let named = fs::read_to_string(VERSION_FILE).context(VERSION_FILE)?;
    let named = named.trim();
    if named == version {
        return Ok(());
    }
    Err(Lacks::Compiler.error(format_args!(
        "they are of rustc {named}, this is {version}: use `cargo +{named}`, or change {VERSION_FILE} first"
    )))
}

/// Compiles the package of the functions, a library so that nothing is linked, and returns its assembly.
fn compile(host: &Host, target: &Target) -> Result<String> {
    let folder = host.target_dir("asm");
    let file = folder.join(format!("{}.s", target.triple));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut built = Cmd::cargo("rustc -p cachemaint-codegen --release");
    // Without `--target` the dependencies of the native build are shared with the other steps.
    if toolchain::native()? != target.triple {
        built = built.args(["--target", target.triple]);
    }
    built = built
        .words("-- -C codegen-units=1 -C debuginfo=0")
        .args(target.flags.iter().copied())
        .arg(format!("--emit=asm={}", file.display()));
    built.read()?;
    fs::read_to_string(&file).with_context(|| {
        format!(
            "`{built}` left no {}: `cargo clean --release -p cachemaint-codegen`, then try again",
            file.display()
        )
    })
}

fn compare(folder: &Path, functions: &Functions) -> Result<()> {
    let mut differences = String::new();
    let mut names: BTreeSet<String> = goldens_in(folder)?.into_iter().collect();
    names.extend(functions.keys().cloned());
    for name in names {
        let golden = fs::read_to_string(golden(folder, &name)).unwrap_or_default();
        let now = functions.get(&name).map_or("", String::as_str);
        if golden != now {
            write!(differences, "\n{name} was:\n{golden}and is now:\n{now}")?;
        }
    }
    ensure!(differences.is_empty(), "review, then `cargo xtask bless`:{differences}");
    Ok(())
}

fn rewrite(folder: &Path, functions: &Functions) -> Result<()> {
    for stale in goldens_in(folder)? {
        fs::remove_file(golden(folder, &stale)).context(stale)?;
    }
    functions.iter().try_for_each(|(name, text)| {
        fs::write(golden(folder, name), text).with_context(|| name.clone())
    })
}

fn golden(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.s"))
}

/// Returns the functions that have a golden in `folder`.
fn goldens_in(folder: &Path) -> Result<Vec<String>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let name =
        |entry: fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".s")?.to_owned());
    Ok(entries.filter_map(|entry| name(entry.ok()?)).collect())
}

/// Extracts the golden functions from assembly: no directives, no comments, no label that nothing jumps to, the others
/// numbered in order, no hashes in symbols.
fn functions(assembly: &str, target: &Target) -> Result<Functions> {
    let Target { prefix, comment, .. } = target;
    let mut functions = Functions::new();
    let mut current: Option<(&str, Vec<&str>)> = None;
    for line in assembly.lines().map(|line| line.split(*comment).next().unwrap_or_default().trim())
    {
        if let Some(name) = line.strip_suffix(':').filter(|name| name.starts_with(prefix)) {
            current = Some((name, Vec::new()));
        } else if line.starts_with(".Lfunc_end") {
            if let Some((name, body)) = current.take() {
                functions.insert(name.to_owned(), normalised(&body)?);
            }
        } else if let Some((_, body)) = &mut current {
            let is_encoding = line.starts_with(".insn"); // of an instruction that it does not know
            let is_directive = line.starts_with('.') && !line.ends_with(':') && !is_encoding;
            if !line.is_empty() && !is_directive {
                body.push(line);
            }
        }
    }
    ensure!(!functions.is_empty(), "there is no function whose name begins with {prefix}");
    Ok(functions)
}

fn normalised(body: &[&str]) -> Result<String> {
    let label = Regex::new(r"\.L[\w.$]+")?;
    // The hash of a mangled name, and the crate's disambiguator of version 0: both change with the path of the workspace.
    let [hash, disambiguator] = [Regex::new("17h[0-9a-f]{16}E")?, Regex::new("Cs[0-9A-Za-z]+_")?];
    let mut labels: Vec<&str> = Vec::new();
    let jumps = body.iter().filter(|line| !line.ends_with(':'));
    for found in jumps.flat_map(|line| label.find_iter(line)) {
        if !labels.contains(&found.as_str()) {
            labels.push(found.as_str());
        }
    }
    let number = |found: &Captures<'_>| {
        let number = labels.iter().position(|label| *label == &found[0]);
        number.map_or_else(|| found[0].to_owned(), |number| format!(".L{number}"))
    };
    let mut text = String::new();
    for line in body {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let numbered = label.replace_all(&line, number);
        match line.strip_suffix(':') {
            Some(label) if labels.contains(&label) => writeln!(text, "{numbered}")?,
            Some(_) => {}
            None => {
                let plain = hash.replace_all(&numbered, "E");
                writeln!(text, "    {}", disambiguator.replace_all(&plain, "C"))?;
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{TARGETS, functions};

    #[test]
    fn only_instructions_and_labels_that_are_jumped_to_remain() {
        let assembly = "\
other:
\tret
.Lfunc_end0:
golden_lines:
.Lfunc_begin1:
\t.cfi_startproc
\tcmp\trdi, rsi
\tjae\t.LBB1_7
.Ltmp3:
\t.p2align\t4
.LBB1_2:
\t#APP
\tclwb\tbyte ptr [rdi]
\t#NO_APP
\tadd\trdi, 64   # a comment
\tjb\t.LBB1_2
.LBB1_7:
\tjmp\tqword ptr [rip + _ZN4core3fmt5write17h0123456789abcdefE@GOTPCREL]
\tjmp\t_RNvCs1x2Yz_4core5fence
.Lfunc_end1:
\t.size\tgolden_lines, .Lfunc_end1-golden_lines
";
        let found = functions(assembly, &TARGETS[0]).unwrap();
        let expected = "    cmp rdi, rsi
    jae .L0
.L1:
    clwb byte ptr [rdi]
    add rdi, 64
    jb .L1
.L0:
    jmp qword ptr [rip + _ZN4core3fmt5writeE@GOTPCREL]
    jmp _RNvC4core5fence
";
        assert_eq!(found.keys().collect::<Vec<_>>(), ["golden_lines"]);
        assert_eq!(found["golden_lines"], expected);
    }
}
